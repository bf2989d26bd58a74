"""Whether a scan shows the same part of the body twice, one copy above the other.

Contrast phases that were stacked in one file look so: the slices begin again somewhere, and from
there on each is like the one as far below. No patient has that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.volume import Volume

__all__ = ["repetition"]

_PIXELS = 32
"""Rows and columns of the pictures that are compared."""
_SLICES = 160
"""Slices that are compared at most."""
_FEWEST = 24
_HU = (-300.0, 150.0)
"""Air to tissue: what contrast medium changes is left out."""
_LEAST_PART = 0.25
"""Share of the slices that has to be seen twice."""
_ALIKE = 0.55
"""Difference of the pairs over that of any two slices, at most: 0.26 to 0.54 where 25 scans were
stacked with a noisier, brighter copy, moved by two voxels. Ordinary scans, whole, thinned or cut,
have no jump, and 0.57 and more."""
_PAIRED = 0.75
"""Difference of the pairs over that of slices of the same two parts that are no pairs, at most:
0.3 to 0.74 in copies, 0.9 and more where both parts look the same all along, as in phantoms."""
_JUMP = 2.5
"""Difference where the second copy begins over that of usual neighbours, at least."""
_VARIED = 2.0
"""Difference of any two slices over that of neighbours, at least: else all slices are alike."""


def repetition(scan: Volume) -> int | None:
    """Where a scan's slices begin again.

    Parameters
    ----------
    scan : Volume
        HU, canonical orientation (Z, Y, X).

    Returns
    -------
    int or None
        Index along Z of the first slice of the second copy, about; None for an ordinary scan, and
        where the second copy runs the other way.
    """
    count, rows, columns = scan.shape
    step = -(-count // _SLICES)
    if count // step < _FEWEST:
        return None
    pictures = _pictures(scan.array[::step], rows, columns)
    apart = _differences(pictures)
    usual = float(np.median(np.diagonal(apart, 1)))
    any_two = float(apart[np.triu_indices(len(apart), len(apart) // 4)].mean())
    if any_two < _VARIED * usual:
        return None
    place = _again(apart, usual, any_two)
    return None if place is None else place * step


def _pictures(array: NDArray[np.int16], rows: int, columns: int) -> NDArray[np.float32]:
    """Small pictures of the slices, (Z, pixels), averaged over 2 x 2 voxels to calm noise."""
    steps = [max(1, n // (2 * _PIXELS)) for n in (rows, columns)]
    small = array[:, :: steps[0], :: steps[1]].astype(np.float32)
    small = small[:, : small.shape[1] // 2 * 2, : small.shape[2] // 2 * 2]
    small = np.clip(small, *_HU)
    calm = small.reshape(len(small), small.shape[1] // 2, 2, small.shape[2] // 2, 2)
    return np.ascontiguousarray(calm.mean(axis=(2, 4)).reshape(len(small), -1))


def _differences(pictures: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean absolute difference of each two pictures, (Z, Z)."""
    result = np.zeros((len(pictures),) * 2)
    for one in range(len(pictures) - 1):
        rest = np.abs(pictures[one + 1 :] - pictures[one]).mean(axis=1)
        result[one, one + 1 :] = result[one + 1 :, one] = rest
    return result


def _again(apart: NDArray[np.float64], usual: float, any_two: float) -> int | None:
    """First slice of a copy."""
    count = len(apart)
    least = max(4, int(_LEAST_PART * count))
    best, place = np.inf, 0
    neighbours = np.diagonal(apart, 1)
    for start in (int(n) + 1 for n in np.flatnonzero(neighbours > _JUMP * usual)):
        for lag in range(least, count - least + 1):
            # Pairs of which the second lies in the copy and the first before it.
            first = np.arange(max(0, start - lag), min(start, count - lag))
            if len(first) < least:
                continue
            mean = float(apart[first, first + lag].mean())
            if mean < min(best, _ALIKE * any_two) and mean < _PAIRED * _unpaired(apart, first, lag):
                best, place = mean, start
    return place if best < np.inf else None


def _unpaired(apart: NDArray[np.float64], first: NDArray[np.intp], lag: int) -> float:
    """Mean difference of slices of two parts that lie elsewhere in them."""
    elsewhere = np.abs(first[:, None] - first[None]) >= len(first) // 4
    return float(apart[np.ix_(first, first + lag)][elsewhere].mean())
