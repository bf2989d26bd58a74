"""The three 3D U-Nets of KiTS19: repeats, order of operations, options."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from renalis.networks import UNet3d
from renalis.networks.attention import AttentionGate
from renalis.networks.unet3d import ResidualBlock


def normalized(features: Tensor) -> Tensor:
    mean = features.mean((2, 3, 4), keepdim=True)
    var = features.var((2, 3, 4), keepdim=True, unbiased=False)
    return (features - mean) / torch.sqrt(var + 1e-5)


@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2), (2, 2, 2)])
@pytest.mark.parametrize("preact", [True, False])
def test_a_residual_block_is_what_its_publication_says(
    preact: bool, stride: tuple[int, int, int]
) -> None:
    torch.manual_seed(0)
    same = stride == (1, 1, 1)
    block = ResidualBlock(4, 4 if same else 6, preact, stride).double()
    image = torch.randn(2, 4, 6, 8, 8).double()
    one = lambda x: functional.conv3d(x, block.conv1.weight, block.conv1.bias, stride, 1)  # noqa: E731
    two = lambda x: functional.conv3d(x, block.conv2.weight, block.conv2.bias, 1, 1)  # noqa: E731
    shortcut = image
    if not same:
        weight, bias = block.shortcut.weight[:, :, 0, 0, 0], block.shortcut.bias
        picked = image[:, :, :: stride[0], :: stride[1], :: stride[2]]
        shortcut = torch.einsum("nczyx,oc->nozyx", picked, weight) + bias[:, None, None, None]
    if preact:
        inner = two(normalized(one(normalized(image).clamp(min=0))).clamp(min=0))
        expected = inner + shortcut
    else:
        inner = normalized(two(normalized(one(image)).clamp(min=0)))
        expected = (inner + shortcut).clamp(min=0)
    torch.testing.assert_close(block(image), expected)


@pytest.mark.parametrize("variant", ["residual", "preact"])
def test_sharing_means_that_all_repeats_have_equal_weights(variant: str) -> None:
    torch.manual_seed(0)
    options = {"variant": variant, "base": 2, "levels": 4}
    shared = UNet3d(**options).eval()
    independent = UNet3d(**options, share_repeats=False).eval()
    tied = {
        name: shared.state_dict()[".".join(["0" if i == 4 else p for i, p in enumerate(parts)])]
        if (parts := name.split("."))[3:4] == ["blocks"]
        else shared.state_dict()[name]
        for name in independent.state_dict()
    }
    independent.load_state_dict(tied)
    counts = [len(stage[1].blocks) for stage in list(independent.encoder)[1:]]
    assert counts == [1, 2, 3]
    image = torch.randn(1, 1, 8, 16, 16)
    with torch.no_grad():
        one, other = shared(image)["seg"], independent(image)["seg"]
        torch.testing.assert_close(one, other)
        tied["encoder.3.1.blocks.2.conv1.weight"] = -tied["encoder.3.1.blocks.2.conv1.weight"]
        independent.load_state_dict(tied)
        assert not torch.allclose(one, independent(image)["seg"])


@pytest.mark.parametrize("variant", ["plain", "residual", "preact"])
def test_brightness_and_contrast_do_not_matter(variant: str) -> None:
    """Instance normalization follows the first convolution; only the padding still tells."""
    torch.manual_seed(0)
    network = UNet3d(variant, base=2, levels=3).double().eval()
    image = torch.randn(1, 1, 8, 16, 16).double()
    with torch.no_grad():
        seg = network(image)["seg"]
        torch.testing.assert_close(network(3 * image)["seg"], seg, rtol=1e-3, atol=1e-3)
        assert not torch.allclose(network(-image)["seg"], seg, atol=1e-2)


def test_only_the_plain_network_leaks() -> None:
    slopes = {
        variant: {
            getattr(module, "negative_slope", 0.0)
            for module in UNet3d(variant, base=2).modules()  # type: ignore[arg-type]
            if isinstance(module, torch.nn.LeakyReLU | torch.nn.ReLU)
        }
        for variant in ("plain", "residual", "preact")
    }
    assert slopes == {"plain": {0.2}, "residual": {0.0}, "preact": {0.0}}


def test_deep_supervision_adds_answers_and_changes_none() -> None:
    torch.manual_seed(0)
    network = UNet3d(base=2, levels=4, deep_supervision=2).eval()
    plain = UNet3d(base=2, levels=4).eval()
    plain.load_state_dict(network.state_dict(), strict=False)
    image = torch.randn(1, 1, 8, 32, 32)
    with torch.no_grad():
        outputs = network(image)
        assert torch.equal(outputs["seg"], plain(image)["seg"])
    shapes = [tuple(each.shape[2:]) for each in outputs["deep"]]
    assert shapes == [(8, 16, 16), (4, 8, 8)]
    assert "deep" not in plain(image)


def test_a_gate_weights_the_skip_between_zero_and_one() -> None:
    torch.manual_seed(0)
    gate = AttentionGate(6)
    skip, features = torch.randn(2, 6, 3, 4, 5), torch.randn(2, 6, 3, 4, 5)
    with torch.no_grad():
        weight = gate(skip, features) / skip
        # One weight per voxel, the same for all channels, and it depends on the decoder.
        torch.testing.assert_close(weight, weight[:, :1].expand_as(weight), rtol=1e-4, atol=1e-5)
        assert ((weight > 0) & (weight < 1)).all()
        assert not torch.allclose(weight, gate(skip, -features) / skip)
        gate.weight.bias += 50
        torch.testing.assert_close(gate(skip, features), skip)


def test_what_does_not_fit_is_said() -> None:
    network = UNet3d(base=2)
    assert network.multiple == (16, 32, 32)
    with pytest.raises(ValueError, match=r"\(80, 160, 150\) .* multiples of \(16, 32, 32\)"):
        network(torch.zeros(1, 1, 80, 160, 150))
    with pytest.raises(ValueError, match="variant"):
        UNet3d("dense")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="levels"):
        UNet3d(levels=1)
    with pytest.raises(ValueError, match="deep_supervision must be 0 to 4"):
        UNet3d(deep_supervision=5)
