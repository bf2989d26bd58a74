"""Losses for segmentation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["region_dice", "segmentation_loss"]

_SMOOTH = 30.0


def segmentation_loss(logits: Tensor, target: Tensor, class_weights: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice of everything renal, tumor and cyst.

    The regions are nested as in KiTS 2021/23. Tumor and cyst are scored where they are; where they
    are absent the cross-entropy alone speaks. (Scoring absent lesions by a smoothed Dice was tried:
    the network then names no lesion at all.)

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
    regions = (
        (1 - probability[:, 0], target > 0),
        (probability[:, 2], target == 2),
        (probability[:, 3], target == 3),
    )
    for number, (predicted, wanted) in enumerate(regions):
        truth = wanted.to(predicted.dtype)
        size = truth.sum()
        smooth = _SMOOTH if number == 0 else 1.0
        if number == 0 or size > 0:
            overlap = (predicted * truth).sum()
            terms.append(1 - (2 * overlap + smooth) / (predicted.sum() + size + smooth))
    return entropy + torch.stack(terms).mean()


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
