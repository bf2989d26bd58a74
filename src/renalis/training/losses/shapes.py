"""What all terms of a loss share: logits against a label map, and their shapes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["class_probabilities", "like_logits", "one_label_each", "region_masks", "to_resolution"]


def class_probabilities(logits: Tensor) -> Tensor:
    """Probability of every class, background first.

    Parameters
    ----------
    logits : Tensor, shape (N, K, ...), float
        K classes (softmax), or one channel: the foreground's sigmoid.

    Returns
    -------
    Tensor, shape (N, max(K, 2), ...), float32
    """
    logits = logits.float()
    if logits.shape[1] == 1:
        foreground = torch.sigmoid(logits)
        return torch.cat([1 - foreground, foreground], dim=1)
    return torch.softmax(logits, dim=1)


def one_label_each(logits: Tensor, target: Tensor) -> Tensor:
    """The label map as int64 of shape (N, ...), checked against the logits (N, K, ...).

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if target.ndim == logits.ndim and target.shape[1] == 1:
        target = target[:, 0]
    if target.shape != logits.shape[:1] + logits.shape[2:]:
        raise ValueError(
            f"a label map of shape {tuple(target.shape)} does not fit logits of shape "
            f"{tuple(logits.shape)}"
        )
    return target.long()


def like_logits(logits: Tensor, target: Tensor) -> Tensor:
    """The target as float32 of the logits' shape (N, 1, ...); a missing channel axis is added.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if target.ndim == logits.ndim - 1:
        target = target.unsqueeze(1)
    if target.shape != logits.shape:
        raise ValueError(
            f"a target of shape {tuple(target.shape)} does not fit logits of shape "
            f"{tuple(logits.shape)}"
        )
    return target.float()


def region_masks(labels: Tensor, regions: tuple[tuple[int, ...], ...]) -> Tensor:
    """Where the label map is in each union of classes.

    Parameters
    ----------
    labels : Tensor, shape (N, ...), int64
    regions : tuple of tuples of int
        The classes of each region, such as ``((1, 2), (2,))`` for kidney with tumor, and tumor.

    Returns
    -------
    Tensor, shape (N, R, ...), float32
    """
    masks = [torch.isin(labels, labels.new_tensor(region)) for region in regions]
    return torch.stack(masks, dim=1).float()


def to_resolution(target: Tensor, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """A label or weight map (N, ...) at the resolution ``shape``, by nearest neighbor.

    Used for deep supervision: the classes stay whole numbers.
    """
    if target.shape[1:] == tuple(shape):
        return target
    small = functional.interpolate(target.unsqueeze(1).float(), tuple(shape), mode="nearest-exact")
    return small.squeeze(1).to(target.dtype)
