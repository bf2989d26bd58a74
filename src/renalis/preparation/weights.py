"""Interpolation along one axis as a matrix.

A grid with corner-aligned voxels of another size has its voxel ``o`` centered at the index
``(o + 0.5) * ratio - 0.5`` of the old grid, where ``ratio`` is new spacing / old spacing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["linear_weights", "triangle_weights"]


def triangle_weights(inputs: int, start: int, stop: int, ratio: float) -> NDArray[np.float32]:
    """Anti-aliased linear interpolation: a triangle as wide as the coarser of both voxels.

    The triangle's half-width is ``max(1, ratio)`` input voxels: plain linear interpolation when
    enlarging; when reducing, every input voxel counts, so that noise is averaged instead of
    sampled. Beyond the border, the border's voxel is repeated.

    Parameters
    ----------
    inputs : int
        Voxels along the axis.
    start, stop : int
        Range of output voxels.
    ratio : float
        Output spacing divided by input spacing.

    Returns
    -------
    ndarray, shape (stop - start, inputs), float32
        Rows sum to 1; few entries, next to each other, are not zero.

    Examples
    --------
    >>> triangle_weights(4, 0, 2, 2.0).tolist()
    [[0.5, 0.375, 0.125, 0.0], [0.0, 0.125, 0.375, 0.5]]
    """
    return _matrix(inputs, start, stop, ratio, max(1.0, ratio))


def linear_weights(inputs: int, start: int, stop: int, ratio: float) -> NDArray[np.float32]:
    """Plain linear interpolation at the centers of the output voxels, also when reducing.

    Parameters and return value are those of `triangle_weights`.
    """
    return _matrix(inputs, start, stop, ratio, 1.0)


def _matrix(
    inputs: int, start: int, stop: int, ratio: float, half_width: float
) -> NDArray[np.float32]:
    """Rows of triangle weights, with weights beyond the border added to the border's voxel."""
    centers = (np.arange(start, stop) + 0.5) * ratio - 0.5
    taps = np.arange(int(np.ceil(2 * half_width)) + 2)
    index = np.floor(centers - half_width).astype(np.int64)[:, None] + taps
    weights = np.maximum(0.0, 1.0 - np.abs(index - centers[:, None]) / half_width)
    weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((stop - start, inputs))
    rows = np.arange(stop - start)[:, None]
    np.add.at(matrix, (rows, np.clip(index, 0, inputs - 1)), weights)
    return matrix.astype(np.float32)
