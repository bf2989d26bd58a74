"""Values that show tissue but are no HU: off by some constant, doubled or halved.

Shifts by 1000 and 1024, which headers lose, are mended (`renalis.io.hu`). Others have no such
cause, so nothing is changed, but what is measured in such a scan is wrong.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.io.tissue_peaks import peaks_of
from renalis.io.value_counts import LOWEST, VALUES

__all__ = ["hu_likeness"]

_SHIFTS = tuple(sign * shift for shift in range(60, 401, 20) for sign in (1, -1))
"""Steps that no peak is missed between. Below 60 a contrast phase moves soft tissue as far."""
_FACTORS = ((0.5, "halved"), (2.0, "doubled"))


def hu_likeness(counts: NDArray[np.int64]) -> str:
    """What the values of a scan look like whose fat and soft tissue do not lie where they do in HU.

    Parameters
    ----------
    counts : ndarray, shape (65536,), int64
        `renalis.io.value_counts.value_counts` of voxels from all over a scan, as read; -32768 is
        left out.

    Returns
    -------
    str
        In words that follow "values look like HU"; empty where nothing is wrong, and where air, fat
        and soft tissue do not fit any other reading all three.
    """
    if peaks_of(counts)[0].pair:
        return ""
    for factor, word in _FACTORS:
        if peaks_of(_divided(counts, factor))[0].all_three:
            return word
    found = zip(_SHIFTS, peaks_of(counts, _SHIFTS), strict=True)
    fitting = [shift for shift, peaks in found if peaks.all_three]
    if not fitting:
        return ""
    middle = 10 * round(float(np.mean(fitting)) / 10)
    return f"{'plus' if middle > 0 else 'minus'} about {abs(middle)}"


def _divided(counts: NDArray[np.int64], factor: float) -> NDArray[np.int64]:
    """Counts of each value where values had been divided; those beyond int16 are left out."""
    became = np.rint(VALUES[1:] / factor)
    kept = np.abs(became) < -LOWEST
    index = became[kept].astype(np.intp) - LOWEST
    return np.bincount(index, counts[1:][kept], len(counts)).astype(np.int64)
