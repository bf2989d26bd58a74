"""Where air, fat and soft tissue lie among the values of a scan, and whether those are HU.

Whatever a patient looks like and whatever the scan shows of them, soft tissue lies at about 40 HU,
fat at -100 and air at -1000: in this order and at these distances. A histogram shows each as a
peak. Signs of single values say nothing: padding is negative in scans that are no HU, and a clipped
HU scan need not be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.io.value_counts import LOWEST, VALUES

__all__ = ["SHIFTS", "Peaks", "Reading", "peaks_of", "reading_of"]

SHIFTS = (1024, 1000, -1024, -1000)
"""What is added to HU by a lost intercept, and taken away by one that was applied twice."""

_BIN = 4
_SMOOTHING = 2.0
"""Bins; noise of a thin slice is wider, and fat and soft tissue stay apart."""

_TISSUE = (-150, 250)
"""HU of fat, fluid, muscle and enhanced organs."""
_ADJACENT = ((-450, -250), (350, 600))
"""Below fat there is only lung, above organs only bone: few voxels of any scan."""
_PROMINENT = 1.5
"""By how much the highest peak of tissue surmounts what is around it: 15 and more in scans, 2 in
crops that show little more than lung, table and skin."""
_DENSE = (400, 4000)
_MOST_DENSE = 0.5
"""Voxels as dense as bone over voxels of tissue: 0.01 to 0.05 in trunks, 0.3 in heads and hands."""
_LEAST_TISSUE = 0.01
"""Share of voxels, to believe that values were shifted."""

_AIR = (-1036, -980)
_FLOOR_HU = -1012
"""Air below is none that was measured, but the lowest value that a scanner writes."""
_BELOW_FLOOR = 0.05
_FAT = (-136, -72)
_SOFT = (-10, 130)
_LEAST_AIR = 0.02
_VALLEY = 0.85
"""Height between fat and soft tissue, over the lower of their peaks."""


@dataclass(frozen=True)
class Peaks:
    """Peaks of a histogram, in HU if the values were shifted by some whole number.

    Attributes
    ----------
    air, fat, soft : float or None
        Where they lie; None where there is none. ``fat`` and ``soft`` only together, with a valley
        between.
    tissue : bool
        Whether tissue of any kind surmounts what is around it, and is either fat and soft tissue
        or more than what is as dense as bone.
    """

    air: float | None
    fat: float | None
    soft: float | None
    tissue: bool

    @property
    def all_three(self) -> bool:
        """Whether everything lies where it does in HU."""
        return self.tissue and self.air is not None and self.fat is not None

    @property
    def pair(self) -> bool:
        """Whether fat and soft tissue do."""
        return self.tissue and self.fat is not None


@dataclass(frozen=True)
class Reading:
    """What the values of a scan are.

    Attributes
    ----------
    plausible : bool
        Whether they may be HU as they stand.
    shift : int or None
        What was added to HU, where all three peaks leave no doubt.
    like : str
        What they look like otherwise, in words that follow "they look like"; may be empty.
    """

    plausible: bool
    shift: int | None = None
    like: str = ""


def reading_of(counts: NDArray[np.int64]) -> Reading:
    """Judge values by where their peaks lie.

    Parameters
    ----------
    counts : ndarray, shape (65536,), int64
        `renalis.io.value_counts.value_counts` of voxels from all over a scan; -32768 is left out.
    """
    counts = _measured(counts)
    histogram = _histogram(counts)
    own = _peaks(histogram, 0)
    shifted = {shift: _peaks(histogram, shift) for shift in SHIFTS}
    if own.tissue and _is_tenth(histogram):
        return Reading(False, like="HU divided by 10")
    if _peaks(_histogram(_moved(counts, VALUES // 10)), 0).all_three:
        return Reading(False, like="HU multiplied by 10")
    if own.tissue and (own.pair or not any(p.pair for p in shifted.values())):
        return Reading(True)
    fitting = [shift for shift, peaks in shifted.items() if peaks.all_three]
    if len(fitting) == 1:
        return Reading(False, fitting[0])
    return Reading(False, like=_likeness(counts, shifted))


def peaks_of(counts: NDArray[np.int64], shifts: Sequence[int] = (0,)) -> list[Peaks]:
    """Peaks of values, if they were HU to which each of ``shifts`` was added.

    Parameters
    ----------
    counts : ndarray, shape (65536,), int64
        `renalis.io.value_counts.value_counts` of voxels from all over a scan; -32768 is left out.
    shifts : sequence of int
        One result for each.
    """
    histogram = _histogram(_measured(counts))
    return [_peaks(histogram, shift) for shift in shifts]


def _measured(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Without the value that marks what was not measured."""
    measured = counts.copy()
    measured[0] = 0
    return measured


