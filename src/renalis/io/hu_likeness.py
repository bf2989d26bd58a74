"""Values that show tissue but are no HU: off by some constant, doubled or halved.

Shifts by 1000 and 1024, which headers lose, are mended (`renalis.io.hu`). Others have no such
cause, so nothing is changed, but what is measured in such a scan is wrong.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.io.tissue_peaks import peaks_of
from renalis.io.value_counts import LOWEST

__all__ = ["hu_likeness"]

_SHIFTS = tuple(sign * shift for shift in range(60, 401, 20) for sign in (1, -1))
"""Steps that no peak is missed between. Below 60 a contrast phase moves soft tissue as far."""
_FACTORS = ((0.5, "halved"), (2.0, "doubled"))


def hu_likeness(sample: NDArray[np.int16]) -> str:
    """What the values of a scan look like whose fat and soft tissue do not lie where they do in HU.

    Parameters
    ----------
    sample : ndarray of int16, any shape
        Voxels from all over a scan, as read; -32768 is left out.

    Returns
    -------
    str
        In words that follow "values look like HU"; empty where nothing is wrong, and where air, fat
        and soft tissue do not fit any other reading all three.
    """
    if peaks_of(sample)[0].pair:
        return ""
    measured = sample[sample > LOWEST]
    for factor, word in _FACTORS:
        if peaks_of(np.rint(measured / factor))[0].all_three:
            return word
    found = zip(_SHIFTS, peaks_of(measured, _SHIFTS), strict=True)
    fitting = [shift for shift, peaks in found if peaks.all_three]
    if not fitting:
        return ""
    middle = 10 * round(float(np.mean(fitting)) / 10)
    return f"{'plus' if middle > 0 else 'minus'} about {abs(middle)}"
