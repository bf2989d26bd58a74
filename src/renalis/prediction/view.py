"""How the networks see a scan: on its own axes where the patient lies along them, else upright.

Either way their voxels lie on a grid that is fixed in the patient's coordinates, not in the
scan's corner, so that crops, tilts and other fields of view of a scan show the same voxels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box
from renalis.prediction.restore import restore
from renalis.prediction.restore_oblique import restore_oblique
from renalis.preparation import (
    OBLIQUE_DEG,
    Grid,
    Interpolation,
    grid_offset,
    lies_along_own_axes,
    obliqueness_deg,
    reduced_bytes,
    resample,
    resample_upright,
    stage_grid,
    upright_frame,
)
from renalis.volume import Volume

__all__ = ["View"]


@dataclass(frozen=True, eq=False)
class View:
    """A scan, and the axes on which the networks' grids lie.

    Attributes
    ----------
    scan : Volume
        HU, canonical orientation.
    frame : Volume
        The scan itself, or, when its axes are more than 2 degrees off the patient's and the body
        does not lie straight along them, an empty volume along the patient's axes that holds it
        whole.
    oblique_deg : float
        How far the scan's axes are off.
    """

    scan: Volume
    frame: Volume
    oblique_deg: float

    @classmethod
    def of(cls, scan: Volume) -> View:
        """Decide from the affine of a scan in canonical orientation, and from the body in it."""
        view = cls.by_affine(scan)
        if view.oblique and lies_along_own_axes(scan):
            return cls(scan, scan, view.oblique_deg)
        return view

    @classmethod
    def by_affine(cls, scan: Volume) -> View:
        """Believe the affine, without checking the voxels: never a smaller frame than `of`."""
        angle = obliqueness_deg(scan)
        return cls(scan, upright_frame(scan) if angle > OBLIQUE_DEG else scan, angle)

    @property
    def oblique(self) -> bool:
        """Whether the scan is turned to be seen."""
        return self.frame is not self.scan

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know about it."""
        if self.oblique_deg <= OBLIQUE_DEG:
            return ()
        axes = f"The scan's axes are up to {self.oblique_deg:.0f}° off the patient's"
        if not self.oblique:
            return (
                f"{axes} by its affine, but the body lies straight along them; it was not turned.",
            )
        return (
            f"{axes}; the networks saw it turned upright, and the labels were brought back to its "
            "own grid.",
        )

    def grid(self, spacing_mm: tuple[float, float, float]) -> Grid:
        """A stage's grid."""
        return stage_grid(self.frame, spacing_mm, grid_offset(self.frame))

    def image(
        self,
        spacing_mm: tuple[float, float, float],
        box: Box | None = None,
        interpolation: Interpolation = "average",
    ) -> NDArray[np.float32]:
        """HU on a stage's grid or a box of it."""
        how = spacing_mm, box, grid_offset(self.frame), interpolation
        if not self.oblique:
            return resample(self.scan, *how).array
        return resample_upright(self.scan, self.frame, *how).array

    def restore(
        self, probability: NDArray[np.float32], box: Box, grid: Grid, labels: Volume
    ) -> None:
        """Write labels from probabilities (3, z, y, x) on a box of a stage's grid, in place."""
        if self.oblique:
            restore_oblique(probability, box, grid, labels)
        else:
            restore(probability, box, grid.shape, grid.ratio, labels.array, grid.offset)

    def turning_bytes(
        self, spacing_mm: tuple[float, float, float], interpolation: Interpolation
    ) -> float:
        """Memory for turning the whole scan, beyond that of the result."""
        if not self.oblique:
            return 0.0
        return float(reduced_bytes(self.scan, spacing_mm, interpolation))
