"""Region-based loss terms: Dice and Tversky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from renalis.training.losses.registry import register_term
from renalis.training.losses.shapes import class_probabilities, one_label_each, region_masks

__all__ = ["Dice", "Tversky"]

Regions = tuple[tuple[int, ...], ...]


@register_term("dice")
@dataclass(frozen=True)
class Dice:
    """One minus Dice, mean over regions.

    Dice = (2·|P∩T| + smooth) / (|P| + |T| + smooth), with soft sizes (Milletari et al., V-Net,
    3DV 2016, without the squares).

    Parameters
    ----------
    regions : tuple of tuples of int
        The classes of each region. Networks with one channel have the classes 0 and 1.
    mode : {"soft", "hard"}
        ``soft``: of the probabilities. ``hard``: of the winning classes. **Hard Dice has no
        gradient**: it adds to the loss that is shown and to nothing that is learned. It is there
        because the published code of the 3D U-Net recipes computes it so.
    smooth : float
        Added above and below, so that an absent region that is not predicted scores 1.
    over : {"batch", "sample"}
        Voxels of the whole batch together, or each sample alone and then the mean.
    absent : {"score", "skip"}
        What becomes of a region that the target does not have: scored like any other, or left out
        of the mean.
    """

    regions: Regions
    mode: Literal["soft", "hard"] = "soft"
    smooth: float = 1e-5
    over: Literal["batch", "sample"] = "batch"
    absent: Literal["score", "skip"] = "score"

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """The term for logits (N, K, ...) and labels (N, ...); a scalar."""
        truth = region_masks(one_label_each(logits, target), self.regions)
        if self.mode == "hard":
            predicted = region_masks(_winner(logits.detach()), self.regions)
        else:
            predicted = _region_probabilities(logits, self.regions)
        predicted, truth = _weighted(predicted, truth, weights)
        both, one, other = _sizes(predicted, truth, self.over)
        dice = (2 * both + self.smooth) / (one + other + self.smooth)
        if self.absent == "score":
            return 1 - dice.mean()
        there = (other > 0).float()
        return ((1 - dice) * there).sum() / there.sum().clamp(min=1)


@register_term("tversky")
@dataclass(frozen=True)
class Tversky:
    """One minus the Tversky index, to the power ``gamma``, mean over regions.

    Index = (TP + smooth) / (TP + alpha·FP + beta·FN + smooth) (Salehi et al., MLMI 2017;
    ``gamma`` other than 1: Abraham and Khan, ISBI 2019). With alpha = beta = 0.5 it is Dice (with
    half its ``smooth``).

    Parameters
    ----------
    regions : tuple of tuples of int
        The classes of each region.
    alpha, beta : float
        Weights of false positives and of false negatives.
    gamma : float
        Below 1 makes regions that are nearly right count more, above 1 those that are wrong.
    smooth, over
        As for `Dice`.
    """

    regions: Regions
    alpha: float = 0.3
    beta: float = 0.7
    gamma: float = 1.0
    smooth: float = 1e-5
    over: Literal["batch", "sample"] = "batch"

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """The term for logits (N, K, ...) and labels (N, ...); a scalar."""
        truth = region_masks(one_label_each(logits, target), self.regions)
        predicted = _region_probabilities(logits, self.regions)
        predicted, truth = _weighted(predicted, truth, weights)
        both, one, other = _sizes(predicted, truth, self.over)
        below = both + self.alpha * (one - both) + self.beta * (other - both)
        lacking = 1 - (both + self.smooth) / (below + self.smooth)
        if self.gamma != 1:
            # The slope of x**gamma is infinite at 0 for gamma below 1.
            lacking = lacking.clamp(min=1e-6) ** self.gamma
        return lacking.mean()


def _region_probabilities(logits: Tensor, regions: Regions) -> Tensor:
    probability = class_probabilities(logits)
    return torch.stack([probability[:, list(region)].sum(1) for region in regions], dim=1)


def _winner(logits: Tensor) -> Tensor:
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)


def _weighted(predicted: Tensor, truth: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    if weights is None:
        return predicted, truth
    weights = weights.float().unsqueeze(1)
    return predicted * weights, truth * weights


def _sizes(
    predicted: Tensor, truth: Tensor, over: Literal["batch", "sample"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Overlap, predicted and true size of each region: (R,) over the batch, else (N, R)."""
    axes = (0, *range(2, truth.ndim)) if over == "batch" else tuple(range(2, truth.ndim))
    return (predicted * truth).sum(axes), predicted.sum(axes), truth.sum(axes)
