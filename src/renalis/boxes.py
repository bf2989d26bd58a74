"""Boxes: parts of an array, one slice along each axis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Box",
    "around_all",
    "bounding_box",
    "component_boxes",
    "grown",
    "grown_mm",
    "in_whole",
    "relative_to",
    "scaled_box",
    "touches_border",
    "whole",
]

Box = tuple[slice, slice, slice]
"""Index slices along the three axes with start, stop and no step."""


def whole(shape: tuple[int, int, int]) -> Box:
    """The box of a whole array.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    """
    i, j, k = shape
    return slice(0, i), slice(0, j), slice(0, k)


def bounding_box(*arrays: NDArray[Any]) -> Box | None:
    """Smallest box around everything that is not 0 in any of the arrays.

    Walks an array in memory order whatever its strides, so transposed views cost the same.

    Parameters
    ----------
    *arrays : ndarray, shape (I, J, K)
        Masks or label maps of one shape.

    Returns
    -------
    Box or None
        None when there is nothing.

    Examples
    --------
    >>> mask = np.zeros((4, 5, 6), bool)
    >>> mask[1, 2, 3] = mask[2, 2, 5] = True
    >>> bounding_box(mask)
    (slice(1, 3, None), slice(2, 3, None), slice(3, 6, None))
    """
    boxes = [box for box in map(_bounding_box, arrays) if box is not None]
    return around_all(boxes) if boxes else None


def _bounding_box(array: NDArray[Any]) -> Box | None:
    order = np.argsort([-abs(stride) for stride in array.strides], kind="stable")
    view = array.transpose(order)
    found: list[slice] = [slice(0, 0)] * 3
    slow = np.asarray(view.any(axis=(1, 2)))
    if not slow.any():
        return None
    first, last = _ends(slow)
    found[order[0]] = slice(first, last)
    # One pass over the planes that hold something; the rest of the scan is not looked at again.
    flat = np.asarray(view[first:last].any(axis=0))
    for axis in (1, 2):
        found[order[axis]] = slice(*_ends(np.asarray(flat.any(axis=2 - axis))))
    return found[0], found[1], found[2]


def _ends(present: NDArray[np.bool_]) -> tuple[int, int]:
    """First index and one past the last index that is set."""
    places = np.flatnonzero(present)
    return int(places[0]), int(places[-1]) + 1


def component_boxes(mask: NDArray[np.bool_]) -> list[Box]:
    """Bounding boxes of the connected components of a mask (26 neighbours).

    Parameters
    ----------
    mask : ndarray, shape (I, J, K), bool
        What to look at.
    """
    parts = cc3d.connected_components(mask, connectivity=26, binary_image=True)
    boxes = cc3d.statistics(parts)["bounding_boxes"][1:]
    return [tuple(slice(int(b.start), int(b.stop)) for b in box) for box in boxes]  # type: ignore[misc]


def around_all(boxes: Iterable[Box]) -> Box:
    """The smallest box around all of some boxes, of which there is at least one."""
    boxes = list(boxes)
    i, j, k = (
        slice(int(min(b[axis].start for b in boxes)), int(max(b[axis].stop for b in boxes)))
        for axis in range(3)
    )
    return i, j, k


def grown(box: Box, shape: tuple[int, ...], margins: tuple[int, ...] | int = 1) -> Box:
    """The box with a margin in voxels on each side, cut at the array's border."""
    wide = (margins,) * 3 if isinstance(margins, int) else margins
    i, j, k = (
        slice(max(0, part.start - margin), min(size, part.stop + margin))
        for part, size, margin in zip(box, shape, wide, strict=True)
    )
    return i, j, k


def grown_mm(
    box: Box, shape: tuple[int, ...], spacing_mm: tuple[float, ...], margin_mm: float
) -> Box:
    """The box with a margin in mm, rounded up to voxels, cut at the array's border."""
    return grown(box, shape, tuple(int(np.ceil(margin_mm / size)) for size in spacing_mm))


def relative_to(box: Box, outer: Box) -> Box:
    """A box in the indices of the part ``outer`` of its array.

    Examples
    --------
    >>> outer = (slice(2, 9),) * 3
    >>> in_whole(relative_to((slice(3, 5),) * 3, outer), outer)[0]
    slice(3, 5, None)
    """
    i, j, k = (slice(b.start - o.start, b.stop - o.start) for b, o in zip(box, outer, strict=True))
    return i, j, k


def in_whole(box: Box, outer: Box) -> Box:
    """A box that is counted from the corner of ``outer``, in the indices of the whole array."""
    i, j, k = (slice(o.start + b.start, o.start + b.stop) for b, o in zip(box, outer, strict=True))
    return i, j, k


def scaled_box(box: Box, ratio: tuple[float, ...], shape: tuple[int, int, int]) -> Box:
    """A box of one corner-aligned grid in voxels of another, rounded outwards.

    Parameters
    ----------
    box : Box
        In voxels of its own grid.
    ratio : tuple of float
        The box's spacing divided by the other grid's spacing.
    shape : tuple of int
        Of the other grid, at which the result is cut.
    """
    i, j, k = (
        slice(max(0, int(np.floor(b.start * r))), min(n, int(np.ceil(b.stop * r))))
        for b, r, n in zip(box, ratio, shape, strict=True)
    )
    return i, j, k


def touches_border(box: Box, shape: tuple[int, ...]) -> bool:
    """Whether a box lies on the border of its array."""
    return any(part.start == 0 or part.stop == size for part, size in zip(box, shape, strict=True))
