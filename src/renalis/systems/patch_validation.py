"""Validation during training, on patches."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from renalis.systems.patch_batches import PatchBatches
from renalis.training.devices import ProcessRank
from renalis.training.losses import LossTerm, total_loss

__all__ = ["PatchValidation"]

_VALIDATION_PATCHES = 8

_LESIONS = {1: "renal", 2: "tumor", 3: "cyst"}
"""By its smallest label, what a region that is scored is called."""


@dataclass(frozen=True, eq=False)
class PatchValidation:
    """A `renalis.training.engine.Validation` on a few patches that are the same in every epoch.

    Attributes
    ----------
    patches : PatchBatches
        Of cases that are not learned from, or of the bodies: then in places, and with an
        appearance, that are not trained on.
    scores : collection of str
        Which to give: ``val_dice`` (mean over everything renal, tumor and cyst, where they are
        there), also of each alone, and ``val_loss``.
    terms : sequence of LossTerm
        The loss.
    count : int
        Patches.
    drawn : list
        Those of this process, once they are drawn.
    """

    patches: PatchBatches
    scores: Collection[str]
    terms: Sequence[LossTerm]
    count: int = _VALIDATION_PATCHES
    drawn: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def __call__(self, network: nn.Module, process: ProcessRank) -> dict[str, list[float]]:
        """Values per patch of this process's share."""
        regions = {f"dice_{name}": value for value, name in _LESIONS.items()}
        names = {*self.scores, "val_dice", *regions}
        result: dict[str, list[float]] = {name: [] for name in names}
        if not self.drawn:
            for number in range(process.rank, self.count, process.count):
                # A fourth number: none of the training's samples.
                pair = map(torch.from_numpy, self.patches.sample(number, 1))
                self.drawn.append((next(pair)[None], next(pair)[None]))
        for image, label in self.drawn:
            outputs = network(image=image.to(process.device))
            logits = {"seg": outputs} if isinstance(outputs, Tensor) else outputs
            truth = label.to(process.device)
            found = logits["seg"].argmax(dim=1)
            each = [_dice(found, truth, value) for value in regions.values()]
            for name, score in zip(regions, each, strict=True):
                result[name].append(score)
            known = [score for score in each if not np.isnan(score)]
            result["val_dice"].append(float(np.mean(known)) if known else float("nan"))
            if "val_loss" in result:
                result["val_loss"].append(float(total_loss(self.terms, logits, {"seg": truth})[0]))
        return result


def _dice(found: Tensor, truth: Tensor, value: int) -> float:
    """Dice of a label, of 1 of all labels; NaN where the truth has none."""
    one, other = (found > 0, truth > 0) if value == 1 else (found == value, truth == value)
    size = int(other.sum())
    if not size:
        return float("nan")
    return 2 * int((one & other).sum()) / (int(one.sum()) + size)
