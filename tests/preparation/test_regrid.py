"""Splines against SciPy and scikit-image, and labels that stay labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.transform import resize

from renalis.preparation import (
    Grid,
    GridSpec,
    cubic_weights,
    nearest_index,
    place_grid,
    regrid_image,
    regrid_labels,
)
from renalis.volume import Kind, Volume

RNG = np.random.default_rng(11)
SMOOTH = ndimage.gaussian_filter(RNG.normal(0, 1500, (17, 45, 38)), 0.8)
HU = np.clip(np.rint(SMOOTH), -1024, 3071).astype(np.int16)
SCAN = Volume(HU, np.array([[0, 0, -0.8, 9], [0, -0.9, 0, 5], [3.0, 0, 0, 2], [0, 0, 0, 1]]))


def same_extent(spacing: tuple[float, float, float]) -> Grid:
    """The grid of about this spacing that covers exactly the scan, as other programs make it."""
    z, y, x = (
        n * mm / round(n * mm / new)
        for n, mm, new in zip(SCAN.shape, SCAN.spacing, spacing, strict=True)
    )
    return place_grid(SCAN, GridSpec("g", spacing_mm=(z, y, x)))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 90))
def test_cubic_equals_scipy_zoom(inputs: int, outputs: int) -> None:
    row = np.random.default_rng(inputs).integers(-1000, 2000, inputs).astype(float)
    expected = ndimage.zoom(row, outputs / inputs, order=3, mode="nearest", grid_mode=True)
    ours = cubic_weights(inputs, 0, outputs, inputs / outputs) @ row
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-3)


def test_cubic_is_the_identity_on_the_same_voxels() -> None:
    np.testing.assert_array_equal(cubic_weights(20, 3, 17, 1.0), np.eye(20)[3:17])


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 40), st.floats(0.2, 6.0))
def test_cubic_keeps_constants_and_ramps(inputs: int, ratio: float) -> None:
    outputs = max(1, int(inputs / ratio))
    matrix = cubic_weights(inputs, 0, outputs, ratio)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)
    centers = (np.arange(outputs) + 0.5) * ratio - 0.5
    inside = (centers > 14) & (centers < inputs - 15)
    np.testing.assert_allclose((matrix @ np.arange(inputs))[inside], centers[inside], atol=1e-3)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.22, 1.62, 1.62), (4.0, 4.0, 4.0)])
def test_equals_scikit_image(spacing: tuple[float, float, float]) -> None:
    """The call that nnU-Net's preprocessing makes, its clipping to the range included."""
    grid = same_extent(spacing)
    ours = regrid_image(SCAN, grid)
    assert ours.array.dtype == np.float32
    expected = resize(
        HU.astype(float), grid.shape, order=3, mode="edge", anti_aliasing=False, clip=True
    )
    assert np.abs(ours.array - expected).max() < 0.01


def test_anisotropic_scan_equals_slices_resized_alone() -> None:
    """Orders (0, 3, 3): cubic within slices, nearest across them, ranges of single slices."""
    grid = same_extent((4.3, 1.3, 1.3))
    ours = regrid_image(SCAN, grid, (0, 3, 3)).array
    picks = nearest_index(HU.shape[0], 0, grid.shape[0], grid.ratio[0])
    for z, source in enumerate(picks):
        expected = resize(
            HU[source].astype(float), grid.shape[1:], order=3, mode="edge", anti_aliasing=False
        )
        assert np.abs(ours[z] - expected).max() < 0.01


def test_orders_zero_and_one_equal_scipy() -> None:
    grid = same_extent((2.2, 1.3, 1.7))
    zoom = np.array(grid.shape) / HU.shape
    for order in (0, 1):
        ours = regrid_image(SCAN, grid, (order,) * 3).array
        expected = ndimage.zoom(HU.astype(float), zoom, order=order, mode="nearest", grid_mode=True)
        np.testing.assert_allclose(ours, expected, atol=1e-2)


def test_low_pass_takes_the_noise_away() -> None:
    noise = Volume(RNG.normal(0, 100, (40, 40, 40)).astype(np.float32), np.eye(4))
    grid = place_grid(noise, GridSpec("g", spacing_mm=(4, 4, 4)))
    plain, smooth = (regrid_image(noise, grid, low_pass=sigma).array for sigma in (0.0, 0.5))
    assert smooth.std() < 0.25 * plain.std()
    assert smooth.mean() == pytest.approx(noise.array.mean(), abs=3)


def test_any_memory_order_gives_the_same() -> None:
    grid = place_grid(SCAN, GridSpec("g", spacing_mm=(2, 1.3, 1.3)))
    expected = regrid_image(SCAN, grid).array
    twisted = np.ascontiguousarray(HU[::-1, :, ::-1].transpose(2, 0, 1)).transpose(1, 2, 0)
    ours = regrid_image(Volume(twisted[::-1, :, ::-1], SCAN.affine), grid).array
    np.testing.assert_allclose(ours, expected, atol=1e-2)


def _labels(seed: int) -> NDArray[np.uint8]:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(20, 30, 25)), 2)
    return (np.digitize(noise, [0.02, 0.08]) % 3).astype(np.uint8)


@settings(deadline=None, max_examples=30)
@given(st.tuples(*[st.floats(0.4, 5.0)] * 3), st.integers(0, 3))
def test_labels_stay_labels(spacing: tuple[float, float, float], seed: int) -> None:
    """There and back, no value appears that was not there."""
    labels = Volume(_labels(seed) * 2, SCAN.affine, Kind.LABELS)  # 0, 2, 4: an average would show
    there = regrid_labels(labels, place_grid(labels, GridSpec("g", spacing_mm=spacing)))
    assert there.array.dtype == np.uint8
    assert set(np.unique(there.array)) <= {0, 2, 4}
    back = GridSpec("b", spacing_mm=labels.spacing)
    again = regrid_labels(there, place_grid(there, back))
    assert set(np.unique(again.array)) <= {0, 2, 4}


def test_nearest_takes_every_second_voxel_when_halving() -> None:
    assert nearest_index(9, 0, 4, 2.0).tolist() == [0, 2, 4, 6]
    assert nearest_index(4, 0, 8, 0.5).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_grids_share_the_outer_corner() -> None:
    grid = place_grid(SCAN, GridSpec("g", spacing_mm=(2.2, 1.3, None)))
    whole = Volume(np.empty(grid.shape, np.uint8), grid.affine)
    corner = np.full(3, -0.5)
    np.testing.assert_allclose(whole.world(corner), SCAN.world(corner), atol=1e-9)
    assert whole.spacing == pytest.approx((2.2, 1.3, 0.8))
    assert all(
        n * mm >= m * old - 0.01
        for n, mm, m, old in zip(whole.shape, whole.spacing, SCAN.shape, SCAN.spacing, strict=True)
    )
