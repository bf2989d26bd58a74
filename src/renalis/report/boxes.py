"""The shape of a picture: which part of a scan fills it, and which slice shows most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box
from renalis.report.planes import Plane
from renalis.volume import Volume

__all__ = ["largest", "shaped"]


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
