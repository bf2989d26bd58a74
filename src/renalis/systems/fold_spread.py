"""How much the folds of a run differ, as members of an ensemble do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from renalis.look_spread import LookSpread, spread_map
from renalis.prediction.sliding import THIN
from renalis.systems.inference import Regions, StagePrediction
from renalis.systems.label_classes import lesion_classes, system_classes
from renalis.systems.runs import Run
from renalis.volume import Kind, Volume

__all__ = ["compared_regions", "fold_spread", "variance_over"]


def compared_regions(run: Run) -> Regions:
    """Classes of which to know how folds differ: everything renal, and lesions where there are any.

    None of a single fold, and of systems of several stages: there a fold's later networks look
    where the mean of all folds found something, so none of them has an answer of its own.
    """
    if len(run.folds) == 1 or len(run.system.all_stages()) > 1:
        return ()
    renal = tuple(range(1, 1 + len(system_classes(run.system))))
    lesions = lesion_classes(run.system)
    return (renal, lesions) if lesions else (renal,)


def variance_over(
    predicted: Sequence[StagePrediction], regions: Regions
) -> NDArray[np.float32] | None:
    """Of folds that were predicted one by one: `StagePrediction.variance`."""
    if not regions:
        return None
    sums = ([one.probability[list(classes)].sum(0) for one in predicted] for classes in regions)
    return np.stack([np.var(each, axis=0) for each in sums])


def fold_spread(predicted: StagePrediction, folds: int) -> LookSpread | None:
    """What is kept of how the folds differ; None where it was not asked for."""
    if predicted.variance is None:
        return None
    affine = np.array(predicted.affine)
    affine[:3, :3] *= THIN
    kidney, *lesion = (
        Volume(spread_map(one[::THIN, ::THIN, ::THIN]), affine, Kind.PROBABILITY)
        for one in predicted.variance
    )
    return LookSpread(kidney, lesion[0] if lesion else None, folds, "folds")
