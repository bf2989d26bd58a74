"""Two 2D networks in turn: one finds the kidney, the other looks for tumor inside it.

Beheshtifard et al., 2023 (recipe ``resnet34-2d``): the second network sees the CT multiplied by
the first one's mask, so a tumor voxel outside that mask can never be found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.prediction.systems.networks import BatchNetwork
from renalis.prediction.systems.patches import Prepare, Progress, as_float
from renalis.prediction.systems.slices import predict_slices

__all__ = ["TwoPhase", "predict_two_phase"]


@dataclass(frozen=True, eq=False)
class TwoPhase:
    """What the two phases say.

    Attributes
    ----------
    kidney : ndarray, shape (Z, Y, X), float32
        Probability of kidney with everything in it, from the first phase.
    tumor : ndarray, shape (Z, Y, X), float32
        Probability of tumor from the second phase; 0 on slices without kidney.
    labels : ndarray, shape (Z, Y, X), uint8
        2 where tumor, else 1 where kidney.
    """

    kidney: NDArray[np.float32]
    tumor: NDArray[np.float32]
    labels: NDArray[np.uint8]

    def class_probability(self) -> NDArray[np.float32]:
        """Background, kidney, tumor, shape (3, Z, Y, X), float32; they sum to 1.

        For averaging with systems that give a probability to each class: tumor as it is, and what
        remains shared between kidney and background as the first phase says.
        """
        rest = 1 - self.tumor
        return np.stack([rest * (1 - self.kidney), rest * self.kidney, self.tumor])


def predict_two_phase(
    first_image: NDArray[Any],
    second_image: NDArray[Any],
    first: BatchNetwork,
    second: BatchNetwork,
    *,
    masked_value: float,
    at: float = 0.5,
    restrict: bool = True,
    batch: int = 8,
    divisor: int = 1,
    first_fill: float = 0.0,
    first_prepare: Prepare = as_float,
    second_prepare: Prepare = as_float,
    progress: Progress | None = None,
) -> TwoPhase:
    """Find kidneys, then tumors inside them, slice by slice.

    Parameters
    ----------
    first_image, second_image : ndarray, shape (Z, Y, X)
        The same slices as each phase sees them: their HU windows and scales differ.
    first, second : BatchNetwork
        Sigmoid probability ``seg`` (N, 1, Y, X) of kidney, and of tumor.
    masked_value : float
        Second phase's input outside the kidney. That of 0 HU is the literal multiplication of CT
        and mask; the input's lower bound makes it air.
    at : float
        A voxel belongs to kidney or tumor above this probability.
    restrict : bool
        Whether tumor outside the kidney is dropped.
    batch, divisor
        As in `predict_slices`.
    first_fill : float
        First phase's input beyond the slice; the second phase's is ``masked_value``.
    first_prepare, second_prepare : callable
        Stored voxels to each phase's input.
    progress : callable, optional
        Called with slices done in the phase at work and its slices.

    Raises
    ------
    ValueError
        If the images differ in shape or a network gives more than one class.
    """
    if first_image.shape != second_image.shape:
        raise ValueError(f"phases see {first_image.shape} and {second_image.shape} voxels")
    kidney = predict_slices(
        first_image,
        first,
        batch=batch,
        divisor=divisor,
        fill=first_fill,
        prepare=first_prepare,
        progress=progress,
    )
    roi = kidney[0] > at

    def masked(number: int, part: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(roi[number], part, np.float32(masked_value))

    tumor = predict_slices(
        second_image,
        second,
        batch=batch,
        divisor=divisor,
        fill=masked_value,
        select=roi.any(axis=(1, 2)),
        prepare=second_prepare,
        change=masked,
        progress=progress,
    )
    if len(kidney) != 1 or len(tumor) != 1:
        raise ValueError("each phase gives one class, kidney and tumor")
    if restrict:
        tumor *= roi
    labels = roi.astype(np.uint8)
    labels[tumor[0] > at] = 2
    return TwoPhase(kidney[0], tumor[0], labels)
