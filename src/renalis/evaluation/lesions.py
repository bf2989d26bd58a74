"""Lesions found one by one: sensitivity, precision, false positives per scan, by size.

A lesion is a 26-connected component of a region. A reference lesion is found when the prediction
covers at least a tenth of its volume; a predicted lesion is true when at least a tenth of its
volume lies in the reference's region, else it is a false positive. Components smaller than a ball
of 3 mm diameter are no lesions; they are counted apart. All three numbers can be chosen.
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

__all__ = ["SIZES_MM", "Detection", "Lesion", "LesionRule", "detect", "detection_table"]

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
    """

    ml: float
    overlap: float
    hit: bool

    @property
    def diameter_mm(self) -> float:
        """Diameter of the ball of the same volume, mm."""
        return float((6000 * self.ml / math.pi) ** (1 / 3))


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
        for mask, other, lesions in zip(
            (box.reference, box.prediction), (box.prediction, box.reference), found, strict=True
        ):
            for lesion in _components(mask, other, voxel_ml, rule.overlap):
                if lesion.diameter_mm < rule.min_diameter_mm:
                    ignored += 1
                else:
                    lesions.append(lesion)
    return Detection(tuple(found[0]), tuple(found[1]), ignored)


def _components(
    mask: NDArray[np.bool_], other: NDArray[np.bool_], voxel_ml: float, needed: float
) -> list[Lesion]:
    """The components of a mask and how far the other mask covers them."""
    if not mask.any():
        return []
    labels, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
    inside = np.flatnonzero(mask)
    component = labels.reshape(-1)[inside]
    sizes = np.bincount(component, minlength=count + 1)[1:]
    covered = np.bincount(component[other.reshape(-1)[inside]], minlength=count + 1)[1:]
    return [
        Lesion(float(n * voxel_ml), float(c / n), bool(c / n >= needed and c > 0))
        for n, c in zip(sizes, covered, strict=True)
    ]


def detection_table(cases: Sequence[Detection]) -> list[dict[str, float | int | str | None]]:
    """Detection over all cases: one row for all sizes, then one for each size class.

    Reference lesions are sorted by their own size, predicted lesions by theirs.

    Returns
    -------
    list of dict
        Keys ``size_mm``, ``reference``, ``found``, ``sensitivity``, ``predicted``, ``true``,
        ``precision``, ``false_positives_per_scan``. Quotients without value are None.
    """
    limits = [(0.0, math.inf), *itertools.pairwise(SIZES_MM)]
    rows: list[dict[str, float | int | str | None]] = []
    for low, high in limits:
        reference = [x for c in cases for x in c.reference if low <= x.diameter_mm < high]
        predicted = [x for c in cases for x in c.prediction if low <= x.diameter_mm < high]
        hits, true = sum(x.hit for x in reference), sum(x.hit for x in predicted)
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
            }
        )
    return rows


def _size_name(low: float, high: float) -> str:
    if low == 0 and high == math.inf:
        return "all"
    if high == math.inf:
        return f"{low:.0f} and more"
    return f"{low:.0f} to {high:.0f}"
