"""Means, spreads and what can be concluded from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.evaluation.exact_tests import sign_flip_p, signed_rank_p
from renalis.evaluation.intervals import studentized

__all__ = ["FEWEST", "Difference", "Summary", "difference", "holm", "summary"]

FEWEST = 6
"""Cases from which on there are intervals and tests. With five, no two-sided test that keeps its
error can come below 0.05 (2 of 2⁵ choices of signs are 0.0625), and no interval of the mean covers
it as often as it says without being as wide as the range of the scores."""


@dataclass(frozen=True)
class Summary:
    """One metric over all cases that count.

    Parameters
    ----------
    n : int
        Cases that count.
    mean, sd, median : float
        Mean, standard deviation (n - 1), median; NaN without cases.
    low, high : float
        Limits of the 95 % confidence interval of the mean by the studentized bootstrap
        (`renalis.evaluation.intervals`); NaN below `FEWEST` cases.
    """

    n: int
    mean: float
    sd: float
    median: float
    low: float
    high: float

    @property
    def has_interval(self) -> bool:
        """Whether there are enough cases for an interval."""
        return math.isfinite(self.low)


@dataclass(frozen=True)
class Difference:
    """Second system minus first, over the cases that both have.

    Parameters
    ----------
    n : int
        Paired cases.
    mean, median : float
        Of the differences.
    low, high : float
        95 % confidence interval of the mean difference, by the studentized bootstrap of the
        differences; NaN below `FEWEST` cases.
    p_permutation : float
        Paired permutation test of the mean difference, two-sided, by changes of sign: exact up to
        14 cases. NaN below `FEWEST` cases.
    p_wilcoxon : float
        Wilcoxon's signed-rank test, two-sided; differences of zero are dropped. Exact, with ties
        too, up to 200 differences. 1 when there are no other differences, NaN below `FEWEST` cases.
    """

    n: int
    mean: float
    median: float
    low: float
    high: float
    p_permutation: float
    p_wilcoxon: float


def summary(
    values: Sequence[float] | NDArray[np.float64],
    seed: int = 0,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Summary:
    """Summarize one metric; NaN values do not count.

    Parameters
    ----------
    values : sequence of float
        One for each case.
    seed : int
        Of the bootstrap.
    limits : tuple of float
        The least and the most that the metric can be; the interval ends there.

    Examples
    --------
    >>> s = summary([0.9, 0.8, float("nan"), 1.0])
    >>> s.n, round(s.mean, 3), round(s.median, 3), s.has_interval
    (3, 0.9, 0.9, False)
    """
    data = np.asarray(values, dtype=np.float64)
    data = data[np.isfinite(data)]
    if not len(data):
        return Summary(0, math.nan, math.nan, math.nan, math.nan, math.nan)
    low, high = _interval(data, seed)
    return Summary(
        n=len(data),
        mean=float(data.mean()),
        sd=float(data.std(ddof=1)) if len(data) > 1 else math.nan,
        median=float(np.median(data)),
        low=float(np.maximum(low, limits[0])),
        high=float(np.minimum(high, limits[1])),
    )


def difference(
    first: Sequence[float] | NDArray[np.float64],
    second: Sequence[float] | NDArray[np.float64],
    seed: int = 0,
) -> Difference:
    """Compare two systems case by case; cases without a value in either do not count.

    Examples
    --------
    >>> d = difference([0.5, 0.6, 0.7, 0.4, 0.5, 0.6], [0.6, 0.8, 0.8, 0.6, 0.6, 0.8])
    >>> d.n, round(d.mean, 3), d.p_wilcoxon, d.p_permutation
    (6, 0.15, 0.03125, 0.03125)
    """
    deltas = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    deltas = deltas[np.isfinite(deltas)]
    if not len(deltas):
        nan = math.nan
        return Difference(0, nan, nan, nan, nan, nan, nan)
    low, high = _interval(deltas, seed)
    enough = len(deltas) >= FEWEST
    return Difference(
        n=len(deltas),
        mean=float(deltas.mean()),
        median=float(np.median(deltas)),
        low=low,
        high=high,
        p_permutation=sign_flip_p(deltas, seed) if enough else math.nan,
        p_wilcoxon=signed_rank_p(deltas) if enough else math.nan,
    )


def _interval(data: NDArray[np.float64], seed: int) -> tuple[float, float]:
    return studentized(data, seed) if len(data) >= FEWEST else (math.nan, math.nan)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction of several p-values; NaN stays and does not count.

    Examples
    --------
    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = p.copy()
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return [float(v) for v in adjusted]
