"""Bring a system's probabilities or labels back to the scan's own grid.

Which voxel lies where is read off the two affines, never off shapes: cropped, padded, resized and
reoriented grids need no care of their own. Grids run along the scan's axes (oblique scans have
oblique grids), so each axis is a matrix of its own, and a slab of the scan can be computed alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.preparation.alignment import axis_maps, nearest_values
from renalis.preparation.resample import apply_matrices
from renalis.volume import Kind, Volume

__all__ = ["Decide", "OnScan", "argmax", "restore_labels", "slabs"]

Decide = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
"""Probabilities (K, I, J, S) to labels (I, J, S)."""

_SLAB_VOXELS = 1 << 22


@dataclass(frozen=True, eq=False)
class OnScan:
    """Probabilities of one grid, as a scan sees them; computed slab by slab.

    Parameters
    ----------
    probability : ndarray, shape (K, Z, Y, X)
        Floats, or uint8 from 0 to 255.
    affine : ndarray, shape (4, 4)
        The grid's.
    scan : Volume
        Its grid is the target; its voxels are not used.
    background : int or None
        The class that has probability 1 outside the grid (a cropped body); None for probabilities
        of single structures, all 0 there.
    """

    probability: NDArray[Any]
    affine: NDArray[np.float64]
    scan: Volume
    background: int | None = 0

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.probability.shape[0])

    def slab(self, start: int, stop: int) -> NDArray[np.float32]:
        """Probabilities (K, I, J, stop - start) of a slab along the scan's last array axis.

        Linear between voxel centers.
        """
        sizes = self.probability.shape[1:]
        maps = axis_maps(self.affine, self.scan)
        ends = [(0, self.scan.shape[0]), (0, self.scan.shape[1]), (start, stop)]
        matrices = [one.linear(*end, sizes[one.axis]) for one, end in zip(maps, ends, strict=True)]
        shape = tuple(len(matrix) for matrix in matrices)
        result = np.zeros((self.classes, *shape), np.float32)
        if all(matrix.any() for matrix in matrices):
            order = [one.axis for one in maps]
            for target, source in zip(result, self.probability, strict=True):
                target[...] = apply_matrices(source.transpose(order), list(matrices))
            if self.probability.dtype == np.uint8:
                result /= 255
        if self.background is not None:
            z, y, x = (np.asarray(matrix.sum(axis=1) == 0) for matrix in matrices)
            outside = z[:, None, None] | y[:, None] | x
            result[self.background][outside] = 1
        return result

    def finish(self) -> None:
        """Nothing is left to check."""


def slabs(scan: Volume) -> list[tuple[int, int]]:
    """Ranges of the scan's last array axis, each of about four million voxels."""
    i, j, k = scan.shape
    step = max(1, _SLAB_VOXELS // max(1, i * j))
    return [(start, min(start + step, k)) for start in range(0, k, step)]


def argmax(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The most probable class; class numbers are label values."""
    return np.asarray(probability.argmax(0), dtype=np.uint8)


def restore_labels(labels: NDArray[Any], affine: NDArray[np.float64], scan: Volume) -> Volume:
    """Give each of the scan's voxels the label of the grid voxel it lies in (nearest).

    Parameters
    ----------
    labels : ndarray, shape (Z, Y, X)
        On the grid.
    affine, scan
        As in `OnScan`. Outside the grid there is background, 0.

    Returns
    -------
    Volume
        uint8 labels exactly on the scan's grid.
    """
    return scan.like(nearest_values(labels.astype(np.uint8, copy=False), affine, scan), Kind.LABELS)
