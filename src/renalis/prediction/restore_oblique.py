"""Bring probabilities on an upright grid back to an oblique scan's own grid as labels.

The counterpart of `renalis.prediction.restore` for two grids whose axes are turned or sheared
against each other: each voxel of the scan takes the probabilities at its place in the patient.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.boxes import Box
from renalis.conventions import Label
from renalis.prediction.restore import CLASSES, LIKELIEST, log_odds, named_parts
from renalis.preparation import Grid
from renalis.volume import Volume

__all__ = ["restore_oblique"]

_SLAB_VOXELS = 1 << 20


def restore_oblique(probability: NDArray[np.float32], box: Box, grid: Grid, labels: Volume) -> None:
    """Write the labels of a box of probabilities into a label map with other axes.

    For a slab of the scan at a time and only around what is renal. The rule is that of
    `renalis.prediction.restore.restore`.

    Parameters
    ----------
    probability : ndarray, shape (3, z, y, x), float32
        Kidney, tumor, cyst on a box of the stage's grid; outside the box all are 0.
    box : Box
        That box.
    grid : Grid
        The whole grid; its border voxels are continued outwards.
    labels : Volume of uint8
        Label map on the scan's grid, all 0; any strides. Filled in place.
    """
    to_grid = np.linalg.inv(grid.affine) @ labels.affine
    for part in named_parts(probability):
        indices = [
            np.arange(b.start + p.start - 1, b.start + p.stop + 1)
            for b, p in zip(box, part, strict=True)
        ]
        region = _region(probability, box, grid.shape, indices)
        matrix = to_grid.copy()
        matrix[:3, 3] -= [index[0] for index in indices]
        _fill(region, matrix, labels.array)


def _region(
    probability: NDArray[np.float32],
    box: Box,
    shape: tuple[int, int, int],
    indices: list[NDArray[np.intp]],
) -> NDArray[np.float32]:
    """Log odds at a product of grid indices, which may leave the box and the grid."""
    picks, outside = [], []
    for index, b, size in zip(indices, box, shape, strict=True):
        inner = np.clip(index, 0, size - 1) - b.start
        length = b.stop - b.start
        outside.append((inner < 0) | (inner >= length))
        picks.append(np.clip(inner, 0, length - 1))
    region = log_odds(np.stack([channel[np.ix_(*picks)] for channel in probability]))
    for axis, beyond in enumerate(outside):
        np.moveaxis(region, axis + 1, 0)[beyond] = 0
    return region


def _fill(
    region: NDArray[np.float32], matrix: NDArray[np.float64], labels: NDArray[np.uint8]
) -> None:
    """Sample one region, a slab of slices at a time.

    ``matrix`` maps indices of ``labels`` to indices of ``region``. Beyond the region nothing is
    written: there, other regions know more.
    """
    first, last = _reach(region.shape[1:], matrix, labels.shape)
    if (first >= last).any():
        return
    plane = int(np.prod((last - first)[1:]))
    step = max(1, _SLAB_VOXELS // plane)
    for start in range(int(first[0]), int(last[0]), step):
        low = np.array([start, first[1], first[2]])
        high = np.array([min(start + step, int(last[0])), last[1], last[2]])
        label = _sampled(region, matrix[:3, :3], matrix[:3, :3] @ low + matrix[:3, 3], high - low)
        target = labels[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))]
        found = label != Label.BACKGROUND
        target[found] = label[found]


def _reach(
    region: tuple[int, ...], matrix: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The scan's voxels that may lie inside a region."""
    ends = np.array(np.meshgrid(*[(0, size - 1) for size in region])).reshape(3, -1)
    inverse = np.linalg.inv(matrix)
    places = (inverse[:3, :3] @ ends).T + inverse[:3, 3]
    first = np.clip(np.floor(places.min(axis=0)), 0, shape).astype(np.intp)
    last = np.clip(np.ceil(places.max(axis=0)) + 1, 0, shape).astype(np.intp)
    return first, last


def _sampled(
    region: NDArray[np.float32],
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    shape: NDArray[np.intp],
) -> NDArray[np.uint8]:
    """Labels of a slab."""
    best = np.empty(tuple(int(n) for n in shape), np.float32)
    large = np.empty_like(best)
    label = np.full(best.shape, CLASSES[0], np.uint8)
    _sample(region[0], matrix, offset, best)
    for value, channel in zip(CLASSES[1:], region[1:], strict=True):
        _sample(channel, matrix, offset, large)
        label[large > best] = value
        np.maximum(best, large, out=best)
    label[best < LIKELIEST] = Label.BACKGROUND
    return label


def _sample(
    channel: NDArray[np.float32],
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    into: NDArray[np.float32],
) -> None:
    """One class, linearly; 0 beyond the region."""
    ndimage.affine_transform(
        channel, matrix, offset, output=into, order=1, mode="constant", prefilter=False
    )
