"""Class balance: how often which kind of sample is drawn. Kinds are arrays of sample numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["balanced_epoch", "draw_balanced", "with_hard", "with_negatives"]

Numbers = NDArray[np.integer]


def with_negatives(
    positive: Numbers, negative: Numbers, per_positive: float | None, rng: np.random.Generator
) -> NDArray[np.int64]:
    """All positives and some negatives, shuffled.

    Parameters
    ----------
    positive, negative : ndarray of int
        Sample numbers.
    per_positive : float or None
        Negatives per positive, drawn without replacement; all of them if None or if there are no
        more.
    rng : Generator

    Returns
    -------
    ndarray of int64
    """
    count = len(negative)
    if per_positive is not None:
        count = min(count, round(per_positive * len(positive)))
    chosen = rng.choice(np.asarray(negative, np.int64), count, replace=False)
    return rng.permutation(np.concatenate([np.asarray(positive, np.int64), chosen]))


def with_hard(
    order: Numbers,
    negative: NDArray[np.bool_],
    hardest: Numbers,
    share: float,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """An epoch in which a share of the negatives gives way to the hardest ones.

    Parameters
    ----------
    order : ndarray of int
        Sample numbers of an epoch.
    negative : ndarray of bool
        Whether each sample is one, by its number.
    hardest : ndarray of int
        Negatives, the hardest first; as many of them are taken as are needed and there.
    share : float
        Of the epoch's negatives, 0 to 1, that the hardest ones replace.
    rng : Generator
        Says which are replaced.

    Returns
    -------
    ndarray of int64
        As long as ``order``, with the others at their places. A hard sample may be there twice:
        once as one of the hardest, once as the epoch drew it.
    """
    result = np.array(order, np.int64)
    places = np.flatnonzero(negative[result])
    chosen = np.asarray(hardest, np.int64)[: round(share * len(places))]
    result[rng.choice(places, len(chosen), replace=False)] = rng.permutation(chosen)
    return result


def balanced_epoch(
    kinds: Sequence[Numbers], rng: np.random.Generator, limit: int | None = None
) -> NDArray[np.int64]:
    """Equally many samples of each kind, shuffled.

    Parameters
    ----------
    kinds : sequence of ndarray of int
        Sample numbers, background first; kinds without samples are left out.
    rng : Generator
    limit : int, optional
        At most so many samples in all. By default, every kind is as large as the smallest one
        that is not background: "all positives and as many negatives" for two kinds.

    Returns
    -------
    ndarray of int64
        Within a kind no sample comes twice before each came once.

    Raises
    ------
    ValueError
        If no kind has samples.
    """
    filled = [np.asarray(kind, np.int64) for kind in kinds if len(kind)]
    if not filled:
        raise ValueError("there are no samples of any kind")
    positive = [len(kind) for kind in kinds[1:] if len(kind)]
    each = min(positive) if positive else len(filled[0])
    if limit is not None:
        each = min(each, max(1, limit // len(filled)))
    parts = []
    for kind in filled:
        rounds = [rng.permutation(kind) for _ in range(-(-each // len(kind)))]
        parts.append(np.concatenate(rounds)[:each])
    return rng.permutation(np.concatenate(parts))


def draw_balanced(kinds: Sequence[Numbers], rng: np.random.Generator) -> int:
    """One sample number: each kind that has samples with equal chance, then each of its samples.

    Raises
    ------
    ValueError
        If no kind has samples.
    """
    filled = [kind for kind in kinds if len(kind)]
    if not filled:
        raise ValueError("there are no samples of any kind")
    kind = filled[rng.integers(len(filled))]
    return int(kind[rng.integers(len(kind))])
