"""The volume: the only thing that carries voxels between functions.

An array never travels without its affine. Spacing, orientation and laterality are derived from
the affine when they are asked for and are never stored or passed apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box

__all__ = ["CANONICAL", "Kind", "Volume"]

CANONICAL = "SPL"
"""Orientation in which the networks see every scan: array axis 0 runs to the patient's head
(superior), axis 1 to the back (posterior), axis 2 to the patient's left. ``array[z]`` is then an
axial slice as radiologists look at it: front up, patient's right on the viewer's left."""

_AXIS_OF_CODE = {"L": 0, "R": 0, "P": 1, "A": 1, "I": 2, "S": 2}
_SIGN_OF_CODE = {"L": -1, "R": 1, "P": -1, "A": 1, "I": -1, "S": 1}
_CODES = (("L", "R"), ("P", "A"), ("I", "S"))


class Kind(StrEnum):
    """What the voxels of a volume mean."""

    IMAGE = "image"
    """CT numbers in HU."""
    LABELS = "labels"
    """Whole numbers, one per class."""
    PROBABILITY = "probability"
    """0 to 1 as floats, or 0 to 255 as uint8."""


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3D array with the place of its voxels in the patient.

    Parameters
    ----------
    array : ndarray, shape (I, J, K)
        Voxels in any axis order; after ``reoriented()`` the order is (Z, Y, X).
    affine : ndarray, shape (4, 4), float64
        Maps array indices ``(i, j, k, 1)`` to patient coordinates in mm, in the NIfTI convention:
        +x to the patient's right, +y to the front, +z to the head (RAS+).
    kind : Kind
        What the voxels mean.

    Raises
    ------
    ValueError
        If the array is not 3D or the affine is not a finite, invertible 4 x 4 matrix.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    kind: Kind = Kind.IMAGE

    def __post_init__(self) -> None:
        if self.array.ndim != 3:
            raise ValueError(f"a volume has three axes, this array has {self.array.ndim}")
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4):
            raise ValueError(f"an affine is a 4 x 4 matrix, this one is {affine.shape}")
        if not np.isfinite(affine).all():
            raise ValueError("the affine contains values that are not finite")
        if affine[3].tolist() != [0, 0, 0, 1]:
            raise ValueError("the last row of an affine is 0 0 0 1")
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if (lengths <= 0).any() or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
            raise ValueError("the affine is singular: some voxels would have no place of their own")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each array axis."""
        i, j, k = self.array.shape
        return i, j, k

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance in mm between neighbouring voxels along each array axis."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in ml; exact for sheared grids (gantry tilt) as well."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000.0)

    @property
    def orientation(self) -> str:
        """Anatomical direction in which each array axis runs, for example ``"SPL"``.

        For oblique grids, the assignment of array axes to patient axes that fits best overall.
        """
        direction = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        codes = ""
        for array_axis, world_axis in enumerate(_best_assignment(np.abs(direction))):
            codes += _CODES[world_axis][int(direction[world_axis, array_axis] > 0)]
        return codes

    def reoriented(self, codes: str = CANONICAL) -> Volume:
        """The same voxels in the same places, with the array axes permuted and flipped.

        Returns a view on the same memory: nothing is resampled or rounded.
        """
        order, flips = _steps(self.orientation, codes)
        array = self.array.transpose(order)
        affine = self.affine[:, [*order, 3]].copy()
        for axis, flip in enumerate(flips):
            if flip:
                affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
                affine[:3, axis] *= -1
        index = tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)
        return Volume(array[index], affine, self.kind)

    def like(self, array: NDArray[Any], kind: Kind) -> Volume:
        """A volume of other voxels on this volume's grid."""
        if array.shape != self.array.shape:
            raise ValueError(f"the grid has shape {self.array.shape}, the array {array.shape}")
        return Volume(array, self.affine, kind)

    def unlabeled(self) -> Volume:
        """An empty label map (uint8) on this volume's grid, in the same memory order.

        Memory that nothing is written to costs nothing; `numpy.zeros_like` writes to all of it.
        """
        order = np.argsort([-abs(stride) for stride in self.array.strides], kind="stable")
        array = np.zeros([self.shape[axis] for axis in order], np.uint8)
        return self.like(array.transpose(np.argsort(order)), Kind.LABELS)

    def cropped(self, box: Box) -> Volume:
        """The part of the volume inside ``box`` (index slices with step 1), placed correctly."""
        if any(s.step not in (None, 1) for s in box):
            raise ValueError("a box has step 1 along each axis")
        starts = [s.indices(n)[0] for s, n in zip(box, self.shape, strict=True)]
        affine = self.affine.copy()
        affine[:3, 3] = self.affine[:3, :3] @ np.asarray(starts, float) + self.affine[:3, 3]
        return Volume(self.array[box], affine, self.kind)

    def world(self, index: NDArray[Any]) -> NDArray[np.float64]:
        """Patient coordinates in mm (RAS+) of array indices, shape (..., 3) in, (..., 3) out."""
        points = np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T
        return np.asarray(points + self.affine[:3, 3])

    def index(self, world: NDArray[Any]) -> NDArray[np.float64]:
        """Fractional array indices of patient coordinates in mm, (..., 3) in, (..., 3) out."""
        inverse = np.linalg.inv(self.affine[:3, :3])
        points = np.asarray(world, dtype=np.float64) - self.affine[:3, 3]
        return np.asarray(points @ inverse.T)

    def same_grid(self, other: Volume, tolerance_mm: float = 1e-3) -> bool:
        """Whether both volumes have the same shape and no voxel's place differs by more."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        apart = np.abs(self.world(corners) - other.world(corners)).max()
        return bool(apart <= tolerance_mm)


def _best_assignment(strength: NDArray[np.float64]) -> tuple[int, int, int]:
    """Patient axis for each array axis, all different, with the largest product of cosines."""
    candidates = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))

    def fit(axes: tuple[int, int, int]) -> float:
        return float(sum(np.log(strength[w, a] + 1e-9) for a, w in enumerate(axes)))

    return max(candidates, key=fit)


def _steps(have: str, want: str) -> tuple[list[int], list[bool]]:
    """Axis order and flips that lead from one orientation to another."""
    if len(want) != 3 or sorted(_AXIS_OF_CODE.get(c, -1) for c in want) != [0, 1, 2]:
        raise ValueError(f"{want!r} is not an orientation such as 'SPL' or 'RAS'")
    axes = [_AXIS_OF_CODE[c] for c in have]
    order = [axes.index(_AXIS_OF_CODE[c]) for c in want]
    flips = [_SIGN_OF_CODE[have[o]] != _SIGN_OF_CODE[w] for o, w in zip(order, want, strict=True)]
    return order, flips
