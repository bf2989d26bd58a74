"""Borders of structures on the scan's own grid, and how near they come to each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from renalis.volume import Volume

__all__ = ["border_points", "least_distance_mm"]


def border_points(mask: NDArray[np.bool_], grid: Volume) -> tuple[NDArray[np.float64], ...]:
    """Points on the border of a mask, halfway between a voxel inside and its neighbor outside.

    Parameters
    ----------
    mask : ndarray of bool, shape of ``grid``
        Goes on to nowhere beyond the grid.
    grid : Volume
        Any spacing, oblique or sheared.

    Returns
    -------
    ndarray, shape (N, 3), twice
        The points in mm (RAS+), and the centers of the voxels outside.
    """
    padded = np.pad(mask, 1)
    points, outside = [], []
    for axis in range(3):
        low: list[slice] = [slice(None)] * 3
        high: list[slice] = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        one, other = padded[tuple(low)], padded[tuple(high)]
        where = np.argwhere(one != other)
        step = np.eye(3)[axis]
        points.append(where + step / 2 - 1)
        outside.append(where + step * one[tuple(where.T)][:, None] - 1)
    return grid.world(np.concatenate(points)), grid.world(np.concatenate(outside))


def least_distance_mm(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Shortest distance in mm between two clouds of points (N, 3) and (M, 3)."""
    # Some pair's distance; what lies farther than that from all of the other cloud has no say.
    first = one[np.linalg.norm(one - other.mean(axis=0), axis=1).argmin()]
    most = float(np.linalg.norm(other - first, axis=1).min()) * (1 + 1e-9)
    one = _near(one, other, most)
    return float(cKDTree(_near(other, one, most)).query(one)[0].min())


def _near(
    points: NDArray[np.float64], others: NDArray[np.float64], most_mm: float
) -> NDArray[np.float64]:
    """Points (N, 3) at most so far from the box around others (M, 3)."""
    low, high = others.min(axis=0) - most_mm, others.max(axis=0) + most_mm
    return np.asarray(points[((points >= low) & (points <= high)).all(axis=1)])
