"""Dice of a validation case: the one that all systems share, and that of the publication."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.recipes.output_fields import Evaluation
from renalis.recipes.system import Stage

__all__ = ["Compared", "dice", "mean_dice", "published_scores", "score_names", "slice_dice"]

_EMPTY = {"one": 1.0, "zero": 0.0, "left_out": float("nan")}

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Compared:
    """A prediction and its reference, in training labels.

    Attributes
    ----------
    found, truth : ndarray, shape (Z, Y, X), uint8
        On the slices that count.
    labelled : ndarray, shape (Z,), bool
        Slices with any label in the reference.
    numbers : ndarray, shape (Z,), int
        Which slices of the grid they are.
    """

    found: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    labelled: Mask
    numbers: NDArray[np.intp]


def dice(found: Mask, truth: Mask, smooth: float = 0.0) -> float:
    """Dice; NaN when both are empty and nothing smooths."""
    total = np.count_nonzero(found) + np.count_nonzero(truth) + smooth
    return (2 * np.count_nonzero(found & truth) + smooth) / total if total else float("nan")


def mean_dice(stage: Stage, case: Compared, smooth: float = 0.0) -> float:
    """Mean over the target's regions; NaN when all are empty."""
    return _mean([dice(*pair, smooth) for pair in _regions(stage, case.found, case.truth)])


def slice_dice(stage: Stage, case: Compared, empty: float) -> NDArray[np.float64]:
    """Mean over the regions for each slice, shape (Z,); ``empty`` where both are empty."""
    result = np.full(len(case.found), np.nan)
    for number, (found, truth) in enumerate(zip(case.found, case.truth, strict=True)):
        scores = [dice(*pair) for pair in _regions(stage, found, truth)]
        result[number] = _mean([empty if np.isnan(score) else score for score in scores])
    return result


def score_names(evaluation: Evaluation | None) -> tuple[str, ...]:
    """Under which names the publication's scores are noted."""
    if evaluation is None:
        return ()
    smooth = ("val_smooth_dice",) if evaluation.smooth else ()
    return smooth + (("val_slice_dice",) if "slice" in evaluation.units else ())


def published_scores(
    stage: Stage, evaluation: Evaluation | None, case: Compared
) -> dict[str, float]:
    """The publication's scores of a case, by `score_names`; NaN where it has none."""
    result: dict[str, float] = {}
    if evaluation is None:
        return result
    if evaluation.smooth:
        result["val_smooth_dice"] = mean_dice(stage, case, evaluation.smooth)
    if "slice" in evaluation.units:
        each = slice_dice(stage, case, _EMPTY[evaluation.empty])
        counted = each[case.labelled] if evaluation.slices == "kidney" else each
        result["val_slice_dice"] = _mean(counted.tolist())
    return result


def _regions(
    stage: Stage, found: NDArray[np.uint8], truth: NDArray[np.uint8]
) -> Iterator[tuple[Mask, Mask]]:
    """Masks of each region of the target: its classes, of kidney and tumor the kidney whole."""
    for value in range(1, 1 + len(stage.written)):
        if value == 1 and stage.target == "kidney_tumor":
            yield found > 0, truth > 0
        else:
            yield found == value, truth == value


def _mean(scores: list[float]) -> float:
    known = [score for score in scores if not np.isnan(score)]
    return float(np.mean(known)) if known else float("nan")
