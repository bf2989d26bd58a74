"""The rule about components that cannot be a kidney."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box, in_whole
from renalis.conventions import Label
from renalis.postprocessing.components import find_components
from renalis.postprocessing.evidence import gather
from renalis.postprocessing.kidney_check import KidneyAnswer, judged
from renalis.postprocessing.rules import ImpossibleRule
from renalis.preparation.lungs import Lungs
from renalis.volume import Volume

__all__ = ["drop_impossible"]


def drop_impossible(
    labels: Volume,
    box: Box,
    image: Volume,
    lungs: Lungs,
    probability: Volume | None,
    rule: ImpossibleRule,
) -> tuple[int, tuple[str, ...]]:
    """Drop components that cannot be a kidney, in place.

    Parameters
    ----------
    labels, image : Volume
        KiTS23 labels and HU, in canonical orientation on the scan's grid.
    box : tuple of slice
        Where the labels are.
    lungs : Lungs
        From `renalis.preparation.lungs.find_lungs`.
    probability : Volume or None
        The network's for anything renal.
    rule : ImpossibleRule
        Its numbers.

    Returns
    -------
    int
        Voxels dropped.
    tuple of str
        Why, in words, for all of them together.
    """
    array: NDArray[np.uint8] = labels.array[box]
    found = find_components(array > 0)
    dropped = []
    reasons: list[str] = []
    for component in found.each:
        if component.voxels * labels.voxel_ml < rule.least_ml:
            break  # the largest come first
        place = in_whole(component.box, box)
        evidence = gather(image, labels, found.mask(component), place, lungs, probability)
        verdict = judged(evidence, rule)
        if verdict.answer is KidneyAnswer.NO:
            dropped.append(component)
            reasons += verdict.reasons[:1]
    for component in dropped:  # only now, so that each was seen among the others
        array[component.box][found.mask(component)] = Label.BACKGROUND
    return sum(component.voxels for component in dropped), tuple(dict.fromkeys(reasons))
