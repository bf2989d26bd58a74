"""Merged convolutions say what torch says of the layers one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from renalis.networks.unet import PooledNorm3d
from renalis.prediction.runtimes.merged_convolutions import after_fold, doubled, unfolded


def _random(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=shape).astype(np.float32))


def _weight(array: Any) -> Tensor:
    return torch.from_numpy(array)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_convolution_after_a_fold_is_one_over_the_blocks_of_the_image(channels: int) -> None:
    image, fold, weight = (
        _random(2, channels, 8, 6, 4), _random(5, channels, 2, 2, 2), _random(4, 5, 3, 3, 3)
    )  # fmt: skip
    one_by_one = functional.conv3d(functional.conv3d(image, fold, stride=2), weight, padding=1)
    blocks = image.reshape(2, channels, 4, 2, 3, 2, 2, 2).permute(0, 3, 5, 7, 1, 2, 4, 6)
    at_once = functional.conv3d(
        blocks.reshape(2, 8 * channels, 4, 3, 2),
        _weight(after_fold(weight.numpy(), fold.numpy())),
        padding=1,
    )
    torch.testing.assert_close(at_once, one_by_one, atol=1e-4, rtol=0)


def test_a_convolution_after_doubling_is_a_transposed_one() -> None:
    features, weight = _random(2, 3, 4, 3, 2), _random(5, 3, 3, 3, 3)
    large = functional.interpolate(features, scale_factor=2, mode="nearest")
    at_once = functional.conv_transpose3d(
        features, _weight(doubled(weight.numpy())), stride=2, padding=1
    )
    expected = functional.conv3d(large, weight, padding=1)
    torch.testing.assert_close(at_once, expected, atol=1e-4, rtol=0)


def test_a_transposed_convolution_without_overlap_is_one_voxel_by_voxel() -> None:
    features, weight = _random(2, 3, 4, 3, 2), _random(3, 5, 2, 2, 2)
    flat = functional.conv3d(features, _weight(unfolded(weight.numpy())))
    blocks = flat.reshape(2, 5, 2, 2, 2, 4, 3, 2).permute(0, 1, 5, 2, 6, 3, 7, 4)
    expected = functional.conv_transpose3d(features, weight, stride=2)
    torch.testing.assert_close(blocks.reshape(2, 5, 8, 6, 4), expected, atol=1e-4, rtol=0)


class _Decoder(nn.Module):
    """Joins enlarged features with others in every order that a network might."""

    def __init__(self, kernel: int, factor: int, affine: bool) -> None:
        super().__init__()
        self.factor = factor
        self.fold = nn.Conv3d(1, 9, factor, stride=factor, bias=False)
        self.small = nn.Conv3d(1, 2, 2 * factor, stride=2 * factor, bias=False)
        self.join = nn.Conv3d(9 + 2 + 9 + 2, 4, kernel, padding=kernel // 2)
        self.norm = PooledNorm3d(4, affine=affine)
        self.again = nn.Conv3d(4, 4, kernel, padding=kernel // 2, bias=False)
        self.head = nn.ConvTranspose3d(4, 4, factor, stride=factor)

    def forward(self, image: Tensor) -> Tensor:
        features = self.fold(image)
        low = self.small(image)
        large = functional.interpolate(low, scale_factor=2, mode="nearest")
        joined = self.norm(self.join(torch.cat([features, large, features, large], dim=1)))
        enlarged = functional.interpolate(joined, scale_factor=2, mode="nearest")
        return self.head(self.again(enlarged) + enlarged)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("affine", [False, True])
def test_openvino_merges_what_it_can_and_makes_the_rest(
    kernel: int, factor: int, affine: bool
) -> None:
    pytest.importorskip("renalis.prediction.runtimes.openvino_runtime")
    from renalis.prediction.runtimes.openvino_graph import openvino_graph
    from renalis.prediction.runtimes.openvino_runtime import OpenVinoNetwork

    torch.manual_seed(0)
    network = _Decoder(kernel, factor, affine).eval()
    image = _random(2, 1, 4 * factor, 2 * factor, 4 * factor)
    ours = OpenVinoNetwork(openvino_graph(network, image.shape[1:]), threads=1)(image.numpy())
    with torch.inference_mode():
        expected = network(image).softmax(1)[:, 1:].numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-5)
