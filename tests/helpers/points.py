"""Where the voxels around a structure lie: a phantom is drawn there and not looked at elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box
from renalis.volume import Volume

__all__ = ["points_near"]


def points_near(
    grid: Volume, center: Sequence[float], radii: Sequence[float]
) -> tuple[Box, NDArray[np.float64]]:
    """The box of voxels that an ellipsoid may hold, and their places in mm, (..., 3)."""
    reach = np.abs(np.linalg.inv(grid.affine[:3, :3])) @ np.asarray(radii)
    middle = grid.index(np.asarray(center))
    low = np.clip(np.floor(middle - reach), 0, grid.shape).astype(int)
    high = np.clip(np.ceil(middle + reach) + 1, low, grid.shape).astype(int)
    index = np.moveaxis(np.indices(tuple(high - low)), 0, -1) + low
    i, j, k = (slice(a, b) for a, b in zip(low, high, strict=True))
    return (i, j, k), grid.world(index)