def _likeness(counts: NDArray[np.int64], shifted: dict[int, Peaks]) -> str:
    """What values look like that are no HU and cannot be mended beyond doubt."""
    if _peaks(_histogram(_moved(counts[1:], -VALUES[1:])), 0).all_three:
        return "HU with their sign turned"
    for sign, word in ((1, "plus"), (-1, "minus")):
        if any(peaks.pair for shift, peaks in shifted.items() if sign * shift > 0):
            return f"HU {word} 1000 or 1024"
    return ""


def _moved(counts: NDArray[np.int64], values: NDArray[np.int32]) -> NDArray[np.int64]:
    """Counts of each value where values had become others."""
    return np.bincount(values - LOWEST, counts, 1 << 16).astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Histogram:
    """Share of voxels in each bin of 4 from -32768, as counted and smoothed."""

    counted: NDArray[np.float64]
    smooth: NDArray[np.float64]

    def part(self, shift: int, ends: tuple[int, int], smooth: bool = True) -> NDArray[np.float64]:
        """The bins between two HU of values to which ``shift`` was added."""
        low, high = ((end + shift - LOWEST) // _BIN for end in ends)
        return (self.smooth if smooth else self.counted)[low:high]


def _histogram(counts: NDArray[np.int64]) -> _Histogram:
    shares = counts.reshape(-1, _BIN).sum(axis=1) / max(1, int(counts.sum()))
    return _Histogram(shares, np.asarray(ndimage.gaussian_filter1d(shares, _SMOOTHING)))


def _peaks(histogram: _Histogram, shift: int) -> Peaks:
    """Peaks of values to which ``shift`` was added."""
    tissue = histogram.part(shift, _TISSUE)
    adjacent = max(float(histogram.part(shift, ends).mean()) for ends in _ADJACENT)
    dense = float(histogram.part(shift, _DENSE).sum())
    air = _air(histogram, shift)
    fat, soft = _highest(histogram, shift, _FAT), _highest(histogram, shift, _SOFT)
    if fat is None or soft is None or not _apart(histogram, shift, fat, soft):
        fat = soft = None
    there = (
        bool(tissue.max() > _PROMINENT * adjacent)
        and (fat is not None or dense <= _MOST_DENSE * tissue.sum())
        and (shift == 0 or tissue.sum() >= _LEAST_TISSUE)
    )
    return Peaks(air, fat, soft, there)


def _air(histogram: _Histogram, shift: int) -> float | None:
    """Where air lies: measured at -1000, or at -1024 where nothing lies below."""
    part = histogram.part(shift, _AIR, smooth=False)
    there, place = float(part.sum()), int(part.argmax())
    if there < _LEAST_AIR or _highest(histogram, shift, _AIR) is None:
        return None
    air = _AIR[0] + (place + 0.5) * _BIN
    below = float(histogram.part(shift, (-1100, _AIR[0] + place * _BIN), smooth=False).sum())
    return air if air > _FLOOR_HU or below < _BELOW_FLOOR * there else None


def _highest(histogram: _Histogram, shift: int, ends: tuple[int, int]) -> float | None:
    """The highest bin between two HU, in HU; None if the histogram only rises or falls there."""
    part = histogram.part(shift, ends)
    place = int(part.argmax())
    if place in (0, len(part) - 1):
        return None
    return float(ends[0] + (place + 0.5) * _BIN)


def _apart(histogram: _Histogram, shift: int, fat: float, soft: float) -> bool:
    """Whether a valley lies between two peaks."""
    between = histogram.part(shift, (int(fat), int(soft) + _BIN))
    return bool(between.min() < _VALLEY * min(between[0], between[-1]))


def _is_tenth(histogram: _Histogram) -> bool:
    """Whether the peak at -100 is air: nothing lies below, and nothing of bone's density above."""
    below = float(histogram.part(0, (-4000, -132)).sum())
    air = float(histogram.part(0, (-132, -72)).sum())
    above = float(histogram.part(0, (72, 4000)).sum())
    return below < 1e-3 and air > 0.1 and above < 5e-3
