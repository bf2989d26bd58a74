"""Windows of a scan are normalized together, patients of a training batch each by itself."""

from __future__ import annotations

import torch
from torch import nn

from renalis.networks import build
from renalis.networks.unet import PooledNorm3d


def features(count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    scale = torch.arange(1, count + 1).view(-1, 1, 1, 1, 1)
    return torch.randn(count, 4, 5, 6, 7, generator=generator) * scale + scale


def filled(layer: PooledNorm3d) -> PooledNorm3d:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 1, 2, 3.0]))
        layer.bias.copy_(torch.tensor([0, 1, -1, 0.5]))
    return layer


def test_statistics_are_those_of_a_batch_normalization_outside_of_training() -> None:
    layer = filled(PooledNorm3d(4, affine=True)).eval()
    batch = nn.BatchNorm3d(4, track_running_stats=False)
    batch.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(features()), batch(features()), atol=1e-5, rtol=1e-5)


def test_in_training_and_alone_it_is_instance_normalization() -> None:
    layer = filled(PooledNorm3d(4, affine=True))
    instance = nn.InstanceNorm3d(4, affine=True)
    instance.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer.train()(features()), instance(features()))
    torch.testing.assert_close(layer.eval()(features(1)), instance(features(1)))


def test_a_pooled_network_has_the_same_weights_and_sees_equal_windows_alike() -> None:
    config = {"name": "unet", "channels": [4, 8], "stem": 2}
    pooled, plain = build({**config, "pooled": True}).eval(), build(config).eval()
    pooled.load_state_dict(plain.state_dict())
    image = torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    twice = pooled(image.expand(2, -1, -1, -1, -1))
    torch.testing.assert_close(twice[0], twice[1])
    torch.testing.assert_close(twice[:1], plain(image), atol=1e-4, rtol=1e-4)
