"""Geometry of valid convolutions and of the two resolutions."""

from __future__ import annotations

import pytest
import torch

from renalis.networks import Cascade3d, ValidUNet3d
from renalis.networks.valid_unet3d import crop_center, valid_margin, valid_output_side


def halved(side: int, levels: int) -> int | None:
    """Follow a patch through the network, convolution by convolution."""
    skips = []
    for _ in range(levels - 1):
        side -= 4
        skips.append(side)
        if side <= 0 or side % 2:
            return None
        side //= 2
    side -= 4
    while skips and side > 0:
        side *= 2
        if (skips.pop() - side) % 2:
            return None
        side -= 4
    return side if side > 0 else None


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
def test_sides_that_fit(levels: int) -> None:
    fitting = []
    for side in range(1, 300):
        expected = halved(side, levels)
        if expected is None:
            with pytest.raises(ValueError, match="does not fit"):
                valid_output_side(side, levels)
        else:
            assert valid_output_side(side, levels) == expected == side - 2 * valid_margin(levels)
            fitting.append(side)
    step = 2 ** (levels - 1)
    with pytest.raises(
        ValueError, match=f"use {fitting[0]}, {fitting[0] + step}, {fitting[0] + 2 * step}, "
    ):
        valid_output_side(1, levels)


def test_published_sides() -> None:
    assert [valid_output_side(side, 4) for side in (92, 108, 132)] == [4, 20, 44]
    assert [valid_output_side(side, 3) for side in (44, 60)] == [4, 20]


def test_an_output_voxel_sees_92_voxels() -> None:
    network = ValidUNet3d(1, 1, base=1).eval()
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 0.1)  # positive: a bright voxel passes every ReLU

    def reached(bright: tuple[int, int, int]) -> list[set[int]]:
        """Output voxels along each axis that a bright input voxel reaches."""
        image = torch.zeros(1, 1, 108, 108, 108)
        image[(0, 0, *bright)] = 1e9
        with torch.no_grad():
            output = network(image)["seg"][0, 0]
        return [set(axis.tolist()) for axis in (output > output.min()).nonzero().T]

    # The eleventh of the 20 output voxels sees the input voxels 8 to 99.
    z, y, _ = reached((7, 8, 54))
    assert z
    assert (10 in z, 10 in y) == (False, True)
    z, y, _ = reached((100, 99, 54))
    assert z
    assert (10 in z, 10 in y) == (False, True)


def test_tiles_have_no_seams() -> None:
    torch.manual_seed(0)
    network = ValidUNet3d(1, 3, base=2, levels=3).eval()
    image = torch.randn(1, 1, 60, 52, 44)
    with torch.no_grad():
        whole = network(image)["seg"]
        part = network(image[:, :, 8:52, 4:48])["seg"]
    assert whole.shape[2:] == (20, 12, 4)
    torch.testing.assert_close(part, whole[:, :, 8:12, 4:8])


def test_the_middle_is_never_half_a_voxel_off() -> None:
    volume = torch.arange(6.0).reshape(1, 1, 6, 1, 1)
    assert crop_center(volume, (2, 1, 1)).flatten().tolist() == [2, 3]
    for side in (3, 8):
        with pytest.raises(ValueError, match="cannot center"):
            crop_center(volume, (side, 1, 1))


def test_spatial_dropout_drops_whole_channels_in_training_only() -> None:
    torch.manual_seed(0)
    network = ValidUNet3d(1, 2, base=8, levels=2, dropout=0.5)
    image = torch.randn(2, 1, 18, 18, 18)
    bottom = network.encode(image)[-1].flatten(2)
    silent = (bottom == 0).all(dim=2)
    assert 0 < silent.float().mean() < 1
    alive = (bottom != 0).float().mean(dim=2)[~silent]
    assert (alive > 0).all()
    network.eval()
    assert torch.equal(network(image)["seg"], network(image)["seg"])


@pytest.mark.parametrize(("side", "low_side"), [(108, 108), (92, 108), (108, 92)])
def test_the_mask_lies_where_the_coarse_answer_was(side: int, low_side: int) -> None:
    """Every coarse voxel says where it is in the world; so must the mask."""
    network = Cascade3d(base=1, low_base=1, classify=False)
    low_start = (5, 7, 11)  # of the coarse patch, in coarse voxels
    low_side_out = valid_output_side(low_side, 4)
    indices = torch.stack(
        torch.meshgrid(*[torch.arange(low_side_out) + s + 44 for s in low_start], indexing="ij")
    )
    for axis in range(3):
        # softmax([0, logit]) = coordinate / 256
        probability = indices[axis][None, None].double() / 256
        logits = torch.cat([torch.zeros_like(probability), torch.logit(probability)], dim=1)
        mask = network.mask(logits, (side,) * 3)[0, 0] * 256
        start = 4 * low_start[axis] + (4 * low_side - side) // 2  # both share their center
        world = torch.div(torch.arange(side) + start, 4, rounding_mode="floor").double()
        shape = [1, 1, 1]
        shape[axis] = side
        expected = world.reshape(shape).expand(side, side, side)
        inside = mask > 0
        torch.testing.assert_close(mask[inside], expected[inside])
        assert int(inside.sum()) == min(side, 4 * low_side_out) ** 3


