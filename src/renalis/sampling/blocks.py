"""Where blocks lie along an axis, and what they hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["block_any", "snapped_starts", "window_starts"]


def window_starts(length: int, size: int, stride: int) -> NDArray[np.int64]:
    """Starts of windows that cover an axis completely.

    The last window is shifted back to end at the border. On an axis shorter than the window there
    is one window, which reaches beyond the end.

    Raises
    ------
    ValueError
        If the stride leaves gaps.

    Examples
    --------
    >>> window_starts(250, 160, 120).tolist(), window_starts(90, 160, 120).tolist()
    ([0, 90], [0])
    """
    if not 0 < stride <= size:
        raise ValueError(f"a stride of {stride} leaves gaps between windows of {size}")
    if length <= size:
        return np.zeros(1, np.int64)
    starts = np.arange(0, length - size, stride, dtype=np.int64)
    return np.append(starts, length - size)


def snapped_starts(
    length: int, size: int, stride: int, grid: int, remainder: int
) -> NDArray[np.int64]:
    """Starts of blocks that cover an axis and lie on every ``grid``-th voxel.

    Blocks start at or before voxel 0 and go on until the last voxel is covered, beyond the end if
    they have to. Steps are the stride rounded to the grid: 8 and 12 in turn for 10 on 4.

    Parameters
    ----------
    length : int
        Voxels of the axis.
    size, stride : int
        Of the blocks.
    grid, remainder : int
        Every start is ``remainder`` modulo ``grid``.

    Raises
    ------
    ValueError
        If the stride leaves gaps or is smaller than the grid.

    Examples
    --------
    >>> snapped_starts(50, 20, 10, 4, 2).tolist()
    [-2, 6, 18, 26, 38]
    """
    if stride < grid:
        raise ValueError(
            f"a stride of {stride} is finer than the grid of {grid} that blocks lie on"
        )
    first = remainder % grid
    first -= grid if first else 0
    steps = (np.arange(-(-(length - first) // stride) + 2) * stride) // grid * grid
    if int(np.diff(steps).max()) > size:
        raise ValueError(f"a stride of {stride} leaves gaps between blocks of {size}")
    starts = first + steps
    enough = int(np.argmax(starts + size >= length)) + 1
    return starts[:enough].astype(np.int64)


def block_any(
    mask: NDArray[np.bool_], starts: Sequence[NDArray[np.int64]], size: Sequence[int]
) -> NDArray[np.bool_]:
    """Whether each block of a regular grid of blocks holds a voxel of a mask.

    Parameters
    ----------
    mask : ndarray, shape (Z, Y, X), bool
    starts : sequence of ndarray of int
        Block starts along each axis, also outside the mask.
    size : sequence of int
        Of every block.

    Returns
    -------
    ndarray, shape (len(starts[0]), len(starts[1]), len(starts[2])), bool
    """
    # A block holds something if one of its planes does: axis by axis.
    result = mask
    for axis, (first, length) in enumerate(zip(starts, size, strict=True)):
        n = mask.shape[axis]
        planes = [
            result.take(range(min(max(0, int(s)), n), min(n, max(0, int(s) + length))), axis)
            .any(axis=axis)
            for s in first
        ]  # fmt: skip
        result = np.stack(planes, axis=axis)
    return result
