"""Dice and volumes, all from one table of counts per axial slice.

Each labelled voxel is counted once, by its slice, its side, its reference label and its predicted
label. Whatever depends on overlap alone follows from these counts without another look at the
voxels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.choices import EmptyRule
from renalis.evaluation.regions import Region, Side

__all__ = ["Counts", "dice", "slice_dice", "smooth_dice", "tally"]

LABELS = 4
"""Label values that are counted: 0 to 3."""


@dataclass(frozen=True)
class Counts:
    """Voxels of one region.

    Parameters
    ----------
    reference, prediction, both : ndarray of int64, shape (S,)
        Voxels per axial slice that are in the reference, in the prediction, in both.
    """

    reference: NDArray[np.int64]
    prediction: NDArray[np.int64]
    both: NDArray[np.int64]

    @property
    def totals(self) -> tuple[int, int, int]:
        """Voxels in the reference, in the prediction, in both."""
        return int(self.reference.sum()), int(self.prediction.sum()), int(self.both.sum())


def tally(table: NDArray[np.int64], region: Region) -> Counts:
    """Counts of one region.

    Parameters
    ----------
    table : ndarray of int64, shape (S, 2, 4, 4)
        Voxels by axial slice, side (0 left, 1 right), reference label, predicted label.
    region : Region
        The union of labels.
    """
    sides = {None: slice(0, 2), Side.LEFT: slice(0, 1), Side.RIGHT: slice(1, 2)}[region.side]
    inside = np.isin(np.arange(LABELS), list(region.values))
    per_slice = table[:, sides].sum(axis=1)
    return Counts(
        reference=per_slice[:, inside].sum(axis=(1, 2)),
        prediction=per_slice[:, :, inside].sum(axis=(1, 2)),
        both=per_slice[:, inside][:, :, inside].sum(axis=(1, 2)),
    )


def dice(counts: Counts, empty: EmptyRule = EmptyRule.KITS) -> float:
    """Dice coefficient 2 |A and B| / (|A| + |B|) of a whole case; NaN where it does not count.

    Examples
    --------
    >>> one = np.array([3])
    >>> dice(Counts(one, one, np.array([2])))
    0.6666666666666666
    """
    reference, prediction, both = counts.totals
    if not reference or not prediction:
        return empty.score(not reference, not prediction)
    return 2 * both / (reference + prediction)


def smooth_dice(counts: Counts) -> float:
    """Dice with a constant added, (2 |A and B| + 1) / (|A| + |B| + 1), as QuickNAT users report it.

    Never without value: two empty masks give 1, and a few voxels against none nearly 0.
    """
    reference, prediction, both = counts.totals
    return (2 * both + 1) / (reference + prediction + 1)


def slice_dice(counts: Counts, within: NDArray[np.bool_] | None = None) -> float:
    """Mean of the Dice coefficients of single axial slices, as 2D methods report it.

    Slices where both are empty count 1, which raises the mean: not comparable with `dice`.

    Parameters
    ----------
    counts : Counts
        Voxels per slice.
    within : ndarray of bool, shape (S,), optional
        Slices to look at; the 2D two-stage system used those where the reference shows kidney.

    Returns
    -------
    float
        The mean, NaN without any slice.
    """
    total = counts.reference + counts.prediction
    scores = np.where(total > 0, 2 * counts.both / np.maximum(total, 1), 1.0)
    if within is not None:
        scores = scores[within]
    return float(scores.mean()) if len(scores) else math.nan
