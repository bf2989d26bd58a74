"""Cut patches that may reach past the image, and say how voxels become a network's input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Prepare", "Progress", "as_float", "batches", "cut", "inner"]

Prepare = Callable[[NDArray[Any]], NDArray[np.float32]]
"""Turns stored voxels (int16 HU, float16) into a network's input, patch by patch, so that no
full-size float copy of a scan is needed."""

Progress = Callable[[int, int], None]
"""Called with the patches done and the patches in all."""

T = TypeVar("T")


def as_float(part: NDArray[Any]) -> NDArray[np.float32]:
    """Voxels that are a network's input already."""
    return np.asarray(part, dtype=np.float32)


def cut(
    image: NDArray[Any],
    start: Sequence[int],
    size: Sequence[int],
    fill: float,
    prepare: Prepare = as_float,
) -> NDArray[np.float32]:
    """A patch of an image, continued by ``fill`` where it reaches past the image.

    Parameters
    ----------
    image : ndarray, shape (Z, Y, X) or (Y, X)
        Stored voxels; a memmap is read only where the patch lies.
    start, size : sequence of int
        The patch, one number for each axis; starts may be negative.
    fill : float
        Value beyond the image, in the network's input units (after ``prepare``).
    prepare : callable
        Applied to the voxels that are in the image.

    Examples
    --------
    >>> cut(np.array([[1, 2], [3, 4]]), (-1, 1), (3, 2), 0.0).tolist()
    [[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]]
    """
    source, target = inner(start, size, image.shape)
    if all(s.stop - s.start == length for s, length in zip(source, size, strict=True)):
        return prepare(image[source])
    patch = np.full(tuple(size), fill, np.float32)
    if all(s.stop > s.start for s in source):
        patch[target] = prepare(image[source])
    return patch


def inner(
    start: Sequence[int], size: Sequence[int], shape: Sequence[int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The part of a block that lies in an array: where in the array, and where in the block."""
    there, here = [], []
    for first, length, n in zip(start, size, shape, strict=True):
        low, high = min(max(first, 0), n), min(max(first + length, 0), n)
        there.append(slice(low, high))
        here.append(slice(low - first, high - first))
    return tuple(there), tuple(here)


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in groups of up to ``size``."""
    if size < 1:
        raise ValueError("a batch holds at least one patch")
    for start in range(0, len(items), size):
        yield items[start : start + size]
