"""Losses for segmentation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["region_dice", "segmentation_loss"]

_SMOOTH = 30.0
_LESION_DICE = 0.5


def segmentation_loss(logits: Tensor, target: Tensor, class_weights: Tensor) -> Tensor:
    """Where is anything renal, and what is it?

    The sum of

    - cross-entropy over all voxels and soft Dice of everything renal: where kidneys are;
    - cross-entropy between kidney, tumor and cyst over the renal voxels alone: what they are. In
      the mean over all voxels, of which one in thirty is renal, this question hardly counts, and
      the networks learned it ten times more slowly;
    - soft Dice of tumor and of cyst at half weight where they are present. (Scoring absent lesions
      by a smoothed Dice was tried: the network then names no lesion at all.)

    Parameters
    ----------
    logits : Tensor, shape (N, 4, Z, Y, X)
        Background, kidney, tumor, cyst.
    target : Tensor, shape (N, Z, Y, X), int64
        KiTS23 labels.
    class_weights : Tensor, shape (4,)
        Weights of the classes in both cross-entropies.

    Returns
    -------
    Tensor
        Scalar.
    """
    logits = logits.float()
    loss = functional.cross_entropy(logits, target, weight=class_weights)
    renal = target > 0
    if bool(renal.any()):
        inside = logits.movedim(1, -1)[renal][:, 1:]
        loss = loss + functional.cross_entropy(inside, target[renal] - 1, weight=class_weights[1:])
    probability = torch.softmax(logits, dim=1)
    loss = loss + _dice_loss(1 - probability[:, 0], renal, _SMOOTH)
    for label in (2, 3):
        wanted = target == label
        if bool(wanted.any()):
            loss = loss + _LESION_DICE * _dice_loss(probability[:, label], wanted, 1.0)
    return loss


def _dice_loss(predicted: Tensor, wanted: Tensor, smooth: float) -> Tensor:
    truth = wanted.to(predicted.dtype)
    overlap = (predicted * truth).sum()
    return 1 - (2 * overlap + smooth) / (predicted.sum() + truth.sum() + smooth)


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
