"""The scan that is measured, in canonical orientation, and the way back to its own grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box
from renalis.calibration import Fits
from renalis.laterality import Midline
from renalis.look_spread import LookSpread
from renalis.measurement.results import Location
from renalis.measurement.structure_values import Probabilities
from renalis.preparation.lungs import Lungs
from renalis.volume import Volume

__all__ = ["Scene", "borders", "slice_axis"]


@dataclass(frozen=True, eq=False)
class Scene:
    """The scan, and what leads back to its own grid.

    Attributes
    ----------
    native : Volume
        The scan as it came.
    image, labels : Volume
        HU and labels in canonical orientation.
    midline : Midline
        Parts right from left.
    prediction : Probabilities or None
        For the confidences.
    lungs : Lungs
        A kidney lies below them.
    spread : LookSpread or None
        How much several looks differed.
    fits : Fits or None
        What confidences were measured with such looks.
    """

    native: Volume
    image: Volume
    labels: Volume
    midline: Midline
    prediction: Probabilities | None
    lungs: Lungs
    spread: LookSpread | None = None
    fits: Fits | None = None

    def location(self, mask: NDArray[np.bool_], box: Box) -> Location:
        """Place of a mask that fills a box of the canonical scan."""
        starts = np.array([part.start for part in box])
        where = np.argwhere(mask)
        center = self.labels.world(where.mean(axis=0) + starts)
        inside = self.labels.world(_nearest(where, self.labels.affine) + starts)
        levels = np.flatnonzero(mask.any(axis=(1, 2))) + starts[0]
        low, high = sorted((self.slice_index(levels[0]), self.slice_index(levels[-1])))
        own = self.native.index(center)
        axis = slice_axis(self.native)
        last = self.native.shape[axis] - 1
        return Location(
            (float(center[0]), float(center[1]), float(center[2])),
            (float(inside[0]), float(inside[1]), float(inside[2])),
            (float(own[0]), float(own[1]), float(own[2])),
            int(np.clip(round(float(own[axis])), 0, last)),
            (low, high),
            borders(box, self.labels.shape),
        )

    def slice_index(self, level: int | np.intp) -> int:
        """Index along the scan's own slice axis of a canonical axial level."""
        axis = slice_axis(self.native)
        ascending = self.native.orientation[axis] == "S"
        return int(level) if ascending else self.native.shape[axis] - 1 - int(level)


def _nearest(where: NDArray[np.intp], affine: NDArray[np.float64]) -> NDArray[np.intp]:
    """That of the voxels, shape (n, 3), which lies nearest to their centroid in mm."""
    away = (where - where.mean(axis=0)) @ affine[:3, :3].T
    nearest: NDArray[np.intp] = where[np.argmin(np.einsum("ij,ij->i", away, away))]
    return nearest


def slice_axis(volume: Volume) -> int:
    """The array axis that runs along the patient."""
    codes = volume.orientation
    return codes.index("S") if "S" in codes else codes.index("I")


def borders(box: Box, shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Sides of the scan that a canonical box touches."""
    names = (("inferior", "superior"), ("anterior", "posterior"), ("right", "left"))
    touched = []
    for part, size, (low, high) in zip(box, shape, names, strict=True):
        touched += [low] if part.start == 0 else []
        touched += [high] if part.stop == size else []
    return tuple(touched)
