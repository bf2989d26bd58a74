"""What all pictures of a case share: the surroundings of the kidneys, in canonical orientation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.report.picture import Picture, picture
from renalis.report.planes import Plane, cut, slice_number
from renalis.volume import Volume

__all__ = ["Box", "Found", "Scene", "bounds", "largest", "shaped", "view", "widened"]

Box = tuple[slice, slice, slice]
MARGIN_MM = 25.0
"""Surroundings that are shown beyond the outermost labeled voxel."""


@dataclass(frozen=True, eq=False)
class Found:
    """A kidney or lesion that has a number in the table.

    Parameters
    ----------
    name : str
        As in the table, such as ``"T1"``.
    mask : ndarray of bool
        Its voxels in ``box``.
    box : tuple of slice
        Where it lies in the canonical scan.
    """

    name: str
    mask: NDArray[np.bool_]
    box: Box


@dataclass(frozen=True, eq=False)
class Scene:
    """A scan with its labels, canonical views on the same memory.

    Parameters
    ----------
    scan : Volume
        HU, in the order of its file; slice numbers refer to it.
    image, labels : Volume
        Canonical views of scan and label map.
    tight : tuple of slice, optional
        Smallest box around everything labeled; None when nothing is labeled.
    box : tuple of slice, optional
        The same with its surroundings.
    """

    scan: Volume
    image: Volume
    labels: Volume
    tight: Box | None
    box: Box | None

    @classmethod
    def of(cls, image: Volume, labels: Volume) -> Scene:
        """The scene of a scan and a label map on the same grid."""
        if not image.same_grid(labels):
            raise ValueError("the label map lies on another grid than the scan")
        upright = labels.reoriented()
        tight = bounds(upright.array)
        box = None if tight is None else widened(tight, upright, MARGIN_MM)
        return cls(image, image.reoriented(), upright, tight, box)


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


def view(
    scene: Scene,
    plane: Plane,
    index: int,
    *,
    box: Box,
    size: tuple[int, int],
    title: str,
    found: Iterable[Found] = (),
) -> Picture:
    """One picture of a scene.

    Parameters
    ----------
    scene : Scene
    plane : Plane
    index : int
        Index of the slice in the canonical scan.
    box : tuple of slice
        The part that is shown; only its in-plane sides count.
    size : (int, int)
        Largest height and width in pixels.
    title : str
    found : iterable of Found
        Lesions whose names are written beside them.
    """
    sides = list(box)
    sides[plane.axis] = slice(index, index + 1)
    part: Box = (sides[0], sides[1], sides[2])
    image, labels = scene.image.cropped(part), scene.labels.cropped(part)
    lesions = np.zeros(image.shape, np.uint16)
    names: dict[int, str] = {}
    for number, lesion in enumerate(found, start=1):
        here = _paste(lesion, part, lesions, number)
        if here:
            names[number] = lesion.name
    shown = cut(image, plane, 0)
    flat = cut(Volume(lesions, image.affine, labels.kind), plane, 0)
    number, count = slice_number(scene.scan, scene.image, plane, index)
    place = f"{shown.position} · slice {number} of {count}"
    return picture(
        shown,
        cut(labels, plane, 0),
        size=size,
        title=title,
        place=place,
        lesions=flat.array,
        names=names,
    )


def _paste(found: Found, part: Box, numbers: NDArray[np.uint16], number: int) -> bool:
    """Write a lesion's number where it shows in a part of the scan; whether it does."""
    into, source = [], []
    for mine, theirs in zip(found.box, part, strict=True):
        start, stop = max(mine.start, theirs.start), min(mine.stop, theirs.stop)
        if start >= stop:
            return False
        into.append(slice(start - theirs.start, stop - theirs.start))
        source.append(slice(start - mine.start, stop - mine.start))
    mask = found.mask[tuple(source)]
    numbers[tuple(into)][mask] = number
    return bool(mask.any())