def test_the_published_mask_is_padded_by_14() -> None:
    mask = Cascade3d(base=1, low_base=1, classify=False).mask(
        torch.zeros(1, 2, 20, 20, 20), (108,) * 3
    )
    assert mask.shape == (1, 1, 108, 108, 108)
    assert mask[0, 0, 14:94, 14:94, 14:94].eq(0.5).all()
    assert mask.sum() == 0.5 * 80**3


def test_each_axis_of_the_mask_has_its_own_margin() -> None:
    network = Cascade3d(base=1, low_base=1, classify=False)
    mask = network.mask(torch.zeros(1, 2, 2, 3, 4), (12, 16, 10))[0, 0]
    assert mask.shape == (12, 16, 10)
    assert mask[2:10, 2:14].eq(0.5).all()  # 16 columns cropped to 10, the rest padded by 2
    assert mask.sum() == 0.5 * 8 * 12 * 10
    with pytest.raises(ValueError, match="cannot share their center"):
        network.mask(torch.zeros(1, 2, 2, 3, 4), (12, 16, 11))


def tiny(**options: object) -> Cascade3d:
    torch.manual_seed(0)
    return Cascade3d(base=2, low_base=2, levels=2, patch=24, **options)  # type: ignore[arg-type]


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, 1, 24, 24, 24), torch.randn(2, 1, 20, 20, 20)


@pytest.mark.parametrize("mask_input", ["skip_branch", "concat"])
def test_the_fine_answer_teaches_the_coarse_network(mask_input: str) -> None:
    network = tiny(mask_input=mask_input, classify=False).double()
    image, low_image = (each.double() for each in pair())
    network(image, low_image)["seg"].square().sum().backward()
    assert network.low is not None
    assert network.low.head.weight.grad is not None
    assert network.low.head.weight.grad.abs().max() > 1e-9


def test_the_class_depends_on_the_tumor_volume_and_its_scale() -> None:
    network = tiny().eval()
    raw = tiny(volume_scale=1.0).eval()
    explicit = tiny(volume_scale=float(8**3)).eval()
    image, low_image = pair()
    with torch.no_grad():
        outputs = network(image, low_image)
        assert torch.equal(outputs["cls"], explicit(image, low_image)["cls"])
        assert not torch.equal(outputs["cls"], raw(image, low_image)["cls"])
        assert torch.equal(outputs["seg"], raw(image, low_image)["seg"])
        assert network.classifier is not None
        levels = network.high.encode(image)
        tumor = outputs["seg"].softmax(dim=1)[:, 2].mean(dim=(1, 2, 3))[:, None]
        torch.testing.assert_close(network.classifier(levels[-1], tumor), outputs["cls"])


def test_predicting_computes_only_what_counts() -> None:
    """The cropped branch gives what the whole one gives."""
    network = tiny()
    image, low_image = pair()
    network(image, low_image)
    network.eval()
    with torch.no_grad():
        fast = network(image, low_image)
        network.crop_branch = False
        slow = network(image, low_image)
    torch.testing.assert_close(fast["seg"], slow["seg"])
    network.crop_branch = True
    sizes: list[int] = []
    assert network.branch is not None
    network.branch.register_forward_pre_hook(lambda _, args: sizes.append(args[0].shape[-1]))
    network(image, low_image)
    network.train()(image, low_image)
    assert sizes == [24 - 16 + 8, 24]


def test_the_coarse_network_can_be_trained_and_run_alone() -> None:
    network = tiny().eval()
    image, low_image = pair()
    with torch.no_grad():
        both = network(image, low_image)
        alone = network(None, low_image)
        mask = network.mask(alone["low"], tuple(image.shape[2:]))
        fine = network.forward_high(image, mask)
    assert set(alone) == {"low"}
    assert torch.equal(alone["low"], both["low"])
    assert torch.equal(fine["seg"], both["seg"])
    assert torch.equal(fine["cls"], both["cls"])


def test_what_does_not_fit_is_said() -> None:
    image, low_image = pair()
    with pytest.raises(ValueError, match="needs low_image"):
        tiny()(image)
    with pytest.raises(ValueError, match="needs image"):
        tiny(multires=False)(None)
    with pytest.raises(ValueError, match="one resolution only"):
        tiny(multires=False).forward_low(low_image)
    with pytest.raises(ValueError, match="a mask belongs"):
        tiny().forward_high(image)
    with pytest.raises(ValueError, match="made for patches of 24"):
        tiny()(torch.zeros(1, 1, 28, 28, 28), low_image)
    with pytest.raises(ValueError, match="does not fit 2 levels"):
        tiny()(image, torch.zeros(1, 1, 21, 21, 21))
    with pytest.raises(ValueError, match="use a larger patch"):
        Cascade3d(base=1, low_base=1, patch=92)
    with pytest.raises(ValueError, match="mask_input"):
        tiny(mask_input="add")
    with pytest.raises(ValueError, match="tumor_class"):
        tiny(out_channels=2)
    with pytest.raises(ValueError, match="volume_scale"):
        tiny(volume_scale=0.0)
    with pytest.raises(ValueError, match="levels"):
        ValidUNet3d(levels=6)
    with pytest.raises(ValueError, match="norm"):
        ValidUNet3d(norm="layer")  # type: ignore[arg-type]
