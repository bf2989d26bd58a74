"""The loss of the shipped model: where is anything renal, and what is it?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from renalis.training.losses.registry import register_term

__all__ = ["RenalCrossEntropyDice"]

_SMOOTH = 30.0
_LESION_DICE = 0.5


@register_term("renal_ce_dice")
@dataclass(frozen=True)
class RenalCrossEntropyDice:
    """The sum of three questions about background, kidney, tumor and cyst.

    - Cross-entropy over all voxels and soft Dice of everything renal: where kidneys are.
    - Cross-entropy between kidney, tumor and cyst over the renal voxels alone: what they are. In
      the mean over all voxels, of which one in thirty is renal, this question hardly counts, and
      the networks learned it ten times more slowly.
    - Soft Dice of tumor and of cyst at half weight where they are present. (Scoring absent lesions
      by a smoothed Dice was tried: the network then names no lesion at all.)

    Parameters
    ----------
    class_weights : tuple of float
        Of the four classes, in both cross-entropies.
    """

    class_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of logits (N, 4, Z, Y, X) and labels (N, Z, Y, X); a scalar in float32.

        Raises
        ------
        ValueError
            If weights per voxel are given: this term has no place for them.
        """
        if weights is not None:
            raise ValueError("the term renal_ce_dice takes no weights per voxel")
        logits, target = logits.float(), target.long()
        classes = logits.new_tensor(self.class_weights)
        loss = functional.cross_entropy(logits, target, weight=classes)
        renal = target > 0
        if bool(renal.any()):
            inside = logits.movedim(1, -1)[renal][:, 1:]
            loss = loss + functional.cross_entropy(inside, target[renal] - 1, weight=classes[1:])
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
