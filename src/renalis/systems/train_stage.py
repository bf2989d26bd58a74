"""Train one stage of a fold: data, input masks, network, rounds; then write its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from renalis.dataset import Case
from renalis.dataset.slices import read_slices
from renalis.disk_failures import check_not_gone
from renalis.networks import ResNet34UNet, build, load_imagenet_encoder
from renalis.recipes import network_fields as fields
from renalis.recipes.sample_fields import Patches
from renalis.recipes.system import Stage
from renalis.systems.longer_training import drop_dependents, stopping_text
from renalis.systems.recipe_cases import grid_specs, prepared
from renalis.systems.slice_pictures import show_slices
from renalis.systems.split_check import SplitCases
from renalis.systems.stage_data import CaseData, StageData, case_data, patch_data
from renalis.systems.stage_masks import earlier_masks, synthetic_with_masks, training_masks
from renalis.systems.starting_model import StartingModel
from renalis.systems.training_job import Job
from renalis.systems.training_plans import planned_rounds
from renalis.training.checkpoint import save_weights
from renalis.training.metrics_log import events_folder
from renalis.training.rounds import Round, fit_rounds
from renalis.training.stopping import needed_scores

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["FoldTraining", "train_stage"]

Report = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class FoldTraining:
    """Where the stages of a fold are trained, by which processes, and from which weights.

    ``folder`` is the ``fold``'s own, or one in it of a network that makes masks out of fold.
    """

    folder: Path
    fold: Path
    fabric: Fabric
    report: Report
    start: StartingModel | None


def train_stage(
    job: Job, stage: Stage, earlier: dict[str, nn.Module], cases: SplitCases, training: FoldTraining
) -> nn.Module:
    system, plan, folder, fabric = job.system, stage.optimisation, training.folder, training.fabric
    check_not_gone(training.fold)
    data = _data(job, stage, earlier, cases, training)
    check_not_gone(training.fold)
    torch.manual_seed(system.seed)
    network = build(stage.network.config())
    if isinstance(stage.network, fields.ResNet34UNet) and stage.network.init_weights:
        assert isinstance(network, ResNet34UNet)
        load_imagenet_encoder(network.encoder, stage.network.init_weights)
    if training.start is not None:
        training.start.give(stage.name, network)
    rounds = []
    for planned in planned_rounds(
        plan,
        stage.loss,
        data.batches,
        system.seed,
        fabric.world_size,
        workers=job.workers,
        tensorboard=job.tensorboard,
    ):
        coarse = "seg" not in planned.outputs
        fit_plan = replace(planned.plan, name=f"{system.name}, {stage.name}, {planned.name}")
        scores = needed_scores(fit_plan.stop, fit_plan.keep)
        scores |= {"low_dice" if coarse else "val_dice"} | job.scores
        validation = data.validation(scores, fit_plan.terms)
        rounds.append(Round(planned.name, fit_plan, data.source(coarse), validation))
    target = folder / stage.name
    on_epoch = None if job.on_epoch is None else partial(job.on_epoch, stage.name)
    histories = fit_rounds(
        fabric, network, rounds, target, plan.stop.epochs, job.resume, training.report, on_epoch
    )
    if fabric.global_rank == 0:
        steps = sum(history[-1].steps for history in histories.values() if history)
        metadata = {"recipe": system.name, "steps": steps, "until": stopping_text(plan)}
        path, weights = folder / f"{stage.name}.safetensors", network.state_dict()
        drop_dependents(system, stage.name, path, weights, training.fold, training.report)
        if isinstance(data, CaseData):
            events = events_folder(target / rounds[-1].name) if job.tensorboard else None
            watched = data.validation({"val_dice"}, ())
            show_slices(watched, data.names, network, fabric.device, target, path, events)
        save_weights(path, weights, metadata)
    fabric.barrier()
    return network


def _data(
    job: Job, stage: Stage, earlier: dict[str, nn.Module], cases: SplitCases, training: FoldTraining
) -> StageData:
    """Training and validation data of a stage."""
    cache, folder, fabric = job.prepared_cases, training.folder, training.fabric
    if isinstance(stage.sampler, Patches):
        slices = [read_slices(path) for path in job.slices]
        return patch_data(job.system, stage, cases, folder, cache, fabric, slices)

    def out_of_fold(before: Stage, learning: list[Case], home: Path) -> nn.Module:
        # Validated with the same cases as the network of all: those whose masks it will make must
        # not choose its weights.
        inner, alone = SplitCases(learning, cases.val), replace(job, on_epoch=None)
        return train_stage(alone, before, {}, inner, replace(training, folder=home))

    report = training.report
    train = prepared(cases.train, list(grid_specs(stage).values()), cache)
    watched = cases.val[: stage.optimisation.validation_cases]
    masks = (
        training_masks(job, stage, earlier, cases, train, folder, fabric, out_of_fold, report),
        earlier_masks(job, stage, earlier, watched, folder, fabric.device),
    )
    synthetic = partial(
        synthetic_with_masks, job, stage, earlier, folder=folder, device=fabric.device
    )
    seed = job.system.seed
    how = job.system.evaluation, report
    return case_data(stage, train, watched, cache, masks, synthetic, folder, seed, fabric, *how)
