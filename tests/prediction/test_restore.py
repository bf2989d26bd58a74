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
    lead: tuple[float, ...] = (0, 0, 0),
) -> np.ndarray:
    """Interpolate everything with SciPy, then decide."""
    axes = [
        (np.arange(n) + 0.5 + before) / r - 0.5
        for n, r, before in zip(shape, ratio, lead, strict=True)
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    large = [ndimage.map_coordinates(p, grid, order=1, mode="nearest") for p in probability]
    total = np.sum(large, axis=0)
    label = np.argmax(large, axis=0).astype(np.uint8) + 1
    label[total < 0.5] = 0
    return label


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


@pytest.mark.parametrize("lead", [(0.7, 1.4, 0.0), (2.3, 0.1, 5.0)])
def test_a_grid_that_begins_before_the_scan(lead: tuple[float, float, float]) -> None:
    whole = np.zeros((3, 30, 30, 30), np.float32)
    box = (slice(0, 18), slice(9, 30), slice(3, 27))
    whole[(slice(None), *box)] = smooth((18, 21, 24))
    ratio = (2.0, 2.5, 0.8)
    labels = np.zeros((57, 71, 19), np.uint8)
    restore(whole[(slice(None), *box)], box, (30, 30, 30), ratio, labels, lead)
    expected = at_once(whole, ratio, labels.shape, lead)
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


def test_where_tumor_and_kidney_compete_there_is_no_gap() -> None:
    probability = np.zeros((3, 6, 6, 6), np.float32)
    probability[0, 2:4, 2:4, 2:4] = 0.35
    probability[1, 2:4, 2:4, 2:4] = 0.3  # background has 0.35
    labels = np.zeros((6, 6, 6), np.uint8)
    restore(probability, (slice(0, 6),) * 3, (6, 6, 6), (1.0, 1.0, 1.0), labels)
    assert (labels[2:4, 2:4, 2:4] == 1).all()
    assert np.count_nonzero(labels) == 8
