"""Grids that begin on a common grid of the patient's coordinates: where, and what they show."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from renalis.preparation import (
    cubic_weights,
    grid_offset,
    linear_weights,
    resample,
    stage_grid,
    triangle_weights,
)
from renalis.preparation.grid_origin import COMMON_GRID_MM
from renalis.volume import Volume

SPL = np.array([[0, 0, -1.0], [0, -1, 0], [1, 0, 0]])
STAGE = (2.0, 2.0, 2.0)

spacings = st.tuples(st.floats(0.5, 5), st.floats(0.5, 3), st.floats(0.5, 3))
origins = st.tuples(*[st.floats(-300, 300)] * 3)


def placed(
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    shape: tuple[int, int, int] = (14, 17, 19),
) -> Volume:
    """A scan of noise in canonical orientation."""
    affine = np.eye(4)
    affine[:3, :3] = SPL * spacing
    affine[:3, 3] = origin
    return Volume(np.random.default_rng(2).normal(0, 100, shape).astype(np.float32), affine)


def corner(scan: Volume, offset: tuple[float, float, float]) -> np.ndarray:
    """Patient coordinates of the first corner of a stage's grid."""
    grid = stage_grid(scan, STAGE, offset)
    return Volume(np.broadcast_to(np.uint8(0), grid.shape), grid.affine).world(np.full(3, -0.5))


@given(spacings, origins)
def test_grids_begin_at_multiples_and_hold_the_scan(
    spacing: tuple[float, float, float], origin: tuple[float, float, float]
) -> None:
    scan = placed(spacing, origin)
    offset = grid_offset(scan)
    assert all(0 <= mm < COMMON_GRID_MM for mm in offset)
    first = corner(scan, offset)
    # A corner a thousandth of a mm beside a multiple is left where it is.
    beside = np.abs(first - np.rint(first / COMMON_GRID_MM) * COMMON_GRID_MM)[[2, 1, 0]]
    parts = COMMON_GRID_MM / np.rint(COMMON_GRID_MM / np.array(spacing))
    kept = np.isclose(np.array(spacing), parts, rtol=0, atol=2e-3) & (np.array(spacing) > 0.99)
    assert (beside[~kept] < 1.1e-3).all()
    grid = stage_grid(scan, STAGE, offset)
    ends = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in scan.shape])).reshape(3, -1).T
    whole = Volume(np.broadcast_to(np.uint8(0), grid.shape), grid.affine)
    index = whole.index(scan.world(ends))
    assert (index > -0.5 - 1e-6).all()
    assert (index < np.array(grid.shape) - 0.5 + 2e-3).all()


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([1.5, 2.0, 3.0, 4.0, 1.49999, 1.99999]), origins)
def test_slices_as_far_apart_as_a_grids_voxels_stay_as_they_are(
    mm: float, origin: tuple[float, float, float]
) -> None:
    scan = placed((mm, 2.0, 2.0), origin)
    offset = grid_offset(scan)
    assert all(0 <= one < COMMON_GRID_MM for one in offset)
    seen = resample(scan, (mm, 2.0, 2.0), None, offset)
    before = np.rint(scan.index(seen.world(np.zeros(3)))).astype(int)
    np.testing.assert_allclose(scan.index(seen.world(np.zeros(3))), before, atol=1e-6)
    inner = tuple(slice(-b, n - b) for b, n in zip(before.tolist(), scan.shape, strict=True))
    np.testing.assert_allclose(seen.array[inner], scan.array, atol=1e-3)


@given(st.tuples(*[st.integers(-60, 60)] * 3), st.tuples(*[st.floats(-4e-4, 4e-4)] * 3))
def test_rounded_coordinates_add_no_voxel(
    steps: tuple[int, int, int], rounding: tuple[float, float, float]
) -> None:
    """A corner on the common grid stays the first corner when DICOM or NIfTI rounds it."""
    affine = np.eye(4)
    affine[:3, :3] = SPL * 2
    scan = Volume(np.zeros((14, 17, 19)), affine)
    affine[:3, 3] = COMMON_GRID_MM * np.array(steps) - scan.world(np.full(3, -0.5)) + rounding
    scan = Volume(scan.array, affine)
    assert max(grid_offset(scan)) < 1e-3
    assert stage_grid(scan, STAGE, grid_offset(scan)).shape == scan.shape


@pytest.mark.parametrize(("ratio", "offset"), [(0.4, 0.9), (1.0, 0.5), (2.7, 3.6), (2.0, 0.0)])
def test_weights_with_a_lead_equal_scipy(ratio: float, offset: float) -> None:
    row = np.random.default_rng(4).normal(size=50)
    outputs = int(np.ceil((50 + offset) / ratio))
    centers = (np.arange(outputs) + 0.5) * ratio - 0.5 - offset
    expected = ndimage.map_coordinates(row, [centers], order=1, mode="nearest")
    linear = linear_weights(50, 0, outputs, ratio, offset)
    np.testing.assert_allclose(linear @ row, expected, atol=1e-5)
    spline = ndimage.map_coordinates(row, [centers], order=3, mode="nearest")
    cubic = cubic_weights(50, 0, outputs, ratio, offset)
    np.testing.assert_allclose(cubic @ row, spline, atol=1e-4)
    if ratio <= 1:
        triangle = triangle_weights(50, 0, outputs, ratio, offset)
        np.testing.assert_allclose(triangle @ row, expected, atol=1e-5)


def test_a_lead_of_whole_voxels_is_a_scan_with_its_border_repeated() -> None:
    scan = placed((3.0, 0.9, 0.8), (0, 0, 0))
    before = (1, 4, 2)
    offset = tuple(n * mm for n, mm in zip(before, scan.spacing, strict=True))
    wide = np.pad(scan.array, [(n, 0) for n in before], mode="edge")
    affine = scan.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.array(before)
    expected = resample(Volume(wide, affine), STAGE)
    result = resample(scan, STAGE, None, (offset[0], offset[1], offset[2]))
    assert result.same_grid(expected)
    np.testing.assert_allclose(result.array, expected.array, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(spacings, origins, st.tuples(*[st.integers(0, 4)] * 3))
def test_a_crop_shows_the_same_voxels(
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    cut: tuple[int, int, int],
) -> None:
    scan = placed(spacing, origin, (24, 25, 26))
    part = scan.cropped((slice(cut[0], None), slice(cut[1], None), slice(cut[2], None)))
    seen, less = (resample(v, STAGE, None, grid_offset(v)) for v in (scan, part))
    shift = seen.index(less.world(np.zeros(3)))
    steps = np.rint(shift).astype(int)
    np.testing.assert_allclose(shift, steps, atol=2e-3)
    # Context the cut, the part repeats its border: as far as a voxel of either grid and the offset.
    reach = np.ceil((COMMON_GRID_MM + np.maximum(spacing, STAGE)) / STAGE).astype(int)
    inner = tuple(slice(r, max(r, n - r)) for r, n in zip(reach.tolist(), less.shape, strict=True))
    same = tuple(slice(i.start + s, i.stop + s) for i, s in zip(inner, steps.tolist(), strict=True))
    np.testing.assert_allclose(less.array[inner], seen.array[same], atol=1)
