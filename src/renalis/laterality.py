"""Left and right: which half of the patient a point lies in.

The affine says where right is (+x in the NIfTI convention); the order of the array never does.
What parts the halves depends on what is known:

- in a scan, the body's midline (`renalis.preparation.body.find_body`): along the spine, else the
  middle between the flanks, else the middle of the field of view;
- in a system that says so, the centroid of the body (`renalis.postprocessing.sides`);
- in a score, a plane from the reference alone (`between_kidneys_mm`), so that no prediction can
  move it.

Every voxel belongs to the side its center lies on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box
from renalis.volume import Volume

__all__ = ["Midline", "between_kidneys_mm", "field_middle", "field_midline", "right_of", "world_x"]

_BIN_MM = 2.0
_APART_MM = 60.0
_VALLEY = 0.2


@dataclass(frozen=True)
class Midline:
    """The line ``x = x_mm + slope * (z - z_mm)`` that parts the body's right from its left.

    Attributes
    ----------
    x_mm, z_mm : float
        A point of the line in patient coordinates (RAS+, mm).
    slope : float
        Sideways mm per mm towards the head (a patient who lies askew).
    rule : str
        What the line was derived from, in words for the reader of the measurements.
    seen : bool
        Whether it was seen in the patient; the middle of the field of view was not.
    """

    x_mm: float
    z_mm: float = 0.0
    slope: float = 0.0
    rule: str = "given"
    seen: bool = True

    def offset_mm(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Distance from the midline, positive on the patient's right: (..., 3) in, (...) out."""
        points = np.asarray(points, dtype=np.float64)
        middle = self.x_mm + self.slope * (points[..., 2] - self.z_mm)
        return np.asarray(points[..., 0] - middle)


def field_middle(grid: Volume) -> NDArray[np.float64]:
    """Center of the field of view in patient coordinates (RAS+, mm), shape (3,)."""
    return grid.world((np.array(grid.shape) - 1) / 2)


def field_midline(grid: Volume, why: str = "") -> Midline:
    """The middle of the field of view as midline, where nothing better is known.

    Parameters
    ----------
    grid : Volume
        Only its shape and affine are used.
    why : str
        Why nothing is, for the midline's ``rule``.
    """
    x_mm, _, z_mm = (float(value) for value in field_middle(grid))
    rule = "middle of the field of view"
    return Midline(x_mm, z_mm, rule=f"{rule}, because {why}" if why else rule, seen=False)


def between_kidneys_mm(grid: Volume, renal_x: NDArray[np.float64]) -> float:
    """World x (mm) of the plane between the two groups of a label map's renal voxels.

    If they fall into two groups along the left-right axis (the centers of the halves at least 60 mm
    apart and the emptiest place between them below a fifth of the lower peak), the plane lies in
    the middle of that emptiest stretch. Otherwise (one kidney, or none) it lies at the center of
    the field of view.

    Parameters
    ----------
    grid : Volume
        The reference; only its shape and affine are used.
    renal_x : ndarray of float64, shape (N,)
        World x of the reference's renal voxels, mm, +x to the patient's right.
    """
    field = float(field_middle(grid)[0])
    if not len(renal_x):
        return field
    low = float(renal_x.min())
    counts = np.bincount(((renal_x - low) / _BIN_MM).astype(np.int64)).astype(np.float64)
    # Coarse slices in the left-right direction leave empty bins that are no gap.
    step = float(np.abs(grid.affine[0, :3]).max())
    width = max(1, int(np.ceil(step / _BIN_MM)))
    counts = np.convolve(counts, np.ones(width) / width, mode="same")
    middle = _two_groups(counts)
    return field if middle is None else low + (middle + 0.5) * _BIN_MM


def _two_groups(counts: NDArray[np.float64]) -> float | None:
    """Middle of the emptiest stretch between two groups in a histogram, if there are two."""
    if len(counts) < 3:
        return None
    place = np.arange(len(counts))
    below, total = np.cumsum(counts), counts.sum()
    sums = np.cumsum(counts * place)
    # Otsu's threshold: the cut with the largest variance between both sides.
    weights = below[:-1] * (total - below[:-1])
    valid = weights > 0
    if not valid.any():
        return None
    first = sums[:-1] / np.maximum(below[:-1], 1e-9)
    second = (sums[-1] - sums[:-1]) / np.maximum(total - below[:-1], 1e-9)
    cut = int(np.argmax(np.where(valid, weights * (second - first) ** 2, -1)))
    if (second[cut] - first[cut]) * _BIN_MM < _APART_MM:
        return None
    left, right = int(first[cut]), int(np.ceil(second[cut]))
    between = counts[left : right + 1]
    peaks = min(counts[: cut + 1].max(), counts[cut + 1 :].max())
    if between.min() > _VALLEY * peaks:
        return None
    lowest = np.flatnonzero(between == between.min()) + left
    return float(lowest.mean())


def world_x(grid: Volume, coordinates: tuple[NDArray[np.int64], ...]) -> NDArray[np.float64]:
    """World x in mm (+x to the patient's right) of voxels given by their three indices.

    The indices may be lists of voxels or axes that broadcast against each other.
    """
    row = grid.affine[0]
    # Always summed in the same order, so that a voxel never changes sides by rounding.
    return np.asarray(
        ((row[3] + row[0] * coordinates[0]) + row[1] * coordinates[1]) + row[2] * coordinates[2]
    )


def right_of(grid: Volume, box: Box, midline: float) -> NDArray[np.bool_]:
    """Which voxels of a box lie right of the midline; broadcasts to the box's shape."""
    i, j, k = (np.arange(s.start, s.stop) for s in box)
    axes: list[NDArray[np.int64]] = [i[:, None, None], j[None, :, None], k[None, None, :]]
    # An axis that does not lead sideways adds exactly nothing: one slice of it stands for all.
    axes = [a if grid.affine[0, n] else a[(slice(0, 1),) * 3] for n, a in enumerate(axes)]
    return np.asarray(world_x(grid, (axes[0], axes[1], axes[2])) >= midline)
