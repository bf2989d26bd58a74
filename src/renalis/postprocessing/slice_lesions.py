"""What single slices need instead of the rules for whole lesions: areas, not volumes."""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalis.labels import Label

__all__ = ["LEAST_MM2", "drop_small_lesions"]

LEAST_MM2 = 80.0
"""Least area of a lesion in a slice, a disk of 10 mm: on slices of patients that are kept back for
choosing, false tumors fell from 25 of 129 slices to 15, and none of 27 tumors was lost."""


def drop_small_lesions(
    labels: NDArray[np.uint8], spacing_mm: tuple[float, float], least_mm2: float = LEAST_MM2
) -> NDArray[np.uint8]:
    """Give connected components of a lesion that are smaller than an area to what surrounds them.

    Parameters
    ----------
    labels : ndarray, shape (Y, X), uint8
        KiTS23 labels of a slice.
    spacing_mm : tuple of float
        Of rows and columns.
    least_mm2 : float
        Smaller components become kidney where kidney touches them, otherwise background.

    Returns
    -------
    ndarray, shape (Y, X), uint8
        A new array.
    """
    result = labels.copy()
    pixel = spacing_mm[0] * spacing_mm[1]
    for kind in (Label.TUMOR, Label.CYST):
        parts = cc3d.connected_components(np.ascontiguousarray(result == kind), connectivity=8)
        for part in range(1, int(parts.max()) + 1):
            mask = parts == part
            if np.count_nonzero(mask) * pixel >= least_mm2:
                continue
            near = np.pad(mask, 1)
            around = near[:-2, 1:-1] | near[2:, 1:-1] | near[1:-1, :-2] | near[1:-1, 2:]
            touches = bool((labels[around & ~mask] == Label.KIDNEY).any())
            result[mask] = Label.KIDNEY if touches else Label.BACKGROUND
    return result
