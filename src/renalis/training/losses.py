"""Losses for segmentation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["region_dice", "segmentation_loss"]


def segmentation_loss(logits: Tensor, target: Tensor, class_weights: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice of the regions that are there.

    The Dice term counts everything renal, tumor and cyst (nested regions as in KiTS 2021/23).
    A region without a voxel in the patch is left to the cross-entropy: its Dice would be
    zero or one by a single voxel.

    Parameters
    ----------
    logits : Tensor, shape (N, 4, Z, Y, X)
        Background, kidney, tumor, cyst.
    target : Tensor, shape (N, Z, Y, X), int64
        KiTS23 labels.
    class_weights : Tensor, shape (4,)
        Weights of the classes in the cross-entropy.

    Returns
    -------
    Tensor
        Scalar.
    """
    logits = logits.float()
    entropy = functional.cross_entropy(logits, target, weight=class_weights)
    probability = torch.softmax(logits, dim=1)
    terms = []
    for predicted, wanted in (
        (1 - probability[:, 0], target > 0),
        (probability[:, 2], target == 2),
        (probability[:, 3], target == 3),
    ):
        truth = wanted.to(predicted.dtype)
        size = truth.sum()
        if size > 0:
            overlap = (predicted * truth).sum()
            terms.append(1 - (2 * overlap + 1) / (predicted.sum() + size + 1))
    return entropy + (torch.stack(terms).mean() if terms else 0.0)


@torch.no_grad()
def region_dice(logits: Tensor, target: Tensor) -> list[float | None]:
    """Dice of everything renal, tumor and cyst; None where a region is not in the patch."""
    label = logits.argmax(dim=1)
    scores: list[float | None] = []
    for predicted, truth in (
        (label > 0, target > 0),
        (label == 2, target == 2),
        (label == 3, target == 3),
    ):
        size = int(truth.sum())
        if size == 0:
            scores.append(None)
            continue
        overlap = int((predicted & truth).sum())
        scores.append(2 * overlap / (int(predicted.sum()) + size))
    return scores
