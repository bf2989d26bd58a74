"""Tests of paired differences that keep their error in few cases: by all changes of sign.

If two systems are equally good, each difference could as well have the other sign. Both tests count
how many of the 2ⁿ choices of signs give a result at least as far from zero.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["sign_flip_p", "signed_rank_p"]

_ALL_SIGNS = 14  # differences up to which all choices of signs are tried
_FLIPS = 9_999
_EXACT_RANKS = 200
_DIGITS = 12  # of a difference, relative to the largest: the rest is rounding
_SLACK = 1e-9


def sign_flip_p(deltas: NDArray[np.float64], seed: int = 0) -> float:
    """Paired permutation test of the mean difference, two-sided.

    Parameters
    ----------
    deltas : ndarray of float64, shape (N,)
        One finite difference for each case.
    seed : int
        Of the random choices of signs that stand for all beyond 14 cases (9 999 of them, and the
        observed one, which keeps p above zero and the test valid).

    Returns
    -------
    float
        p; 1 when all differences are zero.

    Examples
    --------
    >>> sign_flip_p(np.array([0.1, 0.2, 0.3, 0.2, 0.4, 0.1])) == 2 / 2**6
    True
    """
    observed = abs(float(deltas.sum()))
    scale = float(np.abs(deltas).sum())
    if not scale:
        return 1.0
    signs = _signs(len(deltas), seed)
    extreme = np.abs(signs @ deltas) >= observed - _SLACK * scale
    if len(deltas) <= _ALL_SIGNS:
        return float(extreme.mean())
    return float((extreme.sum() + 1) / (len(signs) + 1))


def signed_rank_p(deltas: NDArray[np.float64]) -> float:
    """Wilcoxon's signed-rank test, two-sided; exact with ties up to 200 differences.

    Differences of zero are dropped; equal ones share the mean of their ranks, and what is equal
    but for rounding counts as equal.

    Parameters
    ----------
    deltas : ndarray of float64, shape (N,)
        One finite difference for each case.

    Returns
    -------
    float
        p; 1 when there are no differences but zero.

    Examples
    --------
    >>> signed_rank_p(np.array([0.7 - 0.6, 0.8 - 0.7, 0.1, 0.9 - 0.8, 0.5 - 0.4, 0.3 - 0.4]))
    0.21875
    """
    from scipy.stats import rankdata, wilcoxon  # slow to load, and evaluate needs none

    largest = float(np.abs(deltas).max(initial=0))
    if not largest:
        return 1.0
    rounded = np.round(deltas / largest, _DIGITS)
    moved = rounded[rounded != 0]
    if len(moved) > _EXACT_RANKS:
        return float(wilcoxon(moved).pvalue)
    # Twice the ranks are whole numbers, also where ties share one.
    ranks = np.round(2 * rankdata(np.abs(moved))).astype(np.int64)
    sums = np.zeros(int(ranks.sum()) + 1)
    sums[0] = 1.0
    for rank in ranks:
        shifted = np.zeros_like(sums)
        shifted[rank:] = sums[: len(sums) - rank]
        sums = (sums + shifted) / 2
    positive = int(ranks[moved > 0].sum())
    smaller = min(positive, len(sums) - 1 - positive)
    return float(min(1.0, 2 * sums[: smaller + 1].sum()))


@lru_cache(maxsize=4)
def _signs(n: int, seed: int) -> NDArray[np.float64]:
    """Choices of signs, one in each row: all, or random ones."""
    if n <= _ALL_SIGNS:
        bits = np.arange(2**n)[:, None] >> np.arange(n)
        return np.asarray(1.0 - 2.0 * (bits & 1))
    drawn = np.random.default_rng(seed).integers(0, 2, size=(_FLIPS, n))
    return np.asarray(1.0 - 2.0 * drawn)
