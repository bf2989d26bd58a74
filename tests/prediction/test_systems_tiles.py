"""Tiles of valid convolutions: where they lie, and that leaving some out changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import nn

from renalis.networks import build
from renalis.networks.valid_unet3d import valid_margin
from renalis.postprocessing.context import Context
from renalis.postprocessing.steps import make_step
from renalis.prediction.network_inputs import torch_network
from renalis.prediction.tiles import (
    Pairing,
    low_mask,
    predict_pairs,
    predict_valid,
)
from renalis.sampling.paired import PairGeometry
from renalis.volume import Volume

RNG = np.random.default_rng(5)
TILE, MARGIN = 20, 44


def center(block: np.ndarray, tile: int) -> np.ndarray:
    """The middle of patches (N, 1, S, S, S)."""
    lost = (block.shape[-1] - tile) // 2
    inside = slice(lost, lost + tile)
    return block[:, :, inside, inside, inside]


def placed(scale: float, corner: tuple[float, float, float]) -> np.ndarray:
    """Affine of a grid whose first voxel's outer corner lies at ``corner`` mm."""
    affine = np.diag([scale, scale, scale, 1.0])
    affine[:3, 3] = np.asarray(corner) + scale / 2
    return affine


@settings(max_examples=15, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 30)] * 3), batch=st.integers(1, 5))
def test_an_identity_comes_back_through_tiles(shape: tuple[int, int, int], batch: int) -> None:
    image = RNG.random(shape, np.float32)

    def network(*inputs: np.ndarray) -> dict[str, np.ndarray]:
        middle = center(inputs[0], 8)
        return {"low": np.concatenate([1 - middle, middle], axis=1)}

    done = predict_valid(image, network, tile=8, margin=6, output="low", batch=batch)
    np.testing.assert_array_equal(done.probability[1], image)
    assert done.computed == done.of == np.prod([-(-n // 8) for n in shape])


def test_the_published_sizes() -> None:
    pairing = Pairing()
    assert pairing.first_block(TILE) == (-2, -2, -2)
    for block in range(-2, 400, TILE):
        fine, coarse = block - MARGIN, pairing.coarse_start((block,) * 3, TILE, MARGIN)[0]
        assert fine == 4 * coarse + 162
        # The coarse block, in fine voxels, is the middle 80 of the fine patch.
        assert 4 * (coarse + MARGIN) == fine + 14
    with pytest.raises(ValueError, match="keep step"):
        pairing.first_block(18)


@pytest.mark.parametrize("corner", [(0, 0, 0), (-3, 5, 2)])
@pytest.mark.parametrize(("tile", "margin"), [(20, 44), (20, 20), (4, 44)])
def test_both_patches_of_a_tile_show_the_same_place(
    corner: tuple[int, int, int], tile: int, margin: int
) -> None:
    """Each voxel holds its own x in mm; in the middle both patches have to hold the same."""
    shape, beyond = (24, 27, 31), -1e4
    fine = np.broadcast_to(np.arange(31) + 0.5, shape).astype(np.float32)
    x_mm = corner[2] + 4 * np.arange(12) + 2.0
    coarse = np.broadcast_to(x_mm, (12, 12, 12)).astype(np.float32)
    pairing = Pairing.of(placed(1, (0, 0, 0)), placed(4, corner))
    assert pairing == Pairing(4, corner)
    checked = 0

    def network(*inputs: np.ndarray) -> dict[str, np.ndarray]:
        nonlocal checked
        half = inputs[0].shape[-1] // 2
        # The center lies between the two voxels in the middle, of either patch.
        near, wide = (x[0, 0, half, half, half - 1 : half + 1] for x in inputs)
        if near.min() > beyond and wide.min() > beyond:
            assert near.mean() == pytest.approx(wide.mean())
            checked += 1
        return {"seg": center(inputs[0], tile)}

    done = predict_pairs(
        fine, coarse, network, pairing, tile=tile, margin=margin, fill=beyond, background=None
    )
    assert checked
    np.testing.assert_array_equal(done.probability[0], fine)


@pytest.mark.parametrize(("tile", "margin"), [(20, 44), (20, 20), (4, 44), (12, 8)])
def test_tiles_lie_as_in_training(tile: int, margin: int) -> None:
    geometry = PairGeometry(size=tile + 2 * margin, output=tile)
    pairing = Pairing()
    first = pairing.first_block(tile)[0]
    assert first % 4 == geometry.remainder
    for block in range(first, 100, tile):
        assert pairing.coarse_start((block,) * 3, tile, margin)[0] == geometry.coarse_start(block)


def test_grids_that_share_a_voxel_center_are_refused() -> None:
    coarse = placed(4, (0, 0, 0))
    coarse[:3, 3] = placed(1, (0, 0, 0))[:3, 3]
    with pytest.raises(ValueError, match="whole voxels"):
        Pairing.of(placed(1, (0, 0, 0)), coarse)
    with pytest.raises(ValueError, match="whole voxels"):
        Pairing.of(placed(1, (0, 0, 0)), placed(3.5, (0, 0, 0)))


def smoothing(*inputs: np.ndarray) -> dict[str, np.ndarray]:
    """A network of which every answer depends on all that it sees, of both grids."""
    near, wide = inputs
    blurred = ndimage.uniform_filter(near, (0, 0, 5, 5, 5))
    blurred += 0.1 * wide.mean((1, 2, 3, 4), keepdims=True)
    first = center(blurred, 8)
    return {
        "seg": np.concatenate([first, 1 - first, 0.3 * first], axis=1).astype(np.float32),
        "cls": near.mean((1, 2, 3, 4))[:, None].astype(np.float32),
    }


@pytest.mark.parametrize("batch", [1, 3])
def test_tiles_outside_the_low_mask_change_nothing(batch: int) -> None:
    fine = RNG.random((37, 42, 51), np.float32)
    coarse = RNG.random((10, 11, 13), np.float32)
    low = np.zeros(coarse.shape, np.float32)
    low[4:6, 2:4, 8:10] = 0.9
    low[8, 9, 1] = 0.6
    low[1, 1, 1] = 0.5
    pairing = Pairing()
    within = low_mask(low, pairing, fine.shape, iterations=3)
    args = {"tile": 8, "margin": 6, "batch": batch}
    every = predict_pairs(fine, coarse, smoothing, pairing, **args)
    gated = predict_pairs(fine, coarse, smoothing, pairing, within=within, **args)
    assert every.computed == every.of == gated.of
    assert 0 < gated.computed < every.computed / 3
    expected = np.where(within, every.probability, np.eye(3)[0][:, None, None, None])
    np.testing.assert_array_equal(gated.probability, expected)
    scores = dict(zip(every.starts, every.scores, strict=True))
    assert gated.scores.tolist() == [scores[start] for start in gated.starts]


def test_the_gate_is_the_rule_applied_beforehand() -> None:
    """Gated prediction, and the rule mask_by_low after all tiles: the same labels."""
    fine = RNG.random((30, 30, 30), np.float32)
    coarse = RNG.random((8, 8, 8), np.float32)
    low = np.zeros((8, 8, 8), np.float32)
    low[2:4, 3:5, 4:6] = 0.7
    pairing = Pairing()
    args = {"tile": 8, "margin": 6, "background": 0}
    within = low_mask(low, pairing, fine.shape, at=0.5, iterations=4)
    gated = predict_pairs(fine, coarse, smoothing, pairing, within=within, **args)
    every = predict_pairs(fine, coarse, smoothing, pairing, **args)
    labels = Volume(every.probability.argmax(0).astype(np.uint8), placed(1, (0, 0, 0)))
    rule = make_step("mask_by_low", threshold=0.5, dilate=4)
    rule.apply(labels, Context(low=Volume(low, placed(4, (0, 0, 0)))))
    assert labels.array.any()
    np.testing.assert_array_equal(gated.probability.argmax(0), labels.array)


def test_nothing_found_is_all_background_at_no_cost() -> None:
    fine, coarse = np.zeros((20, 20, 20), np.float32), np.zeros((5, 5, 5), np.float32)
    none = np.zeros(fine.shape, bool)
    done = predict_pairs(fine, coarse, smoothing, Pairing(), tile=8, margin=6, within=none)
    assert done.computed == 0
    assert done.probability.shape == (3, 20, 20, 20)
    assert (done.probability.argmax(0) == 0).all()
    assert (done.probability.sum(0) == 1).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), iterations=st.integers(0, 12))
def test_the_low_mask_is_dilated_step_by_step(seed: int, iterations: int) -> None:
    rng = np.random.default_rng(seed)
    low = (rng.random((5, 6, 7)) > 0.97).astype(np.float32)
    shape = (18, 24, 27)
    plain = low.repeat(4, 0).repeat(4, 1).repeat(4, 2)[:18, :24, :27] > 0.5
    expected = ndimage.binary_dilation(plain, iterations=iterations) if iterations else plain
    found = low_mask(low, Pairing(), shape, iterations=iterations)
    np.testing.assert_array_equal(found, expected)


def test_a_real_valid_network_has_no_seams() -> None:
    """Tiles of half the size give what one pass over everything gives."""
    torch.manual_seed(1)
    module = build({"name": "valid_unet3d", "base": 2, "levels": 2, "out_channels": 3})
    network = torch_network(module, {"seg": "softmax"})
    margin = valid_margin(2)
    image = RNG.random((16, 24, 16), np.float32)
    whole = network(np.pad(image, margin)[None, None])["seg"][0]
    done = predict_valid(image, network, tile=8, margin=margin)
    assert done.computed == 12
    np.testing.assert_allclose(done.probability, whole, atol=1e-5)


def test_a_real_cascade_gated_and_ungated() -> None:
    torch.manual_seed(2)
    module = build(
        {"name": "cascade3d", "base": 2, "low_base": 2, "levels": 2, "patch": 24, "tumor_class": 2}
    )
    network = torch_network(module, {"seg": "softmax", "cls": "sigmoid"})
    coarse_half = torch_network(CoarseHalf(module), {"low": "softmax"})
    fine = RNG.random((28, 30, 26), np.float32)
    coarse = RNG.random((7, 8, 7), np.float32)
    pairing = Pairing()
    low = predict_valid(coarse, coarse_half, tile=8, margin=8, output="low").probability[1]
    at = float(np.quantile(low, 0.98))
    within = low_mask(low, pairing, fine.shape, at=at, iterations=1)
    every = predict_pairs(fine, coarse, network, pairing, tile=8, margin=8)
    gated = predict_pairs(fine, coarse, network, pairing, tile=8, margin=8, within=within)
    assert 0 < gated.computed < every.computed
    background = np.eye(3, dtype=np.float32)[0][:, None, None, None]
    expected = np.where(within, every.probability, background)
    np.testing.assert_allclose(gated.probability, expected, atol=1e-6)
    assert ((gated.scores >= 0) & (gated.scores <= 1)).all()


class CoarseHalf(nn.Module):
    """The coarse network of a cascade alone."""

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, low_image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"low": self.whole.forward_low(low_image)}
