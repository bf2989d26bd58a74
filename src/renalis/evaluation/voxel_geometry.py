"""Lengths, plane distances and face areas of a voxel grid, sheared grids (gantry tilt) included."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.volume import Volume

__all__ = ["VoxelGeometry"]

_STRAIGHT = 1e-4
"""Cosine between axes up to which they count as perpendicular: 0.01 mm at 100 mm, what headers in
float32 and rotations stored as quaternions may be off."""


@dataclass(frozen=True)
class VoxelGeometry:
    """The steps between neighbouring voxels.

    Parameters
    ----------
    steps : tuple of tuple of float
        Matrix, 3 × 3: column ``a`` leads from a voxel to the next along array axis ``a``, mm.
        Turning the grid as a whole changes nothing, so that a grid with perpendicular axes has
        its spacing on the diagonal and zeros elsewhere.
    """

    steps: tuple[tuple[float, float, float], ...]

    @classmethod
    def of(cls, grid: Volume) -> VoxelGeometry:
        """The steps of a volume's grid."""
        matrix = grid.affine[:3, :3]
        directions = matrix / np.linalg.norm(matrix, axis=0)
        between = directions.T @ directions - np.eye(3)
        if np.abs(between).max() <= _STRAIGHT:
            return cls.straight(grid.spacing)
        first, second, third = ((float(r[0]), float(r[1]), float(r[2])) for r in matrix)
        return cls((first, second, third))

    @classmethod
    def straight(cls, spacing: tuple[float, float, float]) -> VoxelGeometry:
        """The steps of a grid with perpendicular axes and this spacing in mm."""
        a, b, c = spacing
        return cls(((a, 0.0, 0.0), (0.0, b, 0.0), (0.0, 0.0, c)))

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """The steps as an array of shape (3, 3), mm."""
        return np.array(self.steps)

    @cached_property
    def is_straight(self) -> bool:
        """Whether the axes are perpendicular to each other."""
        return not (self.matrix - np.diag(np.diag(self.matrix))).any()

    @cached_property
    def plane_distances(self) -> tuple[float, float, float]:
        """Distance in mm between neighbouring planes of voxels across each axis.

        Along a sheared axis it is less than the spacing: the thickness of a slice, not the way
        that the table goes.
        """
        if self.is_straight:
            a, b, c = np.diag(self.matrix)
        else:
            a, b, c = 1 / np.linalg.norm(np.linalg.inv(self.matrix), axis=1)
        return float(a), float(b), float(c)

    @cached_property
    def faces(self) -> NDArray[np.float64]:
        """Column ``a``: normal of the face across axis ``a``, as long as its area in mm²."""
        if self.is_straight:
            a, b, c = np.diag(self.matrix)
            return np.diag([b * c, a * c, a * b])
        return np.asarray(np.linalg.det(self.matrix) * np.linalg.inv(self.matrix).T)

    def placed(self, index: NDArray[Any]) -> NDArray[np.float64]:
        """Places in mm of indices, shape (..., 3) in, (..., 3) out."""
        if self.is_straight:
            return np.asarray(index * np.diag(self.matrix))
        return np.asarray(index @ self.matrix.T)

    def lengths(self, offsets: NDArray[Any]) -> NDArray[np.float64]:
        """Length in mm of index differences, shape (..., 3)."""
        mm = self.placed(offsets)
        squares = mm * mm
        return np.asarray(np.sqrt(squares[..., 0] + squares[..., 1] + squares[..., 2]))
