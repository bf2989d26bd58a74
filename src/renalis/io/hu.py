"""Whether voxels are CT numbers, and what to say when they are not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError

__all__ = ["AIR", "HIGHEST", "check_hu"]

AIR = -1024
"""Lowest HU kept: scanners mark pixels outside the field of view by -2000, -2048 or -3024."""

HIGHEST = 32767
"""Highest HU kept, beyond what even metal reaches on an extended scale."""

_CHUNK = 1 << 21


def check_hu(flat: NDArray[np.int16], name: str, fractions: bool = False) -> list[str]:
    """Refuse what is no CT in HU; return what is doubtful.

    Parameters
    ----------
    flat : ndarray, shape (N,), int16
        All voxels, rounded.
    name : str
        The file, for what is refused.
    fractions : bool
        Whether there were fractions before rounding.

    Returns
    -------
    list of str
        Warnings. They name no file: they are kept with the result, and paths hold patients' names.

    Raises
    ------
    InputError
        If all voxels are equal, the values are labels, or their range is that of a normalized
        image.
    """
    low, high = int(flat.min()), int(flat.max())
    if low == high:
        raise InputError(f"{name} is empty: every voxel is {low}; give the CT itself")
    if not fractions and low >= 0 and high <= 255 and _is_label_map(flat):
        raise InputError(
            f"{name} is a label map (whole numbers {low} to {high}), not a CT; give the CT itself"
        )
    if fractions and high - low < 50:
        raise InputError(
            f"{name} holds values from {low} to {high}, so it is not in HU (normalized already?); "
            "give the CT as it came from the scanner"
        )
    if low >= 0:
        return [
            "no value is below 0, so this is probably not in HU (intercept -1024 lost, or windowed "
            "already) and the result is not to be trusted"
        ]
    return []


def _is_label_map(flat: NDArray[np.int16]) -> bool:
    """Few values, or nearly every voxel equal to its neighbour, which noise forbids in a CT."""
    counts = np.zeros(256, dtype=np.int64)
    equal = 0
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        counts += np.bincount(part, minlength=256)
        equal += int(np.count_nonzero(part[1:] == part[:-1]))
    return bool(np.count_nonzero(counts) <= 32 or equal > 0.97 * flat.size)
