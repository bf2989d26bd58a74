"""Interpolation along one axis as a matrix.

A grid with corner-aligned voxels of another size has its voxel ``o`` centered at the index
``(o + 0.5) * ratio - 0.5`` of the old grid, where ``ratio`` is new spacing / old spacing.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Interpolation",
    "cubic_weights",
    "image_weights",
    "linear_weights",
    "nearest_index",
    "triangle_weights",
]

Interpolation = Literal["average", "linear", "cubic"]
"""How an image is brought to another grid: ``"average"`` by `triangle_weights`, which smooths where
it reduces, ``"linear"`` by `linear_weights`, which leaves edges about as sharp and noise about as
strong as they are, ``"cubic"`` by `cubic_weights`, as nnU-Net does."""

_POLE = np.sqrt(3.0) - 2.0
"""Of the cubic B-spline's inverse filter, whose impulse response is sqrt(3) * pole ** abs(k)."""
_REACH = 12
"""Voxels after which that response is cut off: 1e-7 of its peak, the accuracy of a float32."""


def triangle_weights(
    inputs: int, start: int, stop: int, ratio: float, offset: float = 0.0
) -> NDArray[np.float32]:
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
    offset : float
        How far the output grid's corner lies before the input's, in input voxels.

    Returns
    -------
    ndarray, shape (stop - start, inputs), float32
        Rows sum to 1; few entries, next to each other, are not zero.

    Examples
    --------
    >>> triangle_weights(4, 0, 2, 2.0).tolist()
    [[0.5, 0.375, 0.125, 0.0], [0.0, 0.125, 0.375, 0.5]]
    """
    return _matrix(inputs, start, stop, ratio, offset, max(1.0, ratio))


def image_weights(
    interpolation: Interpolation,
    inputs: int,
    start: int,
    stop: int,
    ratio: float,
    offset: float = 0.0,
) -> NDArray[np.float32]:
    """The matrix of an interpolation; the other parameters are those of `triangle_weights`."""
    return _MAKE[interpolation](inputs, start, stop, ratio, offset)


def linear_weights(
    inputs: int, start: int, stop: int, ratio: float, offset: float = 0.0
) -> NDArray[np.float32]:
    """Plain linear interpolation at the centers of the output voxels, also when reducing.

    Parameters and return value are those of `triangle_weights`.
    """
    return _matrix(inputs, start, stop, ratio, offset, 1.0)


def cubic_weights(
    inputs: int, start: int, stop: int, ratio: float, offset: float = 0.0
) -> NDArray[np.float32]:
    """Cubic spline interpolation at the centers of the output voxels.

    The spline's prefilter and its four weights per output voxel in one matrix: each row has some
    28 entries that matter. Equal, to float32's rounding, to ``scipy.ndimage.zoom(order=3,
    mode="nearest", grid_mode=True)``, which is what ``skimage.transform.resize(order=3,
    mode="edge", anti_aliasing=False)`` and nnU-Net's preprocessing call.

    Parameters and return value are those of `triangle_weights`; entries may be negative.

    References
    ----------
    M. Unser, Splines: a perfect fit for signal and image processing, IEEE Signal Processing
    Magazine 16(6), 1999.
    """
    centers = (np.arange(start, stop) + 0.5) * ratio - 0.5 - offset
    first = np.floor(centers).astype(np.int64)
    knots = first[:, None] + np.arange(-1, 3)
    taps = first[:, None] + np.arange(-1 - _REACH, 3 + _REACH)
    response = np.sqrt(3.0) * _POLE ** np.abs(knots[:, :, None] - taps[:, None, :])
    weights = (_cubic(knots - centers[:, None])[:, None, :] @ response)[:, 0]
    weights[np.abs(weights) < 1e-9] = 0  # what rounding left of the knots: they interpolate
    weights /= weights.sum(axis=1, keepdims=True)
    return _scattered(inputs, taps, weights)


_MAKE = {"average": triangle_weights, "linear": linear_weights, "cubic": cubic_weights}


def nearest_index(inputs: int, start: int, stop: int, ratio: float) -> NDArray[np.intp]:
    """The input voxel nearest to each output voxel's center; of two equally near ones the first.

    Parameters
    ----------
    inputs, start, stop, ratio
        As in `triangle_weights`.

    Returns
    -------
    ndarray, shape (stop - start,), intp

    Examples
    --------
    >>> nearest_index(6, 0, 3, 2.0).tolist()
    [0, 2, 4]
    """
    centers = (np.arange(start, stop) + 0.5) * ratio - 0.5
    # Half an ulp of the place must not decide between two voxels.
    return np.clip(np.ceil(np.round(centers, 6) - 0.5).astype(np.intp), 0, inputs - 1)


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cubic B-spline."""
    d = np.abs(distance)
    inner, outer = 2 / 3 - d**2 * (1 - d / 2), (2 - d) ** 3 / 6
    return np.asarray(np.where(d < 1, inner, np.where(d < 2, outer, 0.0)))


def _matrix(
    inputs: int, start: int, stop: int, ratio: float, offset: float, half_width: float
) -> NDArray[np.float32]:
    """Rows of triangle weights."""
    centers = (np.arange(start, stop) + 0.5) * ratio - 0.5 - offset
    taps = np.arange(int(np.ceil(2 * half_width)) + 2)
    index = np.floor(centers - half_width).astype(np.int64)[:, None] + taps
    weights = np.maximum(0.0, 1.0 - np.abs(index - centers[:, None]) / half_width)
    weights /= weights.sum(axis=1, keepdims=True)
    return _scattered(inputs, index, weights)


def _scattered(
    inputs: int, index: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Weights (outputs, taps) as rows of a matrix; beyond the border they count for the border."""
    matrix = np.zeros((len(index), inputs))
    rows = np.arange(len(index))[:, None]
    np.add.at(matrix, (rows, np.clip(index, 0, inputs - 1)), weights)
    return matrix.astype(np.float32)
