"""What holds for every registered network, whatever it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from renalis.networks import UNet, build, parameter_count, register, registered

# Besides its tiny variant, each network is visited with these; a new network needs a line here.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "unet": [{"stem": 2}],
    "resnet34_unet": [{"in_channels": 3, "out_channels": 2}],
    "simple_unet": [],
    "quicknat": [{"activation": "relu"}, {"bottleneck_excitation": "applied"}],
    "unet3d": [
        {"variant": "plain"},
        {"variant": "preact"},
        {"variant": "preact", "share_repeats": False},
        {"attention": True},
    ],
    "valid_unet3d": [{"norm": "group"}],
    "cascade3d": [
        {"mask_input": "concat", "last_fc": 128},
        {"multires": False},
        {"multires": False, "classify": False, "dropout": 0.2},
        {"norm": "group"},
    ],
}


@dataclass(frozen=True)
class Sample:
    """A tiny network's configuration and the shapes of what it is given."""

    config: dict[str, Any]
    inputs: tuple[tuple[int, ...], ...]

    def network(self, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return build(self.config)

    def images(self, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        generator = torch.Generator().manual_seed(1)
        channels = self.config.get("in_channels", 1)
        shapes = [(shape[0], channels, *shape[2:]) for shape in self.inputs]
        return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]

    def __str__(self) -> str:
        return ",".join(str(value) for value in self.config.values())


def samples() -> list[Sample]:
    return [
        Sample({"name": name, **entry.tiny, **options}, entry.inputs)
        for name, entry in registered().items()
        for options in [{}, *OPTIONS[name]]
    ]


def flat(outputs: Tensor | dict[str, Any]) -> list[Tensor]:
    """All tensors that a network returned."""
    if isinstance(outputs, Tensor):
        return [outputs]
    found: list[Tensor] = []
    for value in outputs.values():
        found += value if isinstance(value, list) else [value]
    return found


@pytest.fixture(params=samples(), ids=str)
def sample(request: pytest.FixtureRequest) -> Sample:
    result: Sample = request.param
    return result


def test_logits_are_finite_and_belong_to_each_image(sample: Sample) -> None:
    network = sample.network().eval()
    images = sample.images()
    with torch.no_grad():
        together = flat(network(*images))
        second = flat(network(*(image[1:2] for image in images)))
    for all_, one in zip(together, second, strict=True):
        assert torch.isfinite(all_).all()
        assert all_.shape[0] == images[0].shape[0]
        assert all_.std() > 0
        torch.testing.assert_close(all_[1:2], one, rtol=1e-3, atol=1e-4)


def test_every_parameter_learns(sample: Sample) -> None:
    network = sample.network().double()
    outputs = flat(network(*sample.images(torch.float64)))
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(each.shape, generator=generator).double() for each in outputs]
    sum((each * weight).sum() for each, weight in zip(outputs, weights, strict=True)).backward()
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    assert all(name.startswith("bottleneck_excitation.") for name in frozen)
    sizes: dict[str, float] = {}
    for name, value in network.named_parameters():
        if value.requires_grad:
            assert value.grad is not None, name
            assert torch.isfinite(value.grad).all(), name
            sizes[name] = float(value.grad.abs().max())
    # A bias right before a normalization is subtracted again; then its layer's weight must learn.
    still = {name for name, size in sizes.items() if size < 1e-9}
    canceled = {name for name in still if name.endswith(".bias")}
    assert still == canceled
    assert not {name.removesuffix("bias") + "weight" for name in canceled} & still


def test_weights_survive_a_file(sample: Sample, tmp_path: Path) -> None:
    network = sample.network()
    images = sample.images()
    network(*images)  # moves the running statistics away from their start
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    with torch.device("meta"):
        copy = build(sample.config)
    copy.load_state_dict(load_file(tmp_path / "weights.safetensors"), assign=True)
    with torch.no_grad():
        before = flat(network.eval()(*images))
        after = flat(copy.eval()(*images))
    state = network.state_dict()
    assert list(state) == list(copy.state_dict())
    assert all(torch.equal(state[name], value) for name, value in copy.state_dict().items())
    # Not bit for bit: how weights lie in memory decides which kernel multiplies them.
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other)


def test_the_seed_decides_everything(sample: Sample) -> None:
    def trained(seed: int) -> list[Tensor]:
        network = sample.network(seed)
        outputs = flat(network(*sample.images()))
        sum(each.square().mean() for each in outputs).backward()
        gradients = [value.grad for value in network.parameters() if value.grad is not None]
        return [*outputs, *network.state_dict().values(), *gradients]

    first, again, other = trained(3), trained(3), trained(4)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not all(torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"no network 'vnet'; known are .*quicknat"):
        build({"name": "vnet"})


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="already is a network 'unet'"):
        register("unet", tiny={}, inputs=())(UNet)
    assert registered()["unet"].make is UNet


def test_parameters_are_counted_by_hand() -> None:
    assert parameter_count(torch.nn.Conv3d(2, 3, 3)) == 2 * 3 * 27 + 3
