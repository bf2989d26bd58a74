"""Bring probabilities back to the scan's own grid as labels, slab by slab.

Programs that enlarge the logits of all classes to the scan's size need gigabytes and, often, more
time than the network. Here a slab of one class is enlarged at a time and compared with the best
class so far, and only around the organ.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box, around_all, component_boxes
from renalis.conventions import Label
from renalis.preparation import linear_weights

__all__ = ["CLASSES", "LIKELIEST", "log_odds", "named_parts", "restore"]

_LEAST = 1e-4
"""Probabilities below count as this; only their logarithm needs an end."""

LIKELIEST = -math.log(_LEAST)
"""Value of `log_odds` from which a class is likelier than the background."""

CLASSES = (Label.KIDNEY, Label.TUMOR, Label.CYST)
_SLAB_VOXELS = 1 << 21
_MOST_BOXES = 64


def restore(
    probability: NDArray[np.float32],
    box: Box,
    grid_shape: tuple[int, int, int],
    ratio: tuple[float, float, float],
    labels: NDArray[np.uint8],
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> None:
    """Write the labels of a box of probabilities into a label map.

    The logarithms of the probabilities are interpolated linearly between voxel centers, and a voxel
    gets the likeliest of the four classes, as nnU-Net does with logits. They change about evenly
    across an outline, where probabilities jump; interpolated probabilities put outlines between the
    centers of voxels instead of where they are.

    Parameters
    ----------
    probability : ndarray, shape (3, z, y, x), float32
        Kidney, tumor, cyst on a box of the stage's grid; outside the box all are 0.
    box : Box
        That box.
    grid_shape : tuple of int
        Shape of the whole grid; its border voxels are continued outwards.
    ratio : tuple of float
        Stage spacing divided by scan spacing.
    labels : ndarray, shape (Z, Y, X), uint8
        Label map on the scan's grid, all 0; any strides. Filled in place.
    offset : tuple of float
        How far the stage's grid begins before the scan, in voxels of the scan.
    """
    for part in named_parts(probability):
        ranges, matrices, columns = [], [], []
        for axis in range(3):
            size, scale, before = grid_shape[axis], ratio[axis], offset[axis]
            first = max(0, box[axis].start + part[axis].start - 1)
            last = min(size, box[axis].start + part[axis].stop + 1)
            rows = _between(first, last, size, scale, labels.shape[axis], before)
            used = slice(max(first, box[axis].start), min(last, box[axis].stop))
            matrix = linear_weights(size, *rows, 1 / scale, -before / scale)[:, used]
            matrices.append(np.ascontiguousarray(matrix))
            ranges.append(rows)
            columns.append(slice(used.start - box[axis].start, used.stop - box[axis].start))
        _fill(log_odds(probability[(slice(None), *columns)]), matrices, ranges, labels)


def log_odds(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logarithm of each class's probability over the background's, moved so that 0 is surely none.

    Parameters
    ----------
    probability : ndarray, shape (3, z, y, x), float32
        Kidney, tumor, cyst.

    Returns
    -------
    ndarray, shape (3, z, y, x), float32
        From 0 to twice `LIKELIEST`.
    """
    odds = np.log(np.maximum(probability, np.float32(_LEAST)))
    odds -= np.log(np.maximum(1 - probability.sum(0), np.float32(_LEAST)))
    odds += np.float32(LIKELIEST)
    return odds


def named_parts(probability: NDArray[np.float32]) -> list[Box]:
    """Boxes around all that can become a label, of (3, z, y, x) probabilities.

    An interpolated value never exceeds its neighbours': with one voxel more on each side, the
    boxes hold everything that counts.
    """
    rest = 1 - probability.sum(0)
    parts = component_boxes(probability.max(0) >= rest)
    return [around_all(parts)] if len(parts) > _MOST_BOXES else parts


def _between(
    first: int, last: int, size: int, scale: float, voxels: int, offset: float
) -> tuple[int, int]:
    """The scan's voxels whose centers lie between those of grid voxels ``first`` and ``last - 1``.

    Only there is everything known that an interpolated value depends on. At the grid's border the
    range goes on to the scan's border.
    """
    low = 0 if first == 0 else math.ceil((first + 0.5) * scale - 0.5 - offset)
    high = voxels if last == size else math.floor((last - 0.5) * scale - 0.5 - offset) + 1
    # A part of a grid that reaches beyond the scan may lie outside of it altogether.
    low = min(max(0, low), voxels)
    return low, max(low, min(voxels, high))


def _fill(
    odds: NDArray[np.float32],
    matrices: list[NDArray[np.float32]],
    ranges: list[tuple[int, int]],
    labels: NDArray[np.uint8],
) -> None:
    """Enlarge one box, a slab of slices at a time."""
    (z0, z1), (y0, y1), (x0, x1) = ranges
    along_z, along_y, along_x = matrices
    _, depth, height, width = odds.shape
    step = max(1, _SLAB_VOXELS // max(1, (y1 - y0) * (x1 - x0)))
    for start in range(0, z1 - z0, step):
        rows = along_z[start : start + step]
        best: NDArray[np.float32] | None = None
        label = np.zeros(0, np.uint8)
        for number, value in enumerate(CLASSES):
            flat = odds[number].reshape(depth, height * width)
            slab = (rows @ flat).reshape(-1, height, width)
            large = np.matmul(np.matmul(along_y, slab), along_x.T)
            if best is None:
                best = large
                label = np.full(large.shape, value, np.uint8)
                continue
            label[large > best] = value
            np.maximum(best, large, out=best)
        assert best is not None
        label[best < LIKELIEST] = Label.BACKGROUND
        labels[z0 + start : z0 + start + len(rows), y0:y1, x0:x1] = label
