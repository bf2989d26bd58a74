"""Whether a display window was baked into a scan: all values beyond its ends are the ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.io.value_counts import LOWEST

__all__ = ["Ends", "clipped_ends"]

_DEEPEST = -900
"""Scans clipped at or below this have lost nothing but the differences of air."""
_HIGHEST = 1500
"""Scans clipped at or above this have lost nothing but the differences of metal and teeth."""
_LEAST_LOW = 0.01
"""Share of voxels that the lower end holds: all of air, at least."""
_LEAST_HIGH = 1e-4
_BELOW = 2e-3
"""Share of voxels between padding and the lower end, where values of a padded scan were blended."""
_LEAP = 5.0
"""An end over its neighbours, which noise fills evenly."""
_NEIGHBOURS = 10

Ends = tuple[int | None, int | None]


def clipped_ends(counts: NDArray[np.int64]) -> Ends:
    """The ends of the window that a scan in HU was clipped to.

    Parameters
    ----------
    counts : ndarray, shape (65536,), int64
        `renalis.io.value_counts.value_counts` of voxels from all over the scan; padding of -900 and
        below does not matter.

    Returns
    -------
    low, high : int or None
        HU; None where the scan is not clipped, or only where there is air or metal.
    """
    size = int(counts.sum())
    first = _DEEPEST + 1
    inner = counts[first - LOWEST : _HIGHEST - LOWEST]
    low, high = _low(inner, size), None
    if not counts[_HIGHEST - LOWEST :].any():
        high = _high(inner, size)
    return (
        None if low is None else low + first,
        None if high is None else high + first,
    )


def _low(counts: NDArray[np.int64], size: int) -> int | None:
    """The lowest value that many voxels have, if it towers over the next and none lie below."""
    many = np.flatnonzero(counts >= _LEAST_LOW * size)
    if not len(many):
        return None
    place = int(many[0])
    # A phantom without noise has no neighbours, and is not clipped.
    adjacent = float(counts[place + 1 : place + 1 + _NEIGHBOURS].mean())
    towers = 0 < _LEAP * adjacent < counts[place]
    return place if towers and counts[:place].sum() < _BELOW * size else None


def _high(counts: NDArray[np.int64], size: int) -> int | None:
    """The highest value, if it towers over those before it."""
    there = np.flatnonzero(counts)
    if not len(there):
        return None
    place = int(there[-1])
    adjacent = float(counts[max(0, place - _NEIGHBOURS) : place].mean()) if place else 0.0
    towers = 0 < _LEAP * adjacent < counts[place]
    return place if towers and counts[place] >= _LEAST_HIGH * size else None
