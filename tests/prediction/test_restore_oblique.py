"""Slab-wise restoring onto turned grids against doing it at once, with SciPy."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from renalis.prediction.restore import restore
from renalis.prediction.restore_oblique import restore_oblique
from renalis.preparation import Grid, stage_grid
from renalis.volume import Kind, Volume

SHAPE = (18, 21, 24)
STAGE = (2.0, 2.0, 2.0)
SPL = np.array([[0, 0, -1.0], [0, -1, 0], [1, 0, 0]])
WHOLE = (slice(0, 18), slice(0, 21), slice(0, 24))


def smooth(seed: int = 3) -> np.ndarray:
    """Three smooth classes that leave room for background."""
    rng = np.random.default_rng(seed)
    logits = np.stack([ndimage.gaussian_filter(rng.normal(size=SHAPE), 2.5) for _ in range(4)])
    e = np.exp(60 * logits)
    return (e / e.sum(0))[1:].astype(np.float32)


def fine_grid(shape: tuple[int, int, int] = SHAPE) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = SPL * STAGE
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine, STAGE)


def scan_grid(
    degrees: tuple[float, float, float], shear: float, spacing: tuple[float, float, float]
) -> Volume:
    """A label map, all 0, that holds the whole fine grid and more."""
    axes = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ SPL
    axes[:, 0] += shear * axes[:, 1]
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    shape = tuple(int(64 / step) for step in spacing)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Volume(np.zeros(shape, np.uint8), affine, Kind.LABELS)


def at_once(probability: np.ndarray, grid: Grid, labels: Volume) -> np.ndarray:
    """Interpolate the logarithms with SciPy, take the largest; beyond the border its last voxel."""
    place = labels.world(np.moveaxis(np.indices(labels.shape), 0, -1))
    inverse = np.linalg.inv(grid.affine)
    index = np.moveaxis(place @ inverse[:3, :3].T + inverse[:3, 3], -1, 0)
    classes = np.clip(np.stack([1 - probability.sum(0), *probability]), 1e-4, 1)
    large = [ndimage.map_coordinates(p, index, order=1, mode="nearest") for p in np.log(classes)]
    label = np.argmax(large, axis=0).astype(np.uint8)
    # `restore_oblique` continues the border by one voxel, a scan in a frame needs no more.
    shape = np.array(grid.shape)[:, None, None, None]
    label[((index < -1) | (index > shape)).any(axis=0)] = 0
    return label


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(*[st.floats(-30, 30)] * 3),
    st.floats(-0.3, 0.3),
    st.tuples(*[st.floats(0.8, 5)] * 3),
)
def test_equal_to_interpolating_everything(
    degrees: tuple[float, float, float], shear: float, spacing: tuple[float, float, float]
) -> None:
    labels = scan_grid(degrees, shear, spacing)
    probability = smooth()
    restore_oblique(probability, WHOLE, fine_grid(), labels)
    expected = at_once(probability, fine_grid(), labels)
    assert {1, 2, 3} <= set(np.unique(expected))
    # float32 against float64 sums: voxels on the threshold may fall on either side.
    assert np.count_nonzero(labels.array != expected) <= 1 + 1e-4 * labels.array.size


def test_a_box_in_a_larger_grid() -> None:
    grid = fine_grid((30, 30, 30))
    box = (slice(4, 22), slice(9, 30), slice(3, 27))
    whole = np.zeros((3, *grid.shape), np.float32)
    whole[(slice(None), *box)] = smooth()
    labels = scan_grid((10, -20, 30), 0.1, (1.5, 1.0, 1.0))
    restore_oblique(whole[(slice(None), *box)], box, grid, labels)
    expected = at_once(whole, grid, labels)
    assert labels.array.any()
    assert np.count_nonzero(labels.array != expected) <= 1e-4 * labels.array.size


def test_grids_along_the_same_axes_give_what_restoring_along_axes_gives() -> None:
    scan = Volume(np.zeros((28, 46, 50), np.uint8), np.eye(4), Kind.LABELS)
    grid = stage_grid(scan, (1.6, 2.2, 2.1))
    assert grid.shape == SHAPE
    probability = smooth()
    expected = np.zeros_like(scan.array)
    restore(probability, WHOLE, grid.shape, grid.ratio, expected)
    restore_oblique(probability, WHOLE, grid, scan)
    assert expected.any()
    assert np.count_nonzero(scan.array != expected) <= 2


def test_small_slabs_and_any_memory_order_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    probability = smooth()
    results = []
    for voxels in (1 << 20, 3000):
        monkeypatch.setattr(
            sys.modules["renalis.prediction.restore_oblique"], "_SLAB_VOXELS", voxels
        )
        labels = scan_grid((10, -20, 30), 0.1, (1.5, 1.0, 1.0))
        restore_oblique(probability, WHOLE, fine_grid(), labels)
        results.append(labels.array)
    stored = labels.reoriented("RAI")
    other = stored.like(np.zeros_like(np.ascontiguousarray(stored.array)), Kind.LABELS)
    restore_oblique(probability, WHOLE, fine_grid(), other.reoriented(labels.orientation))
    results.append(other.reoriented(labels.orientation).array)
    assert results[0].any()
    for result in results[1:]:
        assert np.count_nonzero(results[0] != result) <= 2


def test_the_likeliest_of_four_classes_is_taken() -> None:
    probability = np.zeros((3, *SHAPE), np.float32)
    probability[:2, 6:12, 6:12, 6:12] = np.array([0.5, 0.1]).reshape(2, 1, 1, 1)
    probability[:2, 6:12, 6:12, 14:] = np.array([0.3, 0.3]).reshape(2, 1, 1, 1)
    labels = scan_grid((0, 0, 20), 0, (1.0, 1.0, 1.0))
    restore_oblique(probability, WHOLE, fine_grid(), labels)
    assert set(np.unique(labels.array)) == {0, 1}
    # Of each border's slope, the part in which the logarithm is nearer to 0.5 than to 0.
    odds = np.log(0.5 / 0.4)
    side = 10 + 2 * 2 * odds / (odds + np.log(1e4))
    assert np.count_nonzero(labels.array) == pytest.approx(side**3, rel=0.1)
