"""Labels on another grid: each voxel takes the label of the nearest one, none is mixed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box, bounding_box
from renalis.volume import Volume

__all__ = ["labels_on", "nearest_voxels"]

_SLAB = 16

Index = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]


def labels_on(labels: Volume, shape: tuple[int, int, int], affine: NDArray[np.float64]) -> Volume:
    """A label map on another grid; zero where it does not reach.

    Parameters
    ----------
    labels : Volume
        Label map on any grid, sheared or turned ones as well.
    shape : tuple of int
        Voxels of the new grid along each axis.
    affine : ndarray, shape (4, 4)
        Indices of the new grid to patient mm (RAS+).

    Returns
    -------
    Volume
        dtype and kind of ``labels``.
    """
    target = Volume(np.zeros(shape, labels.array.dtype), affine, labels.kind)
    box = _reached(labels, target)
    if box is not None:
        part = target.cropped(box)
        for start, index, inside in nearest_voxels(labels, part):
            values = labels.array[index]
            values[~inside] = 0
            part.array[start : start + len(values)] = values
    return target


def nearest_voxels(
    source: Volume, target: Volume
) -> Iterator[tuple[int, Index, NDArray[np.bool_]]]:
    """The nearest voxel of ``source`` for each voxel of ``target``, a slab at a time.

    Yields
    ------
    start : int
        First index of the slab along the target's first axis.
    index : tuple of three ndarray of int32
        Indices into the source, held inside of it.
    inside : ndarray of bool
        Whether the voxel's center lies inside of the source's voxels.
    """
    to_source = np.linalg.inv(source.affine) @ target.affine
    _, rows, columns = target.shape
    j, k = np.arange(rows)[:, None], np.arange(columns)[None, :]
    for start in range(0, target.shape[0], _SLAB):
        i = np.arange(start, min(start + _SLAB, target.shape[0]))[:, None, None]
        index, inside = [], np.ones((len(i), rows, columns), dtype=bool)
        for axis, size in enumerate(source.shape):
            a, b, c, shift = to_source[axis]
            # Half an ulp of the place must not decide between two voxels.
            place = np.floor(np.round(a * i + b * j + c * k + shift, 6) + 0.5).astype(np.int32)
            inside &= (place >= 0) & (place < size)
            index.append(np.clip(place, 0, size - 1))
        yield start, (index[0], index[1], index[2]), inside


def _reached(labels: Volume, target: Volume) -> Box | None:
    """The box of the target that the source's labels can reach; None if they reach nothing."""
    box = bounding_box(labels.array)
    if box is None:
        return None
    corners = [(part.start - 0.5, part.stop - 0.5) for part in box]
    points = target.index(labels.world(np.stack(np.meshgrid(*corners), axis=-1).reshape(-1, 3)))
    first = np.maximum(np.floor(points.min(axis=0)), 0).astype(int)
    last = np.minimum(np.ceil(points.max(axis=0)) + 1, target.shape).astype(int)
    if (first >= last).any():
        return None
    i, j, k = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return i, j, k
