"""The convex hull of a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from renalis.postprocessing.components import surface

__all__ = ["hull_mask"]


def hull_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels whose center lies in the convex hull of a mask's voxel centers.

    Solved column by column: along the last axis a convex body is one interval, whose ends follow
    from the hull's planes. That is a thousand times less work than testing every voxel.
    """
    points = surface(mask)
    try:
        planes = np.unique(np.round(ConvexHull(points).equations, 9), axis=0)
    except (QhullError, ValueError):
        return mask.copy()
    shape = mask.shape
    columns = np.stack(np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij"), -1)
    slack = -(columns @ planes[:, :2].T + planes[:, 3]) + 1e-6
    along = planes[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = slack / along
    top = np.where(along > 1e-9, ends, np.inf).min(axis=-1)
    bottom = np.where(along < -1e-9, ends, -np.inf).max(axis=-1)
    upright = np.where(np.abs(along) <= 1e-9, slack, 0.0)
    within_sides: NDArray[np.bool_] = np.asarray((upright >= 0).all(axis=-1))
    levels = np.arange(shape[2])
    inside = (levels >= bottom[..., None]) & (levels <= top[..., None])
    return np.asarray(inside & within_sides[..., None])
