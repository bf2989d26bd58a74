"""Fill closed contours on a pixel grid: inside is what an odd number of lines encloses."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["filled"]


def filled(contours: Iterable[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centers lie inside, by the even-odd rule over all contours together.

    A contour inside another is a hole; so is what a line that returns on itself (a keyhole)
    encloses. A center on a line belongs to the side of the smaller index.

    Parameters
    ----------
    contours : iterable of ndarray, shape (N, 2)
        Corners in pixel indices along both axes; closed without repeating the first.
    shape : tuple of int
        Pixels along both axes.

    Returns
    -------
    ndarray of bool, shape ``shape``

    Examples
    --------
    >>> square = np.array([[0.5, 0.5], [0.5, 3.5], [3.5, 3.5], [3.5, 0.5]])
    >>> hole = np.array([[1.5, 1.5], [2.5, 1.5], [2.5, 2.5], [1.5, 2.5]])
    >>> filled([square, hole], (5, 5)).astype(int)
    array([[0, 0, 0, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 1, 0, 1, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 0, 0, 0]])
    """
    rows, columns = shape
    # Crossings of each row's line with the contours, at the first column behind each.
    crossings = np.zeros((rows, columns + 1), dtype=np.int64)
    for contour in contours:
        for one, two in zip(contour, np.roll(contour, -1, axis=0), strict=True):
            (low_row, low), (high_row, high) = sorted((tuple(one), tuple(two)))
            if low_row == high_row:
                continue
            # A corner on a row's line is counted by one of its edges only.
            met = np.arange(max(0, int(np.ceil(low_row))), min(rows, int(np.ceil(high_row))))
            at = low + (met - low_row) * ((high - low) / (high_row - low_row))
            behind = np.clip(np.floor(at) + 1, 0, columns).astype(int)
            np.add.at(crossings, (met, behind), 1)
    return np.asarray(np.cumsum(crossings[:, :columns], axis=1) % 2 == 1)
