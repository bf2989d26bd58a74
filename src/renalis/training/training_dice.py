"""Dice of the training samples, as they were drawn, logged along with the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["DICE", "PARTS", "overlap_parts", "with_dice"]

PARTS = ("overlap", "size")
"""What is summed over an epoch: twice the overlap, and the voxels of both."""

DICE = "train_dice"
"""Under which name an epoch has it."""


def overlap_parts(outputs: Mapping[str, Any], targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of one micro-batch: scalars without gradient.

    Parameters
    ----------
    outputs : mapping of str to Tensor
        Logits (N, K, ...): of "seg", without it of "low". One channel is a sigmoid, decided at
        0.5; of several the largest wins. All classes but background count together.
    targets : mapping of str to Tensor
        Label maps (N, ...) of the same names.
    """
    name = next((one for one in ("seg", "low") if one in outputs and one in targets), None)
    if name is None:
        return {}
    logits, truth = outputs[name].detach(), targets[name]
    found = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1)
    # As the losses take it, a target with a channel axis of its own is the same.
    truth = truth.reshape(found.shape)
    same = (found == truth) & (truth > 0)
    size = torch.count_nonzero(found) + torch.count_nonzero(truth)
    return {"overlap": 2 * torch.count_nonzero(same), "size": size}


def with_dice(means: Mapping[str, float]) -> dict[str, float]:
    """An epoch's means with `DICE` in place of `PARTS`; without it where nothing was there."""
    result = {name: value for name, value in means.items() if name not in PARTS}
    if means.get("size"):
        result[DICE] = means["overlap"] / means["size"]
    return result
