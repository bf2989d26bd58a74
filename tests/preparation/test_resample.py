"""Resampling against independent implementations, and where the voxels land."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from renalis.preparation import linear_weights, resample, stage_grid, triangle_weights, window
from renalis.preparation.resample import apply_matrices
from renalis.volume import Volume

RNG = np.random.default_rng(7)
SCAN = RNG.integers(-1000, 1500, (13, 40, 33)).astype(np.int16)
AFFINE = np.diag([3.0, 0.9, 0.8, 1.0])


def test_reducing_equals_pillow_inside() -> None:
    # Pillow drops the weights beyond the border where this repeats the border's voxel.
    row = RNG.normal(size=60).astype(np.float32)
    expected = np.asarray(Image.fromarray(row[None]).resize((15, 1), Image.Resampling.BILINEAR))[0]
    ours = triangle_weights(60, 0, 15, 4.0) @ row
    np.testing.assert_allclose(ours[1:-1], expected[1:-1], atol=1e-5)


def test_reducing_equals_pillow_with_repeated_border() -> None:
    row = RNG.normal(size=60).astype(np.float32)
    padded = np.pad(row, 20, mode="edge")
    image = Image.fromarray(padded[None])
    expected = np.asarray(image.resize((25, 1), Image.Resampling.BILINEAR))[0][5:20]
    np.testing.assert_allclose(triangle_weights(60, 0, 15, 4.0) @ row, expected, atol=1e-5)


@pytest.mark.parametrize("ratio", [0.31, 0.5, 0.77, 1.0])
def test_enlarging_equals_scipy(ratio: float) -> None:
    row = RNG.normal(size=50)
    outputs = int(50 / ratio)
    centers = (np.arange(outputs) + 0.5) * ratio - 0.5
    expected = ndimage.map_coordinates(row, [centers], order=1, mode="nearest")
    np.testing.assert_allclose(triangle_weights(50, 0, outputs, ratio) @ row, expected, atol=1e-5)


@pytest.mark.parametrize("ratio", [0.4, 2.7, 5.0])
def test_linear_weights_equal_scipy(ratio: float) -> None:
    row = RNG.normal(size=50)
    outputs = int(50 / ratio)
    centers = (np.arange(outputs) + 0.5) * ratio - 0.5
    expected = ndimage.map_coordinates(row, [centers], order=1, mode="nearest")
    np.testing.assert_allclose(linear_weights(50, 0, outputs, ratio) @ row, expected, atol=1e-5)


@given(st.integers(1, 40), st.floats(0.2, 9), st.integers(0, 5))
def test_weights_sum_to_one_and_are_not_negative(inputs: int, ratio: float, start: int) -> None:
    matrix = triangle_weights(inputs, start, start + 6, ratio)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)
    assert (matrix >= 0).all()


@pytest.mark.parametrize("spacing", [(4.0, 4.0, 4.0), (2.0, 2.0, 2.0), (1.5, 0.7, 3.1)])
def test_a_linear_ramp_keeps_its_place(spacing: tuple[float, float, float]) -> None:
    """Each voxel of a ramp in mm holds its own place: grid and affine agree."""
    affine = np.array([[0.1, 0, -0.8, 12], [0, -0.9, 0.1, -7], [3, 0.05, 0, 40], [0, 0, 0, 1.0]])
    points = Volume(SCAN, affine).world(np.moveaxis(np.indices(SCAN.shape), 0, -1))
    for axis in range(3):
        result = resample(Volume(points[..., axis].astype(np.float32), affine), spacing)
        assert result.spacing == pytest.approx(spacing, abs=1e-9)
        expected = result.world(np.moveaxis(np.indices(result.shape), 0, -1))[..., axis]
        margin = tuple(slice(3, -3) if n > 8 else slice(n // 2, n // 2 + 1) for n in result.shape)
        # A triangle of fractional width shifts single voxels of a ramp by a little.
        np.testing.assert_allclose(result.array[margin], expected[margin], rtol=0, atol=0.1)


def test_outer_corner_stays() -> None:
    scan = Volume(SCAN, AFFINE)
    grid = stage_grid(scan, (4.0, 4.0, 4.0))
    corner = Volume(np.empty(grid.shape, np.uint8), grid.affine).world(np.full(3, -0.5))
    np.testing.assert_allclose(corner, scan.world(np.full(3, -0.5)), atol=1e-9)
    assert grid.shape == (10, 9, 7)  # 39 mm, 36 mm, 26.4 mm


def test_a_spacing_a_hair_too_large_adds_no_voxel() -> None:
    scan = Volume(np.zeros((20, 20, 20), np.int16), np.diag([2.0000001, 2, 2, 1]))
    assert stage_grid(scan, (4.0, 4.0, 4.0)).shape == (10, 10, 10)


@settings(max_examples=40, deadline=None)
@given(
    st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3), st.sampled_from([1.3, 2.0, 4.0])
)
def test_memory_order_does_not_matter(
    order: list[int], flips: tuple[bool, bool, bool], spacing: float
) -> None:
    index = tuple(slice(None, None, -1 if f else None) for f in flips)
    stored = np.ascontiguousarray(SCAN[index].transpose(order))
    view = stored.transpose(np.argsort(order))[index]
    assert np.array_equal(view, SCAN)
    expected = resample(Volume(SCAN, AFFINE), (spacing,) * 3)
    result = resample(Volume(view, AFFINE), (spacing,) * 3)
    np.testing.assert_allclose(result.array, expected.array, atol=1e-2)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_box_is_that_part_of_the_whole(data: st.DataObject) -> None:
    scan = Volume(SCAN, AFFINE)
    whole = resample(scan, (2.0, 2.0, 2.0))
    box = []
    for n in whole.shape:
        start = data.draw(st.integers(0, n - 1))
        box.append(slice(start, data.draw(st.integers(start + 1, n))))
    part = resample(scan, (2.0, 2.0, 2.0), (box[0], box[1], box[2]))
    expected = whole.cropped((box[0], box[1], box[2]))
    np.testing.assert_allclose(part.array, expected.array, atol=1e-2)
    assert part.same_grid(expected)


def test_many_slabs_equal_one(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = resample(Volume(SCAN, AFFINE), (4.0, 4.0, 4.0)).array
    monkeypatch.setattr(sys.modules["renalis.preparation.resample"], "_SLAB_VOXELS", 3000)
    result = resample(Volume(SCAN, AFFINE), (4.0, 4.0, 4.0)).array
    np.testing.assert_allclose(result, expected, atol=1e-2)


def test_window_scales_and_clips() -> None:
    image = np.array([-3000, -150, 0, 50, 250, 3000], np.float32)
    np.testing.assert_allclose(window(image, -150, 250), [-1, -1, -0.25, 0, 1, 1], atol=1e-6)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        window(np.zeros(3, np.float32), 100, 100)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), slab_voxels=st.sampled_from([1, 50, 4 << 20]))
def test_rows_without_weights_give_zeros(seed: int, slab_voxels: int) -> None:
    """Blocks of voxels that lie outside of the array, and parts of the array nobody needs."""
    rng = np.random.default_rng(seed)
    shape = rng.choice([1, 2, 5, 31, 90], 3)
    array = rng.integers(-50, 50, shape).astype(np.int16)
    order = rng.permutation(3)
    stored = np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))
    matrices = []
    for inputs in shape:
        outputs = int(rng.choice([1, 3, 40]))
        # Linear interpolation at places of which some or all lie beyond the array.
        place = rng.uniform(-2, 1) * inputs + rng.uniform(0, 0.3) * inputs * np.arange(outputs)
        matrix = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(inputs))).astype(np.float32)
        matrices.append(matrix)
    expected = np.einsum("ijk,ai,bj,ck->abc", array.astype(float), *matrices, optimize=True)
    with pytest.MonkeyPatch.context() as patch:
        module = sys.modules["renalis.preparation.resample"]
        patch.setattr(module, "_SLAB_VOXELS", slab_voxels)
        result = apply_matrices(stored, list(matrices))
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=1e-2)
