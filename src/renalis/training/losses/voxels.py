"""Voxel-wise loss terms: cross-entropy, binary cross-entropy, focal, squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from renalis.training.losses.registry import register_term
from renalis.training.losses.shapes import like_logits, one_label_each

__all__ = ["BinaryCrossEntropy", "CrossEntropy", "Focal", "SquaredError", "voxel_mean"]

Ranks = Literal["weighted", "unweighted"]
Divisor = Literal["weights", "voxels"]


def voxel_mean(
    losses: Tensor,
    weights: Tensor | None = None,
    top_k: float | None = None,
    ranks: Ranks = "weighted",
    divide: Divisor = "weights",
) -> Tensor:
    """Mean of the voxels' losses, each with its weight, or only of the largest ones.

    Parameters
    ----------
    losses : Tensor, any shape
        The loss of each voxel, not weighted.
    weights : Tensor, same shape, optional
        Class weight times pixel weight of each voxel.
    top_k : float, optional
        Share of the voxels of the batch, those with the largest losses, that count; at least one.
        This is online hard voxel mining (Wu, Shen and van den Hengel, 2016).
    ranks : {"weighted", "unweighted"}
        Whether "largest" is meant with the weights applied or without. With them, voxels of
        heavily weighted classes are preferred.
    divide : {"weights", "voxels"}
        Divide the weighted sum by the sum of the weights (as torch's cross-entropy does) or by the
        number of voxels that count.

    Returns
    -------
    Tensor
        Scalar.
    """
    plain = losses.reshape(-1)
    scale = torch.ones_like(plain) if weights is None else weights.reshape(-1).to(plain.dtype)
    weighted = plain * scale
    if top_k is not None and top_k < 1:
        count = max(1, int(top_k * plain.numel()))
        ranked = weighted if ranks == "weighted" else plain
        chosen = ranked.detach().topk(count, sorted=False).indices
        weighted, scale = weighted[chosen], scale[chosen]
    if divide == "voxels":
        return weighted.mean()
    return weighted.sum() / scale.sum().clamp(min=torch.finfo(scale.dtype).tiny)


@register_term("ce")
@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy of softmax classes.

    Parameters
    ----------
    class_weights : tuple of float, optional
        One weight per class, background first.
    top_k, ranks, divide
        See `voxel_mean`.
    """

    class_weights: tuple[float, ...] | None = None
    top_k: float | None = None
    ranks: Ranks = "weighted"
    divide: Divisor = "weights"

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """The term for logits (N, K, ...), K > 1, and labels (N, ...); a scalar."""
        if logits.shape[1] == 1:
            raise ValueError("softmax over one channel is always 1; use the term bce")
        labels = one_label_each(logits, target)
        losses = functional.cross_entropy(logits.float(), labels, reduction="none")
        scale = _class_scale(labels, self.class_weights, weights, logits.shape[1])
        return voxel_mean(losses, scale, self.top_k, self.ranks, self.divide)


@register_term("bce")
@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Binary cross-entropy of the sigmoid of each channel, mean of weight x loss over voxels.

    Parameters
    ----------
    class_weights : tuple of two float, optional
        Weights of background and foreground.
    top_k, ranks, divide
        See `voxel_mean`.
    """

    class_weights: tuple[float, ...] | None = None
    top_k: float | None = None
    ranks: Ranks = "weighted"
    divide: Divisor = "voxels"

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """The term for logits (N, 1, ...) and a target of 0 and 1 (N, ...); a scalar."""
        truth = like_logits(logits, target)
        losses = functional.binary_cross_entropy_with_logits(
            logits.float(), truth, reduction="none"
        )
        scale = None if weights is None else like_logits(logits, weights)
        scale = _class_scale((truth > 0.5).long(), self.class_weights, scale, 2)
        return voxel_mean(losses, scale, self.top_k, self.ranks, self.divide)


@register_term("focal")
@dataclass(frozen=True)
class Focal:
    """Cross-entropy times (1 - p)^gamma, mean over voxels (Lin et al., ICCV 2017).

    Takes softmax classes or one sigmoid channel. With ``gamma`` 0 it is the cross-entropy.

    Parameters
    ----------
    gamma : float
        How much less the voxels count that are already right.
    class_weights : tuple of float, optional
        One weight per class, background first (the publication's alpha).
    divide
        See `voxel_mean`.
    """

    gamma: float = 2.0
    class_weights: tuple[float, ...] | None = None
    divide: Divisor = "voxels"

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """The term for logits (N, K, ...) and labels (N, ...); a scalar."""
        labels = one_label_each(logits, target)
        scores = logits.float()
        if scores.shape[1] == 1:
            # Sigmoid of x is softmax over (0, x).
            scores = torch.cat([torch.zeros_like(scores), scores], dim=1)
        losses = functional.cross_entropy(scores, labels, reduction="none")
        losses = losses * (1 - torch.exp(-losses)).clamp(min=1e-8) ** self.gamma
        scale = _class_scale(labels, self.class_weights, weights, scores.shape[1])
        return voxel_mean(losses, scale, divide=self.divide)


@register_term("mse")
@dataclass(frozen=True)
class SquaredError:
    """Mean squared error of the sigmoid; for heads that classify whether a patch has a tumor."""

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """The term for logits (N, 1) and a target from 0 to 1 (N,) or (N, 1); a scalar."""
        losses = (torch.sigmoid(logits.float()) - like_logits(logits, target)) ** 2
        scale = None if weights is None else like_logits(logits, weights)
        return voxel_mean(losses, scale)


def _class_scale(
    labels: Tensor, class_weights: tuple[float, ...] | None, weights: Tensor | None, classes: int
) -> Tensor | None:
    """Class weight times pixel weight of each voxel; None when every voxel counts the same."""
    if class_weights is None:
        return weights
    if len(class_weights) != classes:
        raise ValueError(f"{len(class_weights)} class weights were given for {classes} classes")
    scale = torch.tensor(class_weights, dtype=torch.float32, device=labels.device)[labels]
    return scale if weights is None else scale * weights
