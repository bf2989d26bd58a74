"""Lesions found one by one: sensitivity, precision, false positives per scan, by size.

A lesion is a 26-connected component of a region. A reference lesion is found when the prediction
covers at least a tenth of its volume; a predicted lesion is true when at least a tenth of its
volume lies in the reference's region, else it is a false positive. Components smaller than a ball
of 3 mm diameter are no lesions; they are counted apart. All three numbers can be chosen.

By this rule one prediction that covers three lesions finds all three, and sixteen fragments of one
lesion are sixteen true predictions. Context it, lesions are matched one to one
(`one_to_one`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalis.evaluation.surface import PlacedMasks

__all__ = [
    "SIZES_MM",
    "Detection",
    "Lesion",
    "LesionRule",
    "detect",
    "detection_table",
    "one_to_one",
]

SIZES_MM = (0.0, 10.0, 20.0, 40.0, 70.0, math.inf)
"""Limits of the size classes by diameter. 40 and 70 mm are those of T1a, T1b and T2 tumors (AJCC
8th edition); 10 and 20 mm split what is often only watched."""


@dataclass(frozen=True)
class LesionRule:
    """When a lesion counts as found.

    Parameters
    ----------
    overlap : float
        Share of a lesion's volume that must be covered, above 0 and up to 1.
    min_diameter_mm : float
        Components with a smaller equivalent diameter are ignored and counted.
    """

    overlap: float = 0.1
    min_diameter_mm: float = 3.0


@dataclass(frozen=True)
class Lesion:
    """One connected component.

    Parameters
    ----------
    ml : float
        Volume.
    overlap : float
        Share of the volume that the other map covers.
    hit : bool
        Reference: found. Prediction: true.
    matched : bool
        Whether it has a partner of its own in the other map. A matched lesion is a hit.
    """

    ml: float
    overlap: float
    hit: bool
    matched: bool

    @property
    def diameter_mm(self) -> float:
        """Diameter of the ball of the same volume, mm."""
        return _diameter(self.ml)


@dataclass(frozen=True)
class Detection:
    """The lesions of one region in one case.

    Parameters
    ----------
    reference, prediction : tuple of Lesion
        Lesions of the reference and of the prediction.
    ignored : int
        Components that were too small.
    """

    reference: tuple[Lesion, ...]
    prediction: tuple[Lesion, ...]
    ignored: int


def detect(boxes: Iterable[PlacedMasks], voxel_ml: float, rule: LesionRule) -> Detection:
    """Match the lesions of two masks.

    Parameters
    ----------
    boxes : iterable of PlacedMasks
        The masks, in boxes that cut no component.
    voxel_ml : float
        Volume of a voxel, ml.
    rule : LesionRule
        When a lesion counts as found.
    """
    found: tuple[list[Lesion], list[Lesion]] = ([], [])
    ignored = 0
    for box in boxes:
        one, two = _components(box.reference), _components(box.prediction)
        # Too small components are no lesions and take no partner from one.
        kept = [_large(part, voxel_ml, rule.min_diameter_mm) for part in (one, two)]
        ignored += len(one.sizes) + len(two.sizes) - sum(map(len, kept))
        shared = _shared(one, two)
        common = shared[np.ix_(*kept)]
        sizes = np.append(one.sizes[kept[0]], 0)[:, None]
        table = np.block([[common], [two.sizes[kept[1]]]])
        partners = one_to_one(np.hstack([table, sizes]), rule.overlap)
        for lesions, part, chosen, covered, partnered in zip(
            found, (one, two), kept, (shared.sum(axis=1), shared.sum(axis=0)), partners, strict=True
        ):
            lesions += [
                Lesion(
                    ml=float(part.sizes[n] * voxel_ml),
                    overlap=float(covered[n] / part.sizes[n]),
                    hit=bool(covered[n] / part.sizes[n] >= rule.overlap and covered[n] > 0),
                    matched=place in partnered,
                )
                for place, n in enumerate(chosen)
            ]
    return Detection(tuple(found[0]), tuple(found[1]), ignored)


@dataclass(frozen=True)
class _Components:
    """Components of a mask: number of each voxel (0: outside), and voxels of each."""

    labels: NDArray[np.uint32]
    sizes: NDArray[np.int64]


def _components(mask: NDArray[np.bool_]) -> _Components:
    if not mask.any():
        return _Components(np.zeros(mask.shape, np.uint32), np.zeros(0, np.int64))
    labels, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
    sizes = np.bincount(labels[mask], minlength=count + 1)[1:]
    return _Components(labels.astype(np.uint32, copy=False), sizes)


def _large(part: _Components, voxel_ml: float, least_mm: float) -> list[int]:
    """The components that are lesions."""
    return [n for n, size in enumerate(part.sizes) if _diameter(float(size * voxel_ml)) >= least_mm]


def _shared(one: _Components, two: _Components) -> NDArray[np.int64]:
    """Voxels that each component of one mask shares with each of the other."""
    count = len(two.sizes)
    both = (one.labels > 0) & (two.labels > 0)
    code = (one.labels[both].astype(np.int64) - 1) * count + two.labels[both] - 1
    return np.bincount(code, minlength=len(one.sizes) * count).reshape(len(one.sizes), count)


def _diameter(ml: float) -> float:
    """Diameter in mm of the ball of this volume."""
    return float((6000 * ml / math.pi) ** (1 / 3))


def detection_table(cases: Sequence[Detection]) -> list[dict[str, float | int | str | None]]:
    """Detection over all cases: one row for all sizes, then one for each size class.

    Reference lesions are sorted by their own size, predicted lesions by theirs.

    Returns
    -------
    list of dict
        Keys ``size_mm``, ``reference``, ``found``, ``sensitivity``, ``predicted``, ``true``,
        ``precision``, ``false_positives_per_scan``, and of the matching one to one ``matched``,
        ``one_to_one_sensitivity``, ``one_to_one_precision``. Quotients without value are None. In
        a row of a size, ``matched`` counts reference lesions.
    """
    limits = [(0.0, math.inf), *itertools.pairwise(SIZES_MM)]
    rows: list[dict[str, float | int | str | None]] = []
    for low, high in limits:
        reference = [x for c in cases for x in c.reference if low <= x.diameter_mm < high]
        predicted = [x for c in cases for x in c.prediction if low <= x.diameter_mm < high]
        hits, true = sum(x.hit for x in reference), sum(x.hit for x in predicted)
        pairs, partners = sum(x.matched for x in reference), sum(x.matched for x in predicted)
        rows.append(
            {
                "size_mm": _size_name(low, high),
                "reference": len(reference),
                "found": hits,
                "sensitivity": hits / len(reference) if reference else None,
                "predicted": len(predicted),
                "true": true,
                "precision": true / len(predicted) if predicted else None,
                "false_positives_per_scan": (len(predicted) - true) / len(cases) if cases else None,
                "matched": pairs,
                "one_to_one_sensitivity": pairs / len(reference) if reference else None,
                "one_to_one_precision": partners / len(predicted) if predicted else None,
            }
        )
    return rows


def _size_name(low: float, high: float) -> str:
    if low == 0 and high == math.inf:
        return "all"
    if high == math.inf:
        return f"{low:.0f} and more"
    return f"{low:.0f} to {high:.0f}"


def one_to_one(shared: NDArray[np.int64], share: float) -> tuple[list[int], list[int]]:
    """Match as many lesions as can be.

    Two lesions may be a pair when what they share is at least ``share`` of each. Of all ways to
    pair as many as possible the one with the largest sum of Dice coefficients is taken.

    Parameters
    ----------
    shared : ndarray of int64, shape (R + 1, P + 1)
        Voxels that reference lesion ``r`` and predicted lesion ``p`` share; the last column and
        row hold each lesion's own size (their corner is not used).
    share : float
        Least share, above 0 and up to 1.

    Returns
    -------
    reference, prediction : list of int
        Lesions of both, pair by pair.

    Examples
    --------
    >>> one_to_one(np.array([[30, 30], [20, 20], [60, 0]]), 0.1)  # one prediction over two lesions
    ([0], [0])
    """
    common, sizes, others = shared[:-1, :-1], shared[:-1, -1:], shared[-1:, :-1]
    allowed = (common > 0) & (common >= share * sizes) & (common >= share * others)
    if not allowed.any():
        return [], []
    if max(allowed.sum(axis=0).max(), allowed.sum(axis=1).max()) > 1:
        allowed = _best_pairs(allowed, 2 * common / (sizes + others))
    rows, columns = np.nonzero(allowed)
    return rows.tolist(), columns.tolist()


def _best_pairs(allowed: NDArray[np.bool_], dice: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Of the pairs that may be, those that are taken where a lesion could have several partners."""
    from scipy.optimize import linear_sum_assignment  # half a second, and few cases need it

    # A pair more counts more than any sum of Dice coefficients.
    worth = np.where(allowed, 1 + dice / (1 + min(dice.shape)), 0)
    taken = np.zeros_like(allowed)
    taken[linear_sum_assignment(worth, maximize=True)] = True
    return np.asarray(taken & allowed)
