"""Boxes in a volume: which part of a scan is worth looking at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.report.planes import Plane
from renalis.volume import Volume

__all__ = ["Box", "bounds", "largest", "shaped", "widened"]

Box = tuple[slice, slice, slice]


def bounds(labels: NDArray[np.generic]) -> Box | None:
    """Smallest box around all voxels that are not 0, without a copy of the array."""
    found: list[slice] = []
    part = labels
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(part.any(axis=others))
        if len(hit) == 0:
            return None
        found.append(slice(int(hit[0]), int(hit[-1]) + 1))
        part = part[(slice(None),) * axis + (found[-1],)]
    return found[0], found[1], found[2]


def widened(box: Box, volume: Volume, margin_mm: float) -> Box:
    """A box with a margin on every side, within the volume."""
    sides = []
    for side, length, step in zip(box, volume.shape, volume.spacing, strict=True):
        more = int(np.ceil(margin_mm / step))
        sides.append(slice(max(0, side.start - more), min(length, side.stop + more)))
    return sides[0], sides[1], sides[2]


def shaped(box: Box, volume: Volume, plane: Plane, aspect: float) -> Box:
    """A box grown within the volume until its picture is ``aspect`` times as wide as high."""
    sides = list(box)
    rows, columns = plane.in_plane
    spacing = volume.spacing
    height = (sides[rows].stop - sides[rows].start) * spacing[rows]
    width = (sides[columns].stop - sides[columns].start) * spacing[columns]
    axis, missing = (columns, height * aspect - width)
    if missing < 0:
        axis, missing = rows, width / aspect - height
    more = int(missing / spacing[axis] / 2)
    start, stop, length = sides[axis].start - more, sides[axis].stop + more, volume.shape[axis]
    # What one side of the scan cannot give, the other side does.
    start, stop = max(0, start - max(0, stop - length)), min(length, stop + max(0, -start))
    sides[axis] = slice(start, stop)
    return sides[0], sides[1], sides[2]


def largest(mask: NDArray[np.bool_], axis: int) -> int:
    """Index along an axis at which a region is largest; the middle one of equals."""
    areas = mask.sum(axis=tuple(a for a in range(3) if a != axis))
    best = np.flatnonzero(areas == areas.max())
    return int(best[len(best) // 2])
