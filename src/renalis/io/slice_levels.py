"""Slices whose values lie off those of their neighbors, as after a wrong intercept in a header.

Neighboring slices of a scan show nearly the same: half of the pixels that are dark in one, and half
of those that are bright, change by a few HU. A slice that lies 1024 HU off shows in both halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.io.tissue_peaks import SHIFTS

__all__ = ["Levels", "levels_of", "mend_levels"]

_UNMEASURED = -32768
_FEWEST = 2_000
"""Pixels that two slices have in common, to be compared; fewer are looked at in no scan."""
_SIDE = 96
"""Pixels of a side that are looked at."""
_SAME_HU = 40.0
"""By how much the medians of halves of neighbors differ at most: up to 12 in real scans."""
_NEAR_HU = 12.0
"""How near to a shift with a cause the values have to lie."""
_SHOWS_HU = 100.0
"""What the values of a slice span at least that shows a body; empty slices end many exports."""
_LEAST_INTERCEPT = 8.0
"""Intercepts that differ by less are not looked at: anatomy moves a median by up to 2 HU."""


@dataclass(frozen=True)
class Levels:
    """How far the values of slices lie off those of most others.

    Attributes
    ----------
    offsets : tuple of int
        HU, one for each slice; 0 for those that are right, and for ``lost`` ones.
    lost : tuple of int
        Slices whose values do not fit and have no offset with a cause.
    """

    offsets: tuple[int, ...]
    lost: tuple[int, ...]


def levels_of(pictures: Sequence[NDArray[np.int16]], intercepts: Sequence[float]) -> Levels:
    """Compare each slice with those beside it.

    Parameters
    ----------
    pictures : sequence of ndarray, shape (rows, columns), int16
        Slices in order along the body, before values below air are clipped; -32768 where nothing
        was measured.
    intercepts : sequence of float
        RescaleIntercept of each, HU.

    Returns
    -------
    Levels
        All right where slices are too small to tell, and those at an end that show nothing.
    """
    small = [_thinned(picture) for picture in pictures]
    shown = [k for k, picture in enumerate(small) if _shows(picture)]
    if len(shown) < 3:
        return Levels((0,) * len(small), ())
    first, last = shown[0], shown[-1]
    steps = [_step(small, intercepts, k, k + 1) for k in range(first, last)]
    start, end = (first + k for k in _longest_run(steps))
    levels: dict[int, int] = dict.fromkeys(range(start, end + 1), 0)
    _walk(levels, small, intercepts, end, range(end + 1, last + 1))
    _walk(levels, small, intercepts, start, range(start - 1, first - 1, -1))
    values, counts = np.unique(list(levels.values()), return_counts=True)
    usual = int(values[counts.argmax()])
    offsets = tuple(levels.get(k, usual) - usual for k in range(len(small)))
    return Levels(offsets, tuple(k for k in range(first, last + 1) if k not in levels))


def mend_levels(
    stack: NDArray[np.int16], rows: Sequence[int], intercepts: Sequence[float]
) -> Levels:
    """Take offsets away from the slices of a stack, in place, and mark lost slices as unmeasured.

    Parameters
    ----------
    stack : ndarray, shape (slices, rows, columns), int16
        As `levels_of` takes them.
    rows : sequence of int
        Where in the stack slices lie that were read, in order.
    intercepts : sequence of float
        One for each of ``rows``.
    """
    levels = levels_of([stack[row] for row in rows], intercepts)
    for row, offset in zip(rows, levels.offsets, strict=True):
        if offset:
            picture = stack[row]
            mended = np.clip(picture.astype(np.int32) - offset, _UNMEASURED + 1, 32767)
            stack[row] = np.where(picture == _UNMEASURED, picture, mended)
    for k in levels.lost:
        stack[rows[k]] = _UNMEASURED
    return levels


def _thinned(picture: NDArray[np.int16]) -> NDArray[np.int32]:
    step = [max(1, -(-n // _SIDE)) for n in picture.shape]
    return picture[:: step[0], :: step[1]].astype(np.int32)


def _shows(picture: NDArray[np.int32]) -> bool:
    """Whether a slice holds more than one value and noise."""
    values = picture[picture != _UNMEASURED]
    return values.size > 0 and bool(np.ptp(np.percentile(values, (2, 98))) > _SHOWS_HU)


def _longest_run(steps: Sequence[int | None]) -> tuple[int, int]:
    """First and last slice of the longest run without any step."""
    best, start = (0, 0), 0
    for k, step in enumerate([*steps, None]):
        if step == 0:
            continue
        if k - start > best[1] - best[0]:
            best = (start, k)
        start = k + 1
    return best


def _walk(
    levels: dict[int, int],
    small: Sequence[NDArray[np.int32]],
    intercepts: Sequence[float],
    good: int,
    order: range,
) -> None:
    """Compare slices in turn with the last one that fits; those that do not fit are left out."""
    for k in order:
        step = _step(small, intercepts, good, k)
        if step is not None:
            levels[k] = levels[good] + step
            good = k


def _step(
    small: Sequence[NDArray[np.int32]], intercepts: Sequence[float], one: int, other: int
) -> int | None:
    """By how many HU one slice lies above another one for a cause; None if it does not fit."""
    both = (small[one] != _UNMEASURED) & (small[other] != _UNMEASURED)
    if np.count_nonzero(both) < _FEWEST:
        return 0
    values = small[one][both]
    change = small[other][both] - values
    dark = values <= np.percentile(values, (2, 98)).mean()
    bright = ~dark
    if min(np.count_nonzero(dark), np.count_nonzero(bright)) < _FEWEST // 20:
        dark = bright = np.ones(len(values), bool)
    halves = [float(np.median(change[half])) for half in (dark, bright)]
    told = round(intercepts[other] - intercepts[one])
    if max(map(abs, halves)) <= _SAME_HU:
        middle = float(np.median(change))
        if abs(told) >= _LEAST_INTERCEPT and abs(middle - told) <= abs(told) / 4:
            return told
        return 0
    for shift in (told, *SHIFTS):
        if max(abs(half - shift) for half in halves) <= _NEAR_HU:
            return shift
    return None
