"""Cases far from the others: a robust rule within the cohort itself.

A case is far out where it lies more than `REACH` robust standard deviations from the cohort's
median. The robust standard deviation is 1.4826 times the median distance from the median (MAD),
which is that of a normal distribution and is not moved by the very cases that are looked for
(Iglewicz & Hoaglin, How to Detect and Handle Outliers, 1993, who propose 3.5). Volumes, diameters,
ratios and spacings are compared by their logarithms. In a cohort whose cases are very much alike,
a robust standard deviation of 5 % or 5 HU is taken instead of a smaller one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST", "REACH", "Limits", "distances", "limits"]

REACH = 3.5
FEWEST = 10
"""Among fewer cases nobody can tell what is usual."""
_TO_SD = 1.4826


@dataclass(frozen=True)
class Limits:
    """What is usual in a cohort.

    Attributes
    ----------
    median, low, high : float
        In the quantity's unit; outside of low and high a case is far out.
    """

    median: float
    low: float
    high: float


def limits(
    values: NDArray[np.float64], logarithmic: bool = False, least: float = 0.0
) -> Limits | None:
    """What is usual.

    Parameters
    ----------
    values : array
        One per case, in any order; NaN where a case has none.
    logarithmic : bool
        Compare logarithms; values are positive.
    least : float
        The robust standard deviation is taken to be at least this, of logarithms where those
        are compared: what differs by less matters to nobody.

    Returns
    -------
    Limits or None
        None with fewer than `FEWEST` values, and where more than half of them are equal: then
        the distance that is usual is 0, and any other value would be far out.
    """
    known = values[np.isfinite(values)]
    if len(known) < FEWEST:
        return None
    scaled = np.log(known) if logarithmic else known
    middle = float(np.median(scaled))
    spread = _TO_SD * float(np.median(np.abs(scaled - middle)))
    if spread <= 1e-9 * max(1.0, abs(middle)):
        return None
    reach = REACH * max(spread, least)
    ends = np.array([middle, middle - reach, middle + reach])
    return Limits(*(np.exp(ends) if logarithmic else ends).tolist())


def distances(
    values: NDArray[np.float64], usual: Limits | None, logarithmic: bool = False
) -> NDArray[np.float64]:
    """How far out each case is, in units of the rule's reach: above 1 it is named.

    Parameters
    ----------
    values : array
        One per case; NaN where a case has none.
    usual : Limits or None
        From `limits` of the same values.
    logarithmic : bool
        As for `limits`.

    Returns
    -------
    array
        One per case, 0 where there is no value or no rule.
    """
    if usual is None:
        return np.zeros(len(values))
    ends = np.array([usual.median, usual.high])
    scaled, (middle, high) = (np.log(values), np.log(ends)) if logarithmic else (values, ends)
    far: NDArray[np.float64] = np.abs(scaled - middle) / (high - middle)
    return np.where(np.isnan(far), 0.0, far)
