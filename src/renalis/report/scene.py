"""What all pictures of a case share: the surroundings of the kidneys, in canonical orientation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box, bounding_box, grown_mm
from renalis.report.picture import Picture, picture
from renalis.report.planes import Plane, cut, laid_out, slice_number
from renalis.report.uncertainty import Reach
from renalis.volume import Volume

__all__ = ["Found", "Scene", "view"]

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
    reach : tuple of Reach
        Where structures are possible; empty when no probabilities are to be shown.
    """

    scan: Volume
    image: Volume
    labels: Volume
    tight: Box | None
    box: Box | None
    reach: tuple[Reach, ...] = ()

    @classmethod
    def of(cls, image: Volume, labels: Volume) -> Scene:
        """The scene of a scan and a label map on the same grid."""
        if not image.same_grid(labels):
            raise ValueError("the label map lies on another grid than the scan")
        # One affine, so that both are turned to the same canonical orientation.
        upright = image.like(labels.array, labels.kind).reoriented()
        tight = bounding_box(upright.array)
        box = tight and grown_mm(tight, upright.shape, upright.spacing, MARGIN_MM)
        return cls(image, image.reoriented(), upright, tight, box)


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
        Lesions whose names are written next to them.
    """
    sides = list(box)
    sides[plane.axis] = slice(index, index + 1)
    part: Box = (sides[0], sides[1], sides[2])
    image = scene.image.cropped(part)
    lesions = np.zeros(image.shape, np.uint16)
    names: dict[int, str] = {}
    for number, lesion in enumerate(found, start=1):
        here = _paste(lesion, part, lesions, number)
        if here:
            names[number] = lesion.name
    shown = cut(image, plane, 0)
    reach = [laid_out(one.within(part), plane) for one in scene.reach]
    number, count = slice_number(scene.scan, scene.image, plane, index)
    place = f"{shown.position} · slice {number} of {count}"
    return picture(
        shown,
        laid_out(scene.labels.array[part], plane),
        size=size,
        title=title,
        place=place,
        lesions=laid_out(lesions, plane),
        names=names,
        reach=reach,
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
