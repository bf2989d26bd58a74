"""Grow, shrink, open, close and fill masks, in voxels or in mm."""

from __future__ import annotations

from typing import Literal

import edt
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.boxes import bounding_box, grown

__all__ = ["closed", "dilated", "filled", "opened"]

Spacing = tuple[float, float, float]


def dilated(mask: NDArray[np.bool_], iterations: int) -> NDArray[np.bool_]:
    """A mask after so many dilations with 6 neighbors.

    Computed as one distance transform: the voxels at most so many face steps away.

    Parameters
    ----------
    mask : ndarray, shape (Z, Y, X), bool
    iterations : int
        0 leaves the mask as it is.
    """
    result = np.zeros(mask.shape, dtype=bool)
    box = bounding_box(mask)
    if box is None:
        return result
    reach = grown(box, mask.shape, iterations)
    steps = ndimage.distance_transform_cdt(~mask[reach], metric="taxicab")
    result[reach] = steps <= iterations
    return result


def opened(mask: NDArray[np.bool_], radius_mm: float, spacing: Spacing) -> NDArray[np.bool_]:
    """A mask without what is thinner than a ball: eroded, then dilated by ``radius_mm``.

    Distances are between voxel centers, along the array's axes. What lies beyond the array's
    border counts as mask while eroding, so that a kidney cut by the scan's end keeps its end.

    Parameters
    ----------
    mask : ndarray, shape (Z, Y, X), bool
    radius_mm : float
        The ball's radius. Along an axis whose spacing is larger, nothing happens.
    spacing : tuple of float
        mm from voxel to voxel along each axis.
    """
    result = np.zeros(mask.shape, dtype=bool)
    box = bounding_box(mask)
    if box is None:
        return result
    reach = grown(box, mask.shape)
    core = _distance(mask[reach], spacing) > radius_mm * (1 + 1e-6)
    if core.any():
        result[reach] = (_distance(~core, spacing) <= radius_mm * (1 + 1e-6)) & mask[reach]
    return result


def closed(mask: NDArray[np.bool_], radius_mm: float, spacing: Spacing) -> NDArray[np.bool_]:
    """A mask with what a ball does not get into: dilated, then eroded by ``radius_mm``.

    Parameters are those of `opened`. What lies beyond the array's border counts as background.
    """
    result = mask.copy()
    box = bounding_box(mask)
    if box is None:
        return result
    margins = tuple(int(np.ceil(radius_mm / size)) + 1 for size in spacing)
    reach = grown(box, mask.shape, margins)
    # The margin is needed whole, also where the array ends.
    missing = [
        (max(0, m - b.start), max(0, b.stop + m - n))
        for m, b, n in zip(margins, box, mask.shape, strict=True)
    ]
    wide = _distance(~np.pad(mask[reach], missing), spacing) <= radius_mm * (1 + 1e-6)
    core = _distance(wide, spacing) > radius_mm * (1 + 1e-6)
    inner = tuple(
        slice(before, before + part.stop - part.start)
        for (before, _), part in zip(missing, reach, strict=True)
    )
    result[reach] |= core[inner]
    return result


def filled(mask: NDArray[np.bool_], planes: Literal["3d", "axial"] = "3d") -> NDArray[np.bool_]:
    """A mask with its closed cavities filled, in space or in each slice ``mask[z]``.

    Cavities are closed when no face connects them to the outside.
    """
    result = mask.copy()
    box = bounding_box(mask)
    if box is None:
        return result
    part = mask[box]
    if planes == "3d":
        result[box] = ndimage.binary_fill_holes(part)
    else:
        result[box] = np.stack([ndimage.binary_fill_holes(level) for level in part])
    return result


def _distance(mask: NDArray[np.bool_], spacing: Spacing) -> NDArray[np.float32]:
    """Distance in mm of each voxel inside a mask to the nearest voxel center outside, else 0."""
    part = np.ascontiguousarray(mask)
    return np.asarray(edt.edt(part, anisotropy=spacing, black_border=False), dtype=np.float32)
