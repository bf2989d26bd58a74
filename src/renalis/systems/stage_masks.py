"""Input masks of a stage's cases, and the synthetic cases with theirs, as the recipe wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from renalis.dataset import Case
from renalis.preparation import GridSpec, PreparedCase
from renalis.recipes.system import Stage
from renalis.systems.case_batches import SyntheticCases
from renalis.systems.input_masks import (
    Masks,
    out_of_fold_masks,
    predicted_masks,
    true_masks,
)
from renalis.systems.recipe_cases import prepared
from renalis.systems.split_check import SplitCases, synthetic_cases
from renalis.systems.training_job import Job

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["TrainStage", "earlier_masks", "synthetic_with_masks", "training_masks"]

TrainStage = Callable[[Stage, list[Case], Path], nn.Module]
"""Trains a stage on some cases in a folder of its own, or goes on with that."""


def earlier_masks(
    job: Job,
    stage: Stage,
    earlier: Mapping[str, nn.Module],
    cases: Sequence[Case],
    folder: Path,
    device: torch.device,
) -> Masks | None:
    """Input masks as the earlier stage predicts them; None for a stage without."""
    mask = stage.input_mask
    if mask is None:
        return None
    before, cache = job.system.stage(mask.stage), job.prepared_cases
    network = earlier[before.name]
    return list(predicted_masks(before, network, cases, mask.threshold, folder, cache, device))


def training_masks(
    job: Job,
    stage: Stage,
    earlier: Mapping[str, nn.Module],
    cases: SplitCases,
    own: Sequence[PreparedCase],
    folder: Path,
    fabric: Fabric,
    train: TrainStage,
    report: Callable[[str], None],
) -> Masks | None:
    """Input masks of the training cases: the truth, predicted, or predicted out of fold.

    Parameters
    ----------
    job, stage, earlier
        The training, the stage, and the networks of the stages before it.
    cases : SplitCases
        Of the fold.
    own : sequence of PreparedCase
        The training cases, prepared.
    folder : Path
        Of the fold.
    fabric : Fabric
        The processes share the work.
    train : callable
        See `TrainStage`; for masks out of fold.
    report : callable
        Takes progress lines.
    """
    mask = stage.input_mask
    if mask is None or mask.training == "predicted":
        return earlier_masks(job, stage, earlier, cases.train, folder, fabric.device)
    before = job.system.stage(mask.stage)
    if mask.training == "truth":
        return true_masks(stage, before, own)
    home, seed = folder / f"{before.name}.out_of_fold", job.system.seed
    train_on, cache = partial(train, before), job.prepared_cases
    return out_of_fold_masks(before, mask, cases.train, seed, home, cache, fabric, train_on, report)


def synthetic_with_masks(
    job: Job,
    stage: Stage,
    earlier: Mapping[str, nn.Module],
    specs: dict[str, GridSpec],
    folder: Path,
    device: torch.device,
) -> SyntheticCases | None:
    """Synthetic cases, with input masks that are made as those of the training cases."""
    plan, mask = job.system.dataset.synthetic, stage.input_mask
    if plan is None:
        return None
    cases = synthetic_cases(job.system)
    ready = prepared(cases, list(specs.values()), job.prepared_cases)
    if mask is not None and mask.training == "truth":
        masks: Masks | None = true_masks(stage, job.system.stage(mask.stage), ready)
    else:
        masks = earlier_masks(job, stage, earlier, cases, folder, device)
    return SyntheticCases(ready, plan.share, masks)
