"""Masks a voxel smaller or larger, through faces, fast enough for whole scans."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["eroded", "filled_levels", "spread"]

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
