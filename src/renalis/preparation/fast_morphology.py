"""Masks a voxel smaller or larger, through faces, fast enough for whole scans."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import edt
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["eroded", "filled_levels", "spread", "within"]

Mask = NDArray[np.bool_]
_IN_PLANE = np.zeros((3, 3, 3), dtype=bool)
_IN_PLANE[1, 1, :] = _IN_PLANE[1, :, 1] = True


def eroded(mask: Mask, beyond: bool) -> Mask:
    """The voxels all of whose 6 neighbors lie in the mask too.

    Parameters
    ----------
    mask : ndarray, shape (Z, Y, X), bool
    beyond : bool
        Whether the mask goes on outside of the array.
    """
    result = mask.copy()
    for axis in range(3):
        for side, other in _neighbors(axis):
            result[side] &= mask[other]
        if not beyond:
            for end in (0, -1):
                result[(slice(None),) * axis + (end,)] = False
    return result


def spread(mask: Mask, corners: bool = False) -> Mask:
    """The mask with its 6 neighbors, or all 26.

    Parameters
    ----------
    mask : ndarray, shape (Z, Y, X), bool
    corners : bool
        Also through edges and corners.
    """
    result = mask.copy()
    for axis in range(3):
        source = result.copy() if corners else mask
        for side, other in _neighbors(axis):
            result[side] |= source[other]
    return result


def within(mask: Mask, reach_mm: float, spacing_mm: tuple[float, ...]) -> Mask:
    """The voxels whose center lies at most so far from that of a voxel of the mask.

    The same as comparing the distance from the mask with ``reach_mm``, in a third of the time
    where that is a few voxels.

    Parameters
    ----------
    mask : ndarray, shape (Z, Y, X), bool
    reach_mm : float
    spacing_mm : tuple of float
        Of the voxels along each axis.
    """
    rows = _ball_rows(float(reach_mm), tuple(float(size) for size in spacing_mm))
    wide = [np.array(mask, order="C")]
    for shift in range(1, min(max(width for *_, width in rows), mask.shape[2] - 1) + 1):
        wide.append(wide[-1].copy())
        wide[-1][:, :, shift:] |= mask[:, :, :-shift]
        wide[-1][:, :, :-shift] |= mask[:, :, shift:]
    result = wide[0].copy()
    depth, height, _ = mask.shape
    for z, y, width in rows:
        if abs(z) < depth and abs(y) < height:
            there = slice(max(z, 0), depth + min(z, 0)), slice(max(y, 0), height + min(y, 0))
            here = slice(max(-z, 0), depth - max(z, 0)), slice(max(-y, 0), height - max(y, 0))
            result[there] |= wide[min(width, len(wide) - 1)][here]
    return result


@lru_cache(maxsize=32)
def _ball_rows(reach_mm: float, spacing_mm: tuple[float, ...]) -> tuple[tuple[int, int, int], ...]:
    """Rows of voxels of a ball around one: steps along Z and Y, and how far it goes along X."""
    sides = [int(reach_mm / size) + 1 for size in spacing_mm]
    one = np.ones([2 * side + 1 for side in sides], dtype=bool)
    one[tuple(sides)] = False
    # Rounded as all other distances are
    ball = edt.edt(one, anisotropy=spacing_mm, black_border=False) <= reach_mm
    widths = ball[:, :, sides[2] :].sum(axis=2) - 1
    return tuple(
        (int(z) - sides[0], int(y) - sides[1], int(widths[z, y]))
        for z, y in np.argwhere(widths >= 0)
    )


def filled_levels(mask: Mask) -> Mask:
    """The mask with what it encloses within each level of the first axis.

    Parameters
    ----------
    mask : ndarray, shape (Z, Y, X), bool
    """
    components, count = ndimage.label(~mask, _IN_PLANE)
    enclosed = np.ones(count + 1, dtype=bool)
    for edge in (components[:, 0], components[:, -1], components[:, :, 0], components[:, :, -1]):
        enclosed[edge] = False
    enclosed[0] = True
    return np.asarray(enclosed[components])


def _neighbors(axis: int) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Voxels that have a neighbor before or behind them along an axis, and these neighbors."""
    before = (slice(None),) * axis + (slice(None, -1),)
    behind = (slice(None),) * axis + (slice(1, None),)
    yield before, behind
    yield behind, before
