"""Train a recipe: data, split, folds, and in each fold its stages one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from renalis.cluster.connection import RayPlace
from renalis.dataset import Split
from renalis.dataset.slices import read_slices
from renalis.disk_failures import make_folder
from renalis.errors import InputError, UsageError
from renalis.prediction.runtimes.memory_reuse import keep_freed_memory
from renalis.preparation import set_limit
from renalis.recipes.data_fields import KFold
from renalis.systems.pack import pack_run
from renalis.systems.ray_folds import train_on_ray
from renalis.systems.recipe_cases import keep_split
from renalis.systems.recipe_check import check_system
from renalis.systems.run_folder import (
    check_recipe,
    fold_folder,
    locked_folder,
    on_first_process,
    refuse_other_training,
    store_recipe,
)
from renalis.systems.starting_model import StartingModel, keep_starting_model, open_starting_model
from renalis.systems.synthetic_bodies import build_bodies
from renalis.systems.train_stage import FoldTraining, train_stage
from renalis.systems.training_cases import keep_training_cases
from renalis.systems.training_data import TrainingData, check_training_data, open_training_data
from renalis.systems.training_job import Job
from renalis.systems.training_plans import require_shares
from renalis.training.devices import Devices, devices_for_folds, devices_here, open_fabric
from renalis.training.folds import run_folds
from renalis.training.metrics_log import require_tensorboard

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["train_system"]

Report = Callable[[str], None]


def train_system(
    job: Job,
    folds: Sequence[int] | None = None,
    devices: Devices | None = None,
    report: Report = print,
    cluster: RayPlace | None = None,
) -> Path:
    """Train a recipe on one fold or on several.

    Parameters
    ----------
    job : Job
        Recipe, data and folder.
    folds : sequence of int, optional
        The recipe's own fold when not given. Several are trained over the devices there are.
    devices : Devices, optional
        For one fold; what is here by default. Several folds are spread over the GPUs there are,
        or stay on the CPU if that is asked for.
    report : callable
        Takes progress lines.
    cluster : RayPlace, optional
        Train each fold on a node of a Ray cluster that shares the run's folder.

    Returns
    -------
    Path
        The run's folder; of a recipe that predicts coarse to fine, the model file in it.

    Raises
    ------
    InputError
        If the data does not fit the recipe, the folder holds another training, or there is no
        such device.
    UsageError
        If several folds are wanted, each on more than one device, or there is no cluster.
    OutputError
        If the folder cannot be written.
    """
    check_system(job.system)
    if job.tensorboard:
        require_tensorboard()
    if job.system.learns_from_slices and not job.slices:
        raise InputError(f"{job.system.name} learns from single slices too; give them by --slices")
    split = job.system.split
    if folds is None:
        folds = [split.fold if isinstance(split, KFold) else 0]
    if isinstance(split, KFold) and job.split is None and max(folds) >= split.k:
        raise InputError(f"the recipe has {split.k} folds, counted from 0; not {max(folds)}")
    precision = job.system.optimisation.precision
    start = None if job.start_from is None else open_starting_model(job.start_from, job.system)
    if len(folds) == 1 and cluster is None:
        chosen = devices or devices_here(precision)[0]
        for stage in job.system.all_stages():
            require_shares(stage.optimisation, chosen.processes)
        fabric = open_fabric(replace(chosen, precision=precision))
        if fabric.device.type == "cpu":
            keep_freed_memory()
        on_first_process(fabric, partial(refuse_other_training, job.run, job.system, job.resume))
        there = job.run.exists()
        training_data = open_training_data(job.system, job.data, job.kind)
        _check(job, training_data, folds)
        on_first_process(fabric, partial(store_recipe, job.run, job.system, there))
        on_first_process(fabric, partial(keep_starting_model, job.run, start))
        on_first_process(fabric, partial(_limit_cache, job))
        fold_report = report if fabric.global_rank == 0 else _silent
        train_fold(job, folds[0], fabric, fold_report, training_data, start)
        if job.system.coarse_to_fine:
            on_first_process(fabric, partial(pack_run, job.run))
    else:
        _train_folds(job, folds, devices or Devices(), report, cluster, start)
    if job.system.coarse_to_fine:
        return job.run / f"{job.system.name}.safetensors"
    return job.run


def _train_folds(
    job: Job,
    folds: Sequence[int],
    devices: Devices,
    report: Report,
    cluster: RayPlace | None,
    start: StartingModel | None,
) -> None:
    """Train folds in processes of their own."""
    precision = job.system.optimisation.precision
    if cluster is not None and devices.processes != 1:
        raise UsageError(
            "on a cluster each fold is trained by one process; leave --devices and --nodes out"
        )
    places = devices_for_folds(devices, precision) if cluster is None else []
    refuse_other_training(job.run, job.system, job.resume)
    there = job.run.exists()
    _check(job, open_training_data(job.system, job.data, job.kind), folds)
    store_recipe(job.run, job.system, there)
    keep_starting_model(job.run, start)
    _limit_cache(job)
    if cluster is not None:
        train_on_ray(job, folds, replace(devices, precision=precision), cluster, report)
    else:
        run_folds(partial(_quiet_fold, job), list(folds), places, report)
    if job.system.coarse_to_fine and len(folds) == 1:
        pack_run(job.run)


def train_fold(
    job: Job,
    fold: int,
    fabric: Fabric,
    report: Report,
    training_data: TrainingData | None = None,
    start: StartingModel | None = None,
) -> None:
    """Train all stages of one fold; finished stages are not repeated when resuming."""
    system = job.system
    training_data = training_data or open_training_data(system, job.data, job.kind)
    split = training_data.split(system, fold, job.split)
    folder = fold_folder(job.run, fold)
    check_recipe(job.run)
    make_folder(folder)
    with locked_folder(folder, fabric):
        _train_fold(
            job, fold, split, training_data, FoldTraining(folder, folder, fabric, report, start)
        )


def _train_fold(
    job: Job, fold: int, split: Split, training_data: TrainingData, training: FoldTraining
) -> None:
    system, folder, fabric, report = job.system, training.folder, training.fabric, training.report
    keep_split(folder / "split.json", split, fabric, training_data.name)
    report(
        f"{system.name}, fold {fold}: {len(split.train)} training, {len(split.val)} "
        f"validation and {len(split.test)} test cases"
    )
    cases = training_data.split_cases(split)
    keep_training_cases(folder, [*cases.train, *cases.val], job.prepared_cases, fabric)
    part = fabric.global_rank, fabric.world_size
    build_bodies(system, training_data.body_maps(split), folder, part, report)
    fabric.barrier()
    networks: dict[str, nn.Module] = {}
    for stage in system.all_stages():
        networks[stage.name] = train_stage(job, stage, networks, cases, training)


def _check(job: Job, training_data: TrainingData, folds: Sequence[int]) -> None:
    """Refuse data that does not fit the recipe while nothing is stored that would have to go."""
    slices = [read_slices(path) for path in job.slices]
    for fold in folds:
        split = training_data.split(job.system, fold, job.split)
        check_training_data(job.system, training_data, split, slices)


def _quiet_fold(job: Job, fold: int, devices: Devices) -> None:
    def report(line: str) -> None:
        print(f"fold {fold}: {line}", flush=True)  # noqa: T201 - for whoever started the folds

    start = None if job.start_from is None else open_starting_model(job.start_from, job.system)
    train_fold(job, fold, open_fabric(devices), report, start=start)


def _limit_cache(job: Job) -> None:
    if job.cache_bytes is not None:
        set_limit(job.prepared_cases, job.cache_bytes)


def _silent(_: str) -> None:
    pass
