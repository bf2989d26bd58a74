"""Parameter counts and shapes of the published systems, at full size, without computing them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from renalis.networks import ValidUNet3d, build, parameter_count


def full(name: str, **options: Any) -> nn.Module:
    with torch.device("meta"):
        return build({"name": name, **options})


def shapes(network: nn.Module, *inputs: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    images = [torch.empty(shape, device="meta") for shape in inputs]
    return {key: tuple(value.shape) for key, value in network.eval()(*images).items()}


@pytest.mark.parametrize(
    ("count", "name", "options"),
    [
        (24_430_097, "resnet34_unet", {}),
        (24_436_369, "resnet34_unet", {"in_channels": 3}),
        (31_036_481, "simple_unet", {}),
        (1_942_289, "simple_unet", {"base": 16}),
        (3_553_529, "quicknat", {}),
        (3_549_272, "quicknat", {"bottleneck_excitation": "none"}),
        (3_553_529, "quicknat", {"bottleneck_excitation": "applied"}),
        (3_555_284, "quicknat", {"out_channels": 28}),
        (29_693_593, "unet3d", {"variant": "plain"}),
        (35_477_667, "unet3d", {"variant": "residual"}),
        (35_477_667, "unet3d", {"variant": "preact"}),
        (78_669_283, "unet3d", {"variant": "residual", "share_repeats": False}),
        (78_669_283, "unet3d", {"variant": "preact", "share_repeats": False}),
        (4_770_658, "valid_unet3d", {"out_channels": 2, "base": 16}),
        (19_073_795, "valid_unet3d", {}),
        (19_184_387, "valid_unet3d", {"extra_skip": 64}),
        (24_946_742, "cascade3d", {}),
        (24_905_654, "cascade3d", {"last_fc": 128}),
        (24_780_566, "cascade3d", {"mask_input": "concat"}),
        (24_739_478, "cascade3d", {"mask_input": "concat", "last_fc": 128}),
        (24_011_493, "cascade3d", {"classify": False}),
        (19_073_795, "cascade3d", {"classify": False, "multires": False}),
    ],
)
def test_as_many_parameters_as_published(count: int, name: str, options: dict[str, Any]) -> None:
    assert parameter_count(full(name, **options)) == count


def test_parts_have_their_counts() -> None:
    unet = full("resnet34_unet")
    assert parameter_count(unet.encoder) == 21_278_400
    assert parameter_count(unet.decoder) == 3_151_552
    assert parameter_count(unet.segmentation_head) == 145
    quicknat = full("quicknat")
    assert parameter_count(quicknat.encoder[0]) == 118_696
    assert parameter_count(quicknat.encoder[1]) == 324_706
    assert parameter_count(quicknat.decoder[0]) == 533_986
    assert sum(p.numel() for p in quicknat.parameters() if p.requires_grad) == 3_549_272
    cascade = full("cascade3d")
    assert parameter_count(cascade.branch) == 56_448
    assert parameter_count(cascade.low) == 4_770_658
    assert parameter_count(cascade.high) == 19_184_387
    assert parameter_count(cascade.classifier) == 935_249
    assert parameter_count(full("cascade3d", last_fc=128).classifier) == 894_161
    residual = full("unet3d")
    down, again = residual.encoder[4]
    assert (parameter_count(down), parameter_count(again)) == (4_486_080, 5_530_240)
    ups = [parameter_count(up) for up in residual.decoder]
    assert ups == [6_349_440, 2_482_560, 645_312, 161_376, 44_976]


def test_the_backbone_is_the_original_3d_unet() -> None:
    network = full("valid_unet3d", in_channels=3)
    assert isinstance(network, ValidUNet3d)
    norms = sum(parameter_count(m) for m in network.modules() if isinstance(m, nn.BatchNorm3d))
    ups = [m for m in network.modules() if isinstance(m, nn.ConvTranspose3d)]
    biases = sum(up.bias.numel() for up in ups if up.bias is not None)
    assert (norms, biases) == (4_672, 896)
    # Çiçek et al., section 2: "The architecture has 19069955 parameters in total."
    assert parameter_count(network) - norms - biases == 19_069_955
    assert shapes(network, (1, 3, 132, 132, 132)) == {"seg": (1, 3, 44, 44, 44)}


@pytest.mark.parametrize("side", [256, 512])
@pytest.mark.parametrize("name", ["resnet34_unet", "simple_unet"])
def test_slices_keep_their_size(name: str, side: int) -> None:
    assert shapes(full(name), (1, 1, side, side)) == {"seg": (1, 1, side, side)}


@pytest.mark.parametrize("variant", ["plain", "residual", "preact"])
def test_patches_keep_their_size(variant: str) -> None:
    network = full("unet3d", variant=variant, deep_supervision=2)
    images = torch.empty((6, 1, 80, 160, 160), device="meta")
    outputs = network(images)
    assert outputs["seg"].shape == (6, 3, 80, 160, 160)
    deep = [tuple(each.shape) for each in outputs["deep"]]
    assert deep == [(6, 3, 80, 80, 80), (6, 3, 40, 40, 40)]


@pytest.mark.parametrize("mask_input", ["skip_branch", "concat"])
@pytest.mark.parametrize("training", [True, False])
def test_the_cascade_sees_108_and_answers_20(mask_input: str, training: bool) -> None:
    network = full("cascade3d", mask_input=mask_input).train(training)
    images = [torch.empty((2, 1, 108, 108, 108), device="meta") for _ in range(2)]
    found = {key: tuple(value.shape) for key, value in network(*images).items()}
    assert found == {"low": (2, 2, 20, 20, 20), "seg": (2, 3, 20, 20, 20), "cls": (2, 1)}
