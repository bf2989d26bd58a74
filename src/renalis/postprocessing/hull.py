"""The convex hull of a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from renalis.postprocessing.components import row_ends

__all__ = ["hull_mask"]


def hull_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels whose center lies in the convex hull of a mask's voxel centers.

    Solved column by column: along the last axis a convex body is one interval, whose ends follow
    from the hull's planes. That is a thousand times less work than testing every voxel. One level
    of the first axis at a time stays in the processor's cache.
    """
    points = row_ends(mask)
    try:
        planes = np.unique(np.round(ConvexHull(points).equations, 9), axis=0)
    except (QhullError, ValueError):
        return mask.copy()
    along = planes[:, 2]
    upper, lower, side = planes[along > 1e-9], planes[along < -1e-9], planes[np.abs(along) <= 1e-9]
    rows, levels = np.arange(mask.shape[1]), np.arange(mask.shape[2])
    # Where a plane meets a column: linear in the place of the column.
    top, bottom = (_Ends.of(part, rows) for part in (upper, lower))
    slack = side[:, 1:2] * rows + side[:, 3:] - 1e-6
    result = np.zeros(mask.shape, dtype=bool)
    for place in range(mask.shape[0]):
        within = (slack + side[:, :1] * place <= 0).all(axis=0)[:, None]
        lowest, highest = bottom.at(place).max(axis=0), top.at(place).min(axis=0)
        result[place] = within & (levels >= lowest[:, None]) & (levels <= highest[:, None])
    return result


@dataclass(frozen=True, eq=False)
class _Ends:
    """Where planes meet columns along the last axis."""

    first: NDArray[np.float64]
    """Of the columns with the first index 0, shape (planes, columns)."""
    step: NDArray[np.float64]
    """From one first index to the next, shape (planes, 1)."""

    @classmethod
    def of(cls, planes: NDArray[np.float64], rows: NDArray[np.intp]) -> _Ends:
        """Planes as `scipy.spatial.ConvexHull` has them, none of them along the last axis."""
        along = planes[:, 2:3]
        first = (1e-6 - planes[:, 3:] - planes[:, 1:2] * rows) / along
        return cls(first, -planes[:, :1] / along)

    def at(self, place: int) -> NDArray[np.float64]:
        """Of the columns with one first index."""
        return self.first + self.step * place
