"""Validation during training, on whole cases."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from torch import nn

from renalis.preparation import GridSpec, PreparedCase, near_slices
from renalis.recipes import output_fields, sample_fields
from renalis.recipes.output_fields import Evaluation
from renalis.recipes.system import Stage
from renalis.systems.case_batches import CaseBatches
from renalis.systems.inference import (
    StagePrediction,
    likeliest_labels,
    low_probability,
    predict_stage,
)
from renalis.systems.published_scores import (
    Compared,
    dice,
    mean_dice,
    published_scores,
    score_names,
)
from renalis.systems.recipe_grids import target_table
from renalis.training.devices import ProcessRank
from renalis.training.losses import LossTerm, total_loss
from renalis.training.metrics_log import duration
from renalis.training.micro_batches import MicroBatchDataset

__all__ = ["StageValidation"]

Regions = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class StageValidation:
    """A `renalis.training.engine.Validation` of a stage.

    Attributes
    ----------
    stage : Stage
    cases : sequence of PreparedCase
        With labels.
    specs : mapping of str to GridSpec
    regions : sequence of ndarray, optional
        Input masks of the cases, for a stage that has them.
    scores : collection of str
        Which to give: ``val_dice`` (mean over the target's regions, per case, on the grid; where
        the grid drops slices far from any label, on the others), ``low_dice`` (of the coarse half
        of a cascade), ``val_loss`` (mean over all samples, as they are). With ``val_dice`` of a
        cascade comes ``gate_closed``: 1 for a case in which its coarse half found nothing, so that
        its fine half was not computed; and the scores of ``evaluation``.
    loss_batches : CaseBatches, optional
        The samples for ``val_loss``.
    terms : sequence of LossTerm
        The loss.
    evaluation : Evaluation, optional
        How the publication scores, see `renalis.systems.published_scores`.
    report : callable, optional
        Takes progress lines, no more often than every ``report_seconds``.
    """

    stage: Stage
    cases: Sequence[PreparedCase]
    specs: Mapping[str, GridSpec]
    regions: Regions | None
    scores: Collection[str]
    loss_batches: CaseBatches | None = None
    terms: Sequence[LossTerm] = ()
    evaluation: Evaluation | None = None
    report: Callable[[str], None] | None = None
    report_seconds: float = 10.0

    def __call__(self, network: nn.Module, process: ProcessRank) -> dict[str, list[float]]:
        """Values per case (``val_loss``: per sample) of this process's share."""
        result: dict[str, list[float]] = {name: [] for name in self.scores}
        if "val_dice" in result and _gate(self.stage):
            result["gate_closed"] = []
        published = self.evaluation if "val_dice" in result else None
        result |= {name: [] for name in score_names(published)}
        mine = range(process.rank, len(self.cases), process.count)
        began = said_at = time.monotonic()
        for done, number in enumerate(mine):
            now = time.monotonic()
            if self.report is not None and done and now - said_at >= self.report_seconds:
                said_at, left = now, (now - began) / done * (len(mine) - done)
                self.report(f"validation · case {done}/{len(mine)} · {duration(left)} left")
            if "val_dice" in result:
                predicted = self.predict(network, number, process)
                compared = self.compared(predicted, number)
                result["val_dice"].append(mean_dice(self.stage, compared))
                for name, score in published_scores(self.stage, published, compared).items():
                    result[name].append(score)
                if predicted.gate is not None:
                    result["gate_closed"].append(float(predicted.gate == "closed"))
            if "low_dice" in result:
                result["low_dice"].append(self._low_dice(network, number, process))
        if "val_loss" in result and self.loss_batches is not None:
            dataset = MicroBatchDataset(self.loss_batches, 0)
            for index in range(process.rank, self.loss_batches.batches, process.count):
                inputs, targets = dataset[0, index]
                outputs = network(**{k: v.to(process.device) for k, v in inputs.items()})
                if isinstance(outputs, torch.Tensor):
                    outputs = {"seg": outputs}
                there = {k: v.to(process.device) for k, v in targets.items()}
                loss = float(total_loss(self.terms, outputs, there)[0])
                # Once per sample: the last micro-batch may be a small one.
                result["val_loss"] += [loss] * len(next(iter(inputs.values())))
        return result

    def predict(self, network: nn.Module, number: int, process: ProcessRank) -> StagePrediction:
        """The network's prediction of a case."""
        region = None if self.regions is None else self.regions[number] > 0
        case = self.cases[number]
        return predict_stage(
            self.stage,
            [network],
            case,
            self.specs,
            region=region,
            near=near_kidneys(self.stage, case),
            device=process.device,
        )

    def compared(self, predicted: StagePrediction, number: int) -> Compared:
        """A case's prediction and its reference, in training labels, on the slices that count."""
        stage, case = self.stage, self.cases[number]
        grid = case.grid(stage.prediction.grid)
        label = grid.label
        assert label is not None
        truth = target_table(stage.target)[label]
        # Training labels are compared, not those that are written: 1 where the target is.
        written = np.zeros(256, np.uint8)
        written[[0, *stage.written]] = np.arange(1 + len(stage.written), dtype=np.uint8)
        found = written[likeliest_labels(stage, predicted.probability)]
        labelled = np.asarray(label.any(axis=(1, 2)))
        near = near_slices(labelled, grid.spec.drop_far_slices)
        return Compared(found[near], truth[near], labelled[near], np.flatnonzero(near))

    def _low_dice(self, network: nn.Module, number: int, process: ProcessRank) -> float:
        stage, case = self.stage, self.cases[number]
        plan, sampler = stage.prediction, stage.sampler
        assert isinstance(plan, output_fields.TilePrediction)
        assert plan.coarse is not None
        assert isinstance(sampler, sample_fields.Paired)
        low = low_probability(stage, plan, [network], case, self.specs, process.device)
        label = case.grid(plan.coarse).label
        assert label is not None
        return dice(low.probability > 0.5, target_table(sampler.low_target)[label] > 0)


def near_kidneys(stage: Stage, case: PreparedCase) -> NDArray[np.bool_] | None:
    """Where a validation case is predicted: as near to a label as the recipe says; None: all."""
    mm = stage.optimisation.validation_near_mm
    if mm is None:
        return None
    grid = case.grid(stage.prediction.grid)
    assert grid.label is not None
    near = (np.asarray(grid.label) > 0).astype(np.uint8)
    for axis, spacing in enumerate(grid.spacing):
        reach = int(mm / spacing + 1e-6)
        near = maximum_filter1d(near, 2 * reach + 1, axis=axis, mode="constant")
    return near > 0


def _gate(stage: Stage) -> bool:
    """Whether a coarse half decides where the stage's network is computed."""
    plan = stage.prediction
    return isinstance(plan, output_fields.TilePrediction) and plan.gate is not None
