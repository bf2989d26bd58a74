"""Diameters of voxel masks in mm.

A mask holds the voxels whose centers lie inside a body. In a slice its outline is taken halfway
between the last pixel inside and the first outside, along each array axis; the largest distance
between two points of an outline is attained between corners of its convex hull, so it is exact,
not sampled over angles. In three dimensions the corners of thick slices would stick out, so there
the body's extent is told from volumes (`renalis.postprocessing.extent`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform

from renalis.postprocessing.components import row_ends
from renalis.postprocessing.extent import largest_extent_mm

__all__ = ["AxialDiameter", "axial_diameter", "diameter_mm", "outline_points"]


@dataclass(frozen=True)
class AxialDiameter:
    """The largest diameter in any axial slice.

    Attributes
    ----------
    long_mm : float
        Largest distance between two points of the outline (Feret diameter).
    short_mm : float
        Width of the outline across that direction.
    level : int
        Index of the slice in the mask.
    """

    long_mm: float
    short_mm: float
    level: int


def _hull_corners(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners of the convex hull; all points when they are too few or flat."""
    if len(points) <= points.shape[1] + 1:
        return points
    try:
        return np.asarray(points[ConvexHull(points).vertices])
    except QhullError:
        return points


def outline_points(mask: NDArray[np.bool_], steps: NDArray[Any]) -> NDArray[np.float64]:
    """Points in mm whose convex hull is that of the mask's outline.

    Parameters
    ----------
    mask : ndarray, bool, two or three axes
        The structure.
    steps : ndarray, shape (mask.ndim, D)
        Step in mm from one voxel to the next along each array axis (rows); need not be orthogonal.

    Returns
    -------
    ndarray, shape (N, D)
        Relative to the mask's first voxel.
    """
    ends = row_ends(mask)
    centers = _hull_corners(ends @ steps) if len(ends) > 64 else ends @ steps
    halves = np.concatenate([steps, -steps]) / 2
    return np.asarray((centers[:, None, :] + halves[None]).reshape(-1, steps.shape[1]))


def diameter_mm(mask: NDArray[np.bool_], steps: NDArray[Any]) -> float:
    """Largest distance in mm between two points of the body that a 3D mask was drawn from.

    Unbiased over the mask's place on the grid, slice thickness and obliquity for rounded bodies;
    never less than between the centers of two voxels, which lie inside. Of a mask of one slice it
    is the largest distance between two points of its outline.

    Parameters
    ----------
    mask : ndarray, shape (Z, Y, X), bool
        Not empty.
    steps : ndarray, shape (3, 3)
        Step in mm along each array axis, as rows.
    """
    if any(np.count_nonzero(mask.any(axis=others)) == 1 for others in ((1, 2), (0, 2), (0, 1))):
        return float(pdist(_hull_corners(outline_points(mask, steps))).max())
    centers = _hull_corners(row_ends(mask) @ steps)
    return max(float(pdist(centers).max(initial=0.0)), largest_extent_mm(mask, steps))


def axial_diameter(mask: NDArray[np.bool_], steps: NDArray[Any]) -> AxialDiameter:
    """Largest diameter in mm in any slice ``mask[z]``.

    Parameters
    ----------
    mask : ndarray, shape (Z, Y, X), bool
        Not empty.
    steps : ndarray, shape (3, 3)
        Step in mm along each array axis, as rows; distances are taken within the slice's plane.
    """
    # Lower triangular: the same lengths and angles as the two in-plane steps, in two coordinates.
    plane = np.linalg.cholesky(steps[1:] @ steps[1:].T)
    best = AxialDiameter(0.0, 0.0, 0)
    levels = np.flatnonzero(mask.any(axis=(1, 2)))
    for level in sorted(levels, key=lambda z: (-int(np.count_nonzero(mask[z])), z)):
        points = outline_points(mask[level], plane)
        if np.linalg.norm(np.ptp(points, axis=0)) <= best.long_mm:
            continue
        corners = _hull_corners(points)
        apart = squareform(pdist(corners))
        one, other = np.unravel_index(apart.argmax(), apart.shape)
        long_mm = float(apart[one, other])
        if long_mm > best.long_mm:
            along = (corners[other] - corners[one]) / long_mm
            across = corners @ np.array([-along[1], along[0]])
            best = AxialDiameter(long_mm, float(np.ptp(across)), int(level))
    return best
