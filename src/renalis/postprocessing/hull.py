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
    from the hull's planes. That is a thousand times less work than testing every voxel. One level
    of the first axis at a time stays in the processor's cache.
    """
    points = surface(mask)
    try:
        planes = np.unique(np.round(ConvexHull(points).equations, 9), axis=0)
    except (QhullError, ValueError):
        return mask.copy()
    along = planes[:, 2]
    above, below, beside = along > 1e-9, along < -1e-9, np.abs(along) <= 1e-9
    rows, levels = np.arange(mask.shape[1]), np.arange(mask.shape[2])
    result = np.zeros(mask.shape, dtype=bool)
    for place in range(mask.shape[0]):
        columns = np.stack([np.full(len(rows), place), rows])
        slack = -(planes[:, :2] @ columns + planes[:, 3:]) + 1e-6
        top = (slack[above] / along[above, None]).min(axis=0)
        bottom = (slack[below] / along[below, None]).max(axis=0)
        within = (slack[beside] >= 0).all(axis=0)[:, None]
        result[place] = within & (levels >= bottom[:, None]) & (levels <= top[:, None])
    return result
