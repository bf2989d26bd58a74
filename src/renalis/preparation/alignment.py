"""How the axes of one grid run in another, read off the two affines.

Cropped, padded, resized, flipped and transposed grids are all alike to it, as long as both run
along the same directions: oblique scans have oblique grids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.volume import Volume

__all__ = ["EXACTLY", "AxisMap", "axis_maps", "nearest_values", "parallel_axes"]

_OFF_VOXELS = 0.05
_TIE = 1e-6
EXACTLY = 1e-6
"""Source voxels that axes may be off where results have to be those of grids at any angle."""


@dataclass(frozen=True)
class AxisMap:
    """One target axis in a source grid's terms.

    The source index along ``axis`` is ``scale`` times the target index plus ``offset``.
    """

    axis: int
    scale: float
    offset: float

    def places(self, start: int, stop: int) -> NDArray[np.float64]:
        """Source indices of target voxels ``start`` to ``stop - 1``."""
        return np.asarray(self.scale * np.arange(start, stop) + self.offset, np.float64)

    def linear(self, start: int, stop: int, size: int) -> NDArray[np.float32]:
        """Interpolation of target voxels ``start`` to ``stop - 1`` from ``size`` source voxels.

        Up to half a source voxel beyond the source's border its last voxel counts; a target voxel
        farther out has a row of zeros.

        Returns
        -------
        ndarray, shape (stop - start, size), float32
        """
        place = self.places(start, stop)
        inside = (place > -0.5 - _TIE) & (place < size - 0.5 + _TIE)
        place = np.clip(place, 0, size - 1)
        low = np.minimum(np.floor(place).astype(np.intp), max(size - 2, 0))
        share = place - low
        matrix = np.zeros((stop - start, size), np.float32)
        rows = np.arange(stop - start)
        matrix[rows, low] = 1 - share
        matrix[rows, np.minimum(low + 1, size - 1)] += share
        matrix[~inside] = 0
        return matrix

    def nearest(self, count: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Nearest source voxel of each target voxel, and whether there is one.

        Of two equally near ones the first, as in
        `renalis.preparation.interpolation_weights.nearest_index`.
        """
        place = self.places(0, count)
        index = np.ceil(place - 0.5 - _TIE).astype(np.intp)
        inside = (place > -0.5 - _TIE) & (place < size - 0.5 + _TIE)
        return np.clip(index, 0, size - 1), inside


def axis_maps(affine: NDArray[np.float64], target: Volume) -> tuple[AxisMap, AxisMap, AxisMap]:
    """For each array axis of a target, how it runs in a source grid.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        The source grid's.
    target : Volume
        Only shape and affine are used.

    Raises
    ------
    ValueError
        If the grids are turned against each other, so that axes cannot be treated one by one.
    """
    maps = parallel_axes(affine, target)
    if maps is None:
        raise ValueError("the two grids do not run along the same axes")
    return maps


def parallel_axes(
    affine: NDArray[np.float64], target: Volume, most_off: float = _OFF_VOXELS
) -> tuple[AxisMap, AxisMap, AxisMap] | None:
    """What `axis_maps` returns, or None for grids that are turned against each other.

    Parameters
    ----------
    affine, target
        As for `axis_maps`.
    most_off : float
        How far the target's far corner may be off, in source voxels.
    """
    step = np.linalg.inv(affine) @ target.affine
    axes = np.abs(step[:3, :3]).argmax(axis=0)
    rest = step[:3, :3].copy()
    rest[axes, range(3)] = 0
    off = float((np.abs(rest) @ np.asarray(target.shape, float)).max())
    if sorted(axes.tolist()) != [0, 1, 2] or off > most_off:
        return None
    i, j, k = (AxisMap(int(s), float(step[s, t]), float(step[s, 3])) for t, s in enumerate(axes))
    return i, j, k


def nearest_values(
    array: NDArray[Any], affine: NDArray[np.float64], target: Volume
) -> NDArray[Any]:
    """Values of a grid at the voxel centers of another, 0 outside.

    Parameters
    ----------
    array : ndarray, shape (Z, Y, X)
        On the source grid.
    affine : ndarray, shape (4, 4)
        The source grid's.
    target : Volume
        Only shape, affine and memory order are used.

    Returns
    -------
    ndarray, shape and memory order of the target's array, dtype of ``array``
    """
    maps = axis_maps(affine, target)
    turned = array.transpose([one.axis for one in maps])
    (i, in_i), (j, in_j), (k, in_k) = (
        one.nearest(count, size)
        for one, count, size in zip(maps, target.shape, turned.shape, strict=True)
    )
    result = np.zeros_like(target.array, dtype=array.dtype)
    into = np.ix_(np.flatnonzero(in_i), np.flatnonzero(in_j), np.flatnonzero(in_k))
    result[into] = turned[np.ix_(i[in_i], j[in_j], k[in_k])]
    return result
