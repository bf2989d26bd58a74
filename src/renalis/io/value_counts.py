"""How often each value occurs among voxels: counted once, whatever is asked of values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOWEST", "VALUES", "value_counts"]

LOWEST = -32768
VALUES = np.arange(LOWEST, -LOWEST, dtype=np.int32)
VALUES.setflags(write=False)
_TOGETHER = 1 << 19
"""Voxels counted at a time: NumPy makes a copy of them, four times as large."""


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
    flat = np.ascontiguousarray(voxels).view(np.uint16).ravel()
    counts = np.zeros(1 << 16, np.int64)
    for start in range(0, flat.size, _TOGETHER):
        counts += np.bincount(flat[start : start + _TOGETHER], minlength=1 << 16)
    return np.roll(counts, 1 << 15)
