"""How often each value occurs among voxels: counted once, whatever is asked of values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOWEST", "VALUES", "value_counts"]

LOWEST = -32768
VALUES = np.arange(LOWEST, -LOWEST, dtype=np.int32)
VALUES.setflags(write=False)


def value_counts(voxels: NDArray[np.int16]) -> NDArray[np.int64]:
    """Number of voxels of each value.

    Parameters
    ----------
    voxels : ndarray of int16, any shape

    Returns
    -------
    ndarray, shape (65536,), int64
        Of the values of `VALUES`, from `LOWEST` on.
    """
    counts = np.bincount(np.ascontiguousarray(voxels).view(np.uint16).ravel(), minlength=1 << 16)
    return np.roll(counts, 1 << 15)
