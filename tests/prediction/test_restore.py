"""Slab-wise restoring against doing it at once, with SciPy."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import ndimage

from renalis.prediction.restore import restore

RNG = np.random.default_rng(3)


def smooth(shape: tuple[int, int, int]) -> np.ndarray:
    """Three smooth classes that leave room for background."""
    logits = np.stack([ndimage.gaussian_filter(RNG.normal(size=shape), 2.5) for _ in range(4)])
    e = np.exp(60 * logits)
    return (e / e.sum(0))[1:].astype(np.float32)


def at_once(
    probability: np.ndarray,
    ratio: tuple[float, ...],
    shape: tuple[int, ...],
    offset: tuple[float, ...] = (0, 0, 0),
) -> np.ndarray:
    """Interpolate the logarithms of all four classes with SciPy, then take the largest."""
    axes = [
        (np.arange(n) + 0.5 + before) / r - 0.5
        for n, r, before in zip(shape, ratio, offset, strict=True)
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    classes = np.clip(np.stack([1 - probability.sum(0), *probability]), 1e-4, 1)
    large = [ndimage.map_coordinates(p, grid, order=1, mode="nearest") for p in np.log(classes)]
    return np.argmax(large, axis=0).astype(np.uint8)


@pytest.mark.parametrize(
    "ratio", [(2.4, 2.6, 2.6), (0.4, 2.2, 2.9), (1.0, 1.0, 1.0), (0.7, 0.8, 3)]
)
def test_equal_to_interpolating_everything(ratio: tuple[float, float, float]) -> None:
    probability = smooth((18, 21, 24))
    shape = tuple(int(n * r) for n, r in zip(probability.shape[1:], ratio, strict=True))
    labels = np.zeros(shape, np.uint8)
    whole = tuple(slice(0, n) for n in probability.shape[1:])
    restore(probability, whole, probability.shape[1:], ratio, labels)
    expected = at_once(probability, ratio, shape)
    assert {0, 1, 2, 3} <= set(np.unique(expected))
    # float32 against float64 sums: voxels on the threshold may fall on either side.
    assert np.count_nonzero(labels != expected) <= 1e-4 * labels.size


@pytest.mark.parametrize("offset", [(0.7, 1.4, 0.0), (2.3, 0.1, 5.0)])
def test_a_grid_that_begins_before_the_scan(offset: tuple[float, float, float]) -> None:
    whole = np.zeros((3, 30, 30, 30), np.float32)
    box = (slice(0, 18), slice(9, 30), slice(3, 27))
    whole[(slice(None), *box)] = smooth((18, 21, 24))
    ratio = (2.0, 2.5, 0.8)
    labels = np.zeros((57, 71, 19), np.uint8)
    restore(whole[(slice(None), *box)], box, (30, 30, 30), ratio, labels, offset)
    expected = at_once(whole, ratio, labels.shape, offset)
    assert {0, 1, 2, 3} <= set(np.unique(expected))
    assert np.count_nonzero(labels != expected) <= 1e-4 * labels.size


def test_a_box_in_a_larger_grid() -> None:
    whole = np.zeros((3, 30, 30, 30), np.float32)
    box = (slice(4, 22), slice(9, 30), slice(3, 27))
    whole[(slice(None), *box)] = smooth((18, 21, 24))
    ratio = (2.0, 2.5, 1.5)
    labels = np.zeros((60, 75, 45), np.uint8)
    restore(whole[(slice(None), *box)], box, (30, 30, 30), ratio, labels)
    expected = at_once(whole, ratio, labels.shape)
    assert np.count_nonzero(labels != expected) <= 1e-4 * labels.size


def test_small_slabs_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    probability = smooth((18, 21, 24))
    whole = (slice(0, 18), slice(0, 21), slice(0, 24))
    results = []
    for voxels in (1 << 21, 3000):
        monkeypatch.setattr(sys.modules["renalis.prediction.restore"], "_SLAB_VOXELS", voxels)
        labels = np.zeros((40, 50, 60), np.uint8)
        restore(probability, whole, (18, 21, 24), (40 / 18, 50 / 21, 60 / 24), labels)
        results.append(labels)
    assert results[0].any()
    assert np.count_nonzero(results[0] != results[1]) <= 2


def test_the_likeliest_of_four_classes_is_taken() -> None:
    probability = np.zeros((3, 6, 6, 6), np.float32)
    probability[:2, 1:5, 1:5, 1:3] = np.array([0.3, 0.45]).reshape(2, 1, 1, 1)
    probability[:2, 1:5, 1:5, 3:5] = np.array([0.3, 0.3]).reshape(2, 1, 1, 1)
    labels = np.zeros((6, 6, 6), np.uint8)
    restore(probability, (slice(0, 6),) * 3, (6, 6, 6), (1.0, 1.0, 1.0), labels)
    assert (labels[1:5, 1:5, 1:3] == 2).all()
    assert np.count_nonzero(labels) == 32


def test_outlines_lie_where_log_odds_cross_zero() -> None:
    probability = np.zeros((3, 5, 5, 5), np.float32)
    probability[0, :, :, :2] = 1 / (1 + np.exp(-1.0))
    probability[0, :, :, 2:] = 1 / (1 + np.exp(3.0))
    labels = np.zeros((5, 5, 100), np.uint8)
    restore(probability, (slice(0, 5),) * 3, (5, 5, 5), (1.0, 1.0, 20.0), labels)
    # A quarter of the way from the center of the second voxel, at 1.5, to that of the third.
    assert np.count_nonzero(labels[2, 2]) == 35


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("place", [(2, 5), (24, 28)], ids=["before", "behind"])
def test_what_lies_outside_of_the_scan_altogether_is_left_out(
    axis: int, place: tuple[int, int]
) -> None:
    """Grids are padded to a window: something may be found where there is no scan."""
    probability = np.zeros((3, 30, 30, 30), np.float32)
    probability[0, 12:16, 12:16, 12:16] = 0.9
    alone = probability.copy()
    probability[(0, *(slice(*place) if a == axis else slice(12, 16) for a in range(3)))] = 0.9
    whole = (slice(0, 30),) * 3
    found = []
    for given in (alone, probability):
        labels = np.zeros((24, 24, 24), np.uint8)
        restore(given, whole, (30, 30, 30), (2.0,) * 3, labels, (18.0,) * 3)
        found.append(labels)
    assert np.array_equal(*found)
    assert np.array_equal(found[0], at_once(alone, (2.0,) * 3, (24,) * 3, (18.0,) * 3))
    assert found[0].any()
