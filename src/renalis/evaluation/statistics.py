"""Means, spreads and what can be concluded from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Difference", "Summary", "difference", "holm", "summary"]

RESAMPLES = 10_000
_BLOCK = 1_000


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
        Limits of the 95 % confidence interval of the mean: percentiles of the means of 10 000
        resamples of the cases (Efron's percentile bootstrap).
    """

    n: int
    mean: float
    sd: float
    median: float
    low: float
    high: float


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
        95 % confidence interval of the mean difference, paired percentile bootstrap.
    p_bootstrap : float
        Two-sided: twice the smaller share of resampled means on one side of zero.
    p_wilcoxon : float
        Wilcoxon's signed-rank test, two-sided; differences of zero are dropped. 1 when there are
        no other differences.
    """

    n: int
    mean: float
    median: float
    low: float
    high: float
    p_bootstrap: float
    p_wilcoxon: float


def summary(values: Sequence[float] | NDArray[np.float64], seed: int = 0) -> Summary:
    """Summarize one metric; NaN values do not count.

    Examples
    --------
    >>> s = summary([0.9, 0.8, float("nan"), 1.0])
    >>> s.n, round(s.mean, 3), round(s.median, 3)
    (3, 0.9, 0.9)
    """
    data = np.asarray(values, dtype=np.float64)
    data = data[np.isfinite(data)]
    if not len(data):
        return Summary(0, math.nan, math.nan, math.nan, math.nan, math.nan)
    low, high = np.percentile(_resampled_means(data, seed), [2.5, 97.5])
    return Summary(
        n=len(data),
        mean=float(data.mean()),
        sd=float(data.std(ddof=1)) if len(data) > 1 else math.nan,
        median=float(np.median(data)),
        low=float(low),
        high=float(high),
    )


def difference(
    first: Sequence[float] | NDArray[np.float64],
    second: Sequence[float] | NDArray[np.float64],
    seed: int = 0,
) -> Difference:
    """Compare two systems case by case; cases without a value in either do not count.

    Examples
    --------
    >>> d = difference([0.5, 0.6, 0.7], [0.6, 0.7, 0.8])
    >>> d.n, round(d.mean, 3), d.p_wilcoxon
    (3, 0.1, 0.25)
    """
    from scipy.stats import wilcoxon

    deltas = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    deltas = deltas[np.isfinite(deltas)]
    if not len(deltas):
        nan = math.nan
        return Difference(0, nan, nan, nan, nan, nan, nan)
    means = _resampled_means(deltas, seed)
    low, high = np.percentile(means, [2.5, 97.5])
    # The sample itself is one of its resamples: keeps p above zero (Davison and Hinkley 1997).
    below, above = int((means <= 0).sum()), int((means >= 0).sum())
    p = min(1.0, 2 * (min(below, above) + 1) / (len(means) + 1))
    moved = deltas[deltas != 0]
    return Difference(
        n=len(deltas),
        mean=float(deltas.mean()),
        median=float(np.median(deltas)),
        low=float(low),
        high=float(high),
        p_bootstrap=p,
        p_wilcoxon=float(wilcoxon(moved).pvalue) if len(moved) else 1.0,
    )


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


def _resampled_means(data: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Means of resamples with replacement; the same for the same data and seed."""
    drawn = _resamples(len(data), seed)
    blocks = range(0, RESAMPLES, _BLOCK)
    return np.concatenate([data[drawn[k : k + _BLOCK]].mean(axis=1) for k in blocks])


@lru_cache(maxsize=2)
def _resamples(n: int, seed: int) -> NDArray[np.int32]:
    """Which of ``n`` cases each resample holds; drawn once for all metrics."""
    return np.random.default_rng(seed).integers(0, n, size=(RESAMPLES, n), dtype=np.int32)
