"""The ranking of the KiTS challenges: rank each system by mean Dice and by mean surface Dice,
average the ranks, rank again; ties are broken by tumor Dice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

__all__ = ["Place", "rank"]

_NOISE = 1e-12
"""Means that differ by less are equal: sums of the same scores in another order differ by their
rounding, about 1e-15; one voxel of a large kidney in one of a thousand cases by 1e-10."""


@dataclass(frozen=True)
class Place:
    """A system's place.

    Parameters
    ----------
    system : str
        Name.
    place : int
        1 is best; systems that even tumor Dice cannot tell apart share one.
    mean_rank : float
        Mean of the ranks by Dice and by surface Dice.
    mean_dice, mean_surface_dice : float
        Means over the headline regions of the means over cases.
    tumor_dice : float
        What breaks ties: mean Dice of the last headline region.
    """

    system: str
    place: int
    mean_rank: float
    mean_dice: float
    mean_surface_dice: float
    tumor_dice: float


def rank(
    dice: Mapping[str, Sequence[float]], surface_dice: Mapping[str, Sequence[float]]
) -> list[Place]:
    """Rank systems by their mean scores.

    Parameters
    ----------
    dice, surface_dice : mapping of str to sequence of float
        For each system the mean over cases of each headline region, tumor last.

    Returns
    -------
    list of Place
        Best first.

    Examples
    --------
    >>> places = rank({"a": [0.9, 0.7], "b": [0.8, 0.9]}, {"a": [0.8, 0.6], "b": [0.7, 0.6]})
    >>> [(p.system, p.place) for p in places]  # one rank each: tumor Dice decides
    [('b', 1), ('a', 2)]
    """
    systems = list(dice)
    means = np.array([[np.mean(dice[s]), np.mean(surface_dice[s])] for s in systems])
    tumor = np.array([dice[s][-1] for s in systems])
    levels = np.stack([_levels(means[:, m]) for m in range(2)], axis=1)
    ranks = np.stack([rankdata(-levels[:, m], "min") for m in range(2)], axis=1)
    together = ranks.mean(axis=1)
    # Equal mean ranks are ordered by tumor Dice and by nothing else.
    keys = [(a, -t) for a, t in zip(together, _levels(tumor), strict=True)]
    places = [1 + int(sum(other < key for other in keys)) for key in keys]
    found = [
        Place(s, p, float(r), float(m[0]), float(m[1]), float(t))
        for s, p, r, m, t in zip(systems, places, together, means, tumor, strict=True)
    ]
    return sorted(found, key=lambda p: (p.place, p.system))


def _levels(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers in the order of the values, equal where these differ by rounding alone."""
    order = np.argsort(values, kind="stable")
    rises = np.diff(values[order], prepend=values[order[:1]]) > _NOISE
    levels = np.empty(len(values), np.int64)
    levels[order] = np.cumsum(rises)
    return levels
