"""Resample a scan to a network's grid, in slabs, without a full-size float copy.

Interpolation is separable, so each axis is a product with a banded matrix
(`renalis.preparation.interpolation_weights`). Products of dense matrices are so fast on any CPU
that it is enough to leave out most of the zeros, block by block; reading and converting the voxels
takes as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box
from renalis.preparation.interpolation_weights import Interpolation, image_weights
from renalis.volume import Volume

__all__ = ["Grid", "apply_matrices", "resample", "stage_grid"]


_SLAB_VOXELS = 4 << 20
_FEW_VOXELS = 1 << 18  # of slices that stay in the cache from one product to the next
_BLOCK = 32  # output voxels per product; larger blocks multiply more zeros
_BLOCK_OF_SLICES = 8
_ROWS_OF_SLICES = 4


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape and place of voxels without the voxels.

    Parameters
    ----------
    shape : tuple of int
        Voxels along each axis.
    affine : ndarray, shape (4, 4)
        As in `renalis.volume.Volume`.
    ratio : tuple of float
        Spacing divided by the spacing of the scan that the grid was made for.
    offset : tuple of float
        How far the grid's corner lies before that scan's, in voxels of the scan.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    ratio: tuple[float, float, float]
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)


def stage_grid(
    scan: Volume,
    spacing_mm: tuple[float, float, float],
    offset_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Grid:
    """The grid of a network's stage over a whole scan.

    Axes are the scan's own (`renalis.preparation.upright` is for oblique ones), the outer corner
    of the first voxel lies ``offset_mm`` before the scan's, the spacing is exactly the stage's, and
    the last voxels may reach past the scan.
    """
    ratio = tuple(new / old for new, old in zip(spacing_mm, scan.spacing, strict=True))
    offset = tuple(mm / old for mm, old in zip(offset_mm, scan.spacing, strict=True))
    # Spacings like 0.7999999 must not make a row of voxels that lies outside the scan.
    shape = [
        max(1, int(np.ceil((n + before) / r - 1e-3)))
        for n, before, r in zip(scan.shape, offset, ratio, strict=True)
    ]
    affine = scan.affine.copy()
    affine[:3, :3] *= ratio
    affine[:3, 3] += scan.affine[:3, :3] @ ((np.asarray(ratio) - 1) / 2 - offset)
    return Grid(
        (shape[0], shape[1], shape[2]),
        affine,
        (ratio[0], ratio[1], ratio[2]),
        (offset[0], offset[1], offset[2]),
    )


def resample(
    scan: Volume,
    spacing_mm: tuple[float, float, float],
    box: Box | None = None,
    offset_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    interpolation: Interpolation = "average",
) -> Volume:
    """Resample an image to a stage's grid, or to a box of it.

    Parameters
    ----------
    scan : Volume
        Image of any number type, in any memory order; canonical orientation if the spacing is
        that of a network.
    spacing_mm : tuple of float
        The stage's spacing along each axis of the scan.
    box : tuple of slice, optional
        Part of the stage's grid to fill, start and stop given. The result is equal to that part of
        the whole; only the voxels it depends on are read.
    offset_mm : tuple of float
        As in `stage_grid`. Before the scan, its border is repeated.
    interpolation : {"average", "linear", "cubic"}
        See `renalis.preparation.interpolation_weights.Interpolation`.

    Returns
    -------
    Volume
        float32, C-ordered.
    """
    grid = stage_grid(scan, spacing_mm, offset_mm)
    ranges = [(0, n) for n in grid.shape] if box is None else [(b.start, b.stop) for b in box]
    matrices = [
        image_weights(interpolation, n, *ends, ratio, offset)
        for n, ends, ratio, offset in zip(scan.shape, ranges, grid.ratio, grid.offset, strict=True)
    ]
    array = apply_matrices(scan.array, matrices)
    whole = Volume(np.broadcast_to(np.float32(0), grid.shape), grid.affine, scan.kind)
    place = whole.cropped((slice(*ranges[0]), slice(*ranges[1]), slice(*ranges[2])))
    return Volume(array, place.affine, scan.kind)


def apply_matrices(
    array: NDArray[Any],
    matrices: list[NDArray[np.float32]],
    limits: tuple[float, float] | None = None,
) -> NDArray[np.float32]:
    """Multiply each axis of an array by a banded matrix.

    Parameters
    ----------
    array : ndarray, shape (I, J, K)
    matrices : list of ndarray, shapes (I', I), (J', J), (K', K)
        Rows of zeros, such as those of voxels outside of the array, give zeros.
    limits : tuple of float, optional
        Clip the array to these before, a slab at a time.

    Returns
    -------
    ndarray, shape (I', J', K'), float32
    """
    # Work in the order in which the voxels lie in memory, whatever the axes mean; thin slices are
    # put together first.
    order = sorted(range(3), key=lambda axis: -abs(array.strides[axis]))
    array = array.transpose(order)
    matrices = [matrices[axis] for axis in order]
    for axis in range(3):
        if array.strides[axis] < 0:
            array = np.flip(array, axis)
            matrices[axis] = matrices[axis][:, ::-1]
        first, last = _span(matrices[axis])
        array = array[(*[slice(None)] * axis, slice(first, last))]
        matrices[axis] = np.ascontiguousarray(matrices[axis][:, first:last])
    slow, middle, fast = matrices
    plane = _Plane.of(middle, fast)
    result = np.zeros((slow.shape[0], middle.shape[0], fast.shape[0]), np.float32)
    if _reduction(slow) > max(2.0, _reduction(fast)):
        for rows, columns in _blocks(slow, _BLOCK_OF_SLICES):
            plane.apply(_along_slow(array[columns], slow[rows, columns], limits), result[rows])
        return np.ascontiguousarray(result.transpose(np.argsort(order)))
    step = max(1, _SLAB_VOXELS // max(1, array.shape[1] * array.shape[2]))
    for start in range(0, array.shape[0], step):
        slab = array[start : start + step]
        part = np.empty((len(slab), *result.shape[1:]), np.float32)
        plane.apply(slab, part, limits)
        if _is_identity(slow):
            result[start : start + step] = part
            continue
        weights = slow[:, start : start + step]
        first, last = _span(weights.T)
        # Sizes are spelled out: of an empty array, -1 is no size.
        pixels = part.shape[1] * part.shape[2]
        target = result[first:last].reshape(last - first, pixels)
        target += weights[first:last] @ part.reshape(len(part), pixels)
    return np.ascontiguousarray(result.transpose(np.argsort(order)))


def _span(matrix: NDArray[np.float32]) -> tuple[int, int]:
    """First and last + 1 column that are not all zero."""
    used = np.flatnonzero(matrix.any(axis=0))
    return (int(used[0]), int(used[-1]) + 1) if used.size else (0, 0)


def _is_identity(matrix: NDArray[np.float32]) -> bool:
    """Whether an axis stays as it is, as slices often do."""
    rows, columns = matrix.shape
    return rows == columns and bool((matrix == np.eye(rows, dtype=np.float32)).all())


def _reduction(matrix: NDArray[np.float32]) -> float:
    """Voxels along an axis before, for one voxel after."""
    rows, columns = matrix.shape
    return float(columns / max(1, rows))


def _blocks(matrix: NDArray[np.float32], size: int = _BLOCK) -> list[tuple[slice, slice]]:
    """Row ranges of a banded matrix, each with the columns that it needs."""
    starts = range(0, matrix.shape[0], size)
    rows = [slice(start, min(start + size, matrix.shape[0])) for start in starts]
    return [(r, slice(*_span(matrix[r]))) for r in rows]


def _floats(part: NDArray[Any], limits: tuple[float, float] | None) -> NDArray[np.float32]:
    """A part of the array as C-ordered float32, clipped; a view where nothing is to be done."""
    if limits is None:
        return np.ascontiguousarray(part, dtype=np.float32)
    values = np.array(part, dtype=np.float32, order="C")
    return np.clip(values, *limits, out=values)


def _along_slow(
    slab: NDArray[Any], matrix: NDArray[np.float32], limits: tuple[float, float] | None
) -> NDArray[np.float32]:
    """(S, J, K) to (S', J, K), a few rows at a time so that they stay in the cache."""
    slices, rows, width = slab.shape
    result = np.empty((matrix.shape[0], rows, width), np.float32)
    for start in range(0, rows, _ROWS_OF_SLICES):
        few = slice(start, min(start + _ROWS_OF_SLICES, rows))
        count = few.stop - few.start
        # A block of rows without columns lies outside of the array: sums of nothing are 0.
        part = _floats(slab[:, few], limits).reshape(slices, count * width)
        result[:, few] = (matrix @ part).reshape(matrix.shape[0], count, width)
    return result


@dataclass(frozen=True, eq=False)
class _Plane:
    """Products along the two axes of slices, of which nothing is worked out for each slice."""

    middle: NDArray[np.float32]
    fast: NDArray[np.float32]
    blocks_of_middle: list[tuple[slice, slice]] | None
    """None where the axis stays as it is."""
    blocks_of_fast: list[tuple[slice, slice]] | None

    @classmethod
    def of(cls, middle: NDArray[np.float32], fast: NDArray[np.float32]) -> _Plane:
        """The products with two banded matrices."""
        blocks = [None if _is_identity(matrix) else _blocks(matrix) for matrix in (middle, fast)]
        return cls(middle, fast, *blocks)

    def apply(
        self,
        slab: NDArray[Any],
        out: NDArray[np.float32],
        limits: tuple[float, float] | None = None,
    ) -> None:
        """Fill (S, J', K') from (S, J, K), so few slices at a time that they stay in the cache."""
        few = max(1, _FEW_VOXELS // max(1, slab.shape[1] * slab.shape[2]))
        for start in range(0, len(slab), few):
            part = self._along_fast(_floats(slab[start : start + few], limits))
            self._along_middle(part, out[start : start + few])

    def _along_fast(self, slab: NDArray[np.float32]) -> NDArray[np.float32]:
        """(S, J, K) to (S, J, K')."""
        if self.blocks_of_fast is None:
            return slab
        flat = slab.reshape(slab.shape[0] * slab.shape[1], slab.shape[2])
        result = np.empty((flat.shape[0], self.fast.shape[0]), np.float32)
        for rows, columns in self.blocks_of_fast:
            np.matmul(flat[:, columns], self.fast[rows, columns].T, out=result[:, rows])
        return result.reshape(*slab.shape[:2], self.fast.shape[0])

    def _along_middle(self, slab: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """(S, J, K) to (S, J', K)."""
        if self.blocks_of_middle is None:
            out[...] = slab
            return
        for rows, columns in self.blocks_of_middle:
            for source, target in zip(slab, out, strict=True):
                np.matmul(self.middle[rows, columns], source[columns], out=target[rows])
