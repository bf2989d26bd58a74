"""Slices as the means of square blocks, with which whole scans are compared in little time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["block_means"]


def block_means(
    pictures: Sequence[NDArray[np.int16]] | NDArray[np.int16], most: int, within: tuple[int, int]
) -> NDArray[np.float32]:
    """Means of square blocks of slices, in the order in which voxels lie in memory.

    Parameters
    ----------
    pictures : sequence of ndarray, shape (rows, columns), or one of three axes, int16
        Slices of one shape. Of an array the axes may lie in memory in any order.
    most : int
        Blocks along the longer side of a slice; up to twice as many where slices are small.
    within : tuple of int
        Values are clipped to these, at most 300 apart from 0.

    Returns
    -------
    ndarray, shape (slices, blocks, blocks), float32
        Rows and columns may have changed places, alike in all slices.
    """
    side = max(1, max(pictures[0].shape) // most)
    if isinstance(pictures, np.ndarray) and abs(pictures.strides[0]) < min(
        map(abs, pictures.strides[1:])
    ):
        sums = _of_interleaved(_downwards(pictures.transpose(1, 2, 0)), side, within)
    else:
        clipped = np.empty_like(_downwards(pictures[0][..., None])[..., 0], order="C")
        sums = np.stack(
            [
                _of_picture(_downwards(one[..., None])[..., 0], side, within, clipped)
                for one in pictures
            ]
        )
    return np.asarray(sums / np.float32(side * side), np.float32)


def _downwards(array: NDArray[np.int16]) -> NDArray[np.int16]:
    """With the one of the first two axes in front whose steps in memory are longer."""
    first, second, _ = map(abs, array.strides)
    return array if first >= second else array.swapaxes(0, 1)


def _of_picture(
    picture: NDArray[np.int16], side: int, within: tuple[int, int], clipped: NDArray[np.int16]
) -> NDArray[np.int32]:
    """Sums of a slice (rows, columns); ``clipped`` has its shape and is written over."""
    rows, columns = (n // side for n in picture.shape)
    # The first block of every axis starts at the edge, as all that is compared is of one size.
    cut = np.clip(picture, *within, out=clipped)[: rows * side, : columns * side]
    # 100 rows fit into int16, in which NumPy adds fastest: no slice has blocks that are so large.
    summed = np.add.reduce(cut.reshape(rows, side, -1), axis=1, dtype=np.int16)
    return np.asarray(summed.reshape(rows, columns, side).sum(axis=2, dtype=np.int32))


def _of_interleaved(
    array: NDArray[np.int16], side: int, within: tuple[int, int]
) -> NDArray[np.int32]:
    """Sums of slices (rows, columns, slices) of which the voxels at one place lie side by side."""
    rows, columns = (n // side for n in array.shape[:2])
    sums = np.empty((array.shape[2], rows, columns), np.int32)
    for row in range(rows):
        cut = array[row * side : (row + 1) * side, : columns * side].clip(*within)
        summed = np.add.reduce(cut, axis=0, dtype=np.int16)
        sums[:, row] = summed.reshape(columns, side, -1).sum(axis=1, dtype=np.int32).T
    return sums
