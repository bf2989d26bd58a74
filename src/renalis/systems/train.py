"""Train a recipe: data, split, stages one after another, folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn

from renalis.dataset import Case, Split
from renalis.dataset.slices import read_slices
from renalis.errors import InputError
from renalis.networks import ResNet34UNet, build, load_imagenet_encoder
from renalis.prediction.runtimes.memory_reuse import keep_freed_memory
from renalis.preparation import GridSpec, PreparedCase
from renalis.recipes import network_fields as fields
from renalis.recipes.data_fields import KFold
from renalis.recipes.sample_fields import Patches
from renalis.recipes.system import Stage, System
from renalis.systems.batches import Further
from renalis.systems.check import check_system
from renalis.systems.data import grid_specs, keep_split, prepared
from renalis.systems.lengthening import drop_dependents, ends
from renalis.systems.masks import (
    Masks,
    out_of_fold_masks,
    predicted_masks,
    true_masks,
)
from renalis.systems.pack import pack_run
from renalis.systems.plans import planned_rounds, require_shares
from renalis.systems.run_folder import (
    alone_in,
    fold_folder,
    make_folder,
    once,
    refuse_another,
    store_recipe,
)
from renalis.systems.slice_pictures import show_slices
from renalis.systems.split_check import Sides, synthetic_cases
from renalis.systems.stage_data import CaseData, StageData, case_data, patch_data
from renalis.systems.starting_model import StartingModel, keep_starting_model, open_starting_model
from renalis.systems.synthetic_bodies import build_bodies
from renalis.systems.training_cases import keep_training_cases
from renalis.systems.training_data import TrainingData, check_training_data, open_training_data
from renalis.training.devices import Devices, devices_for_folds, devices_here, open_fabric
from renalis.training.folds import run_folds
from renalis.training.history import History
from renalis.training.journal import events_folder, require_tensorboard
from renalis.training.rounds import Round, fit_rounds
from renalis.training.state import save_weights
from renalis.training.stopping import needed_scores

__all__ = ["Job", "train_system"]

Report = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """What a training was asked for.

    Attributes
    ----------
    system : System
        The recipe, switches applied.
    data : Path
        The dataset.
    run : Path
        The run's folder.
    kind : str
        Kind of the dataset; ``auto`` finds out.
    split : Path or None
        A stored split to use in place of the recipe's own.
    cache : Path or None
        Folder of prepared cases; in the run's folder by default.
    resume : bool
        Go on where an earlier call stopped.
    workers : int
        Processes that prepare batches.
    scores : frozenset of str
        Validation scores to note besides those that the recipe needs.
    watch : callable, optional
        Told a stage's name, its round and the round's epochs after each of them and on resuming;
        what it raises ends the training of one fold.
    start_from : str, optional
        Name or file of a model whose weights are the first ones.
    slices : tuple of Path
        Files of single real slices to learn from.
    tensorboard : bool
        Also write event files for TensorBoard, next to each round's metrics.
    """

    system: System
    data: Path
    run: Path
    kind: str = "auto"
    split: Path | None = None
    cache: Path | None = None
    resume: bool = False
    workers: int = 0
    scores: frozenset[str] = frozenset()
    watch: Callable[[str, Round, History], None] | None = None
    start_from: str | None = None
    slices: tuple[Path, ...] = ()
    tensorboard: bool = False


def train_system(
    job: Job,
    folds: Sequence[int] | None = None,
    devices: Devices | None = None,
    report: Report = print,
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
        If several folds are wanted, each on more than one device.
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
    if len(folds) == 1:
        chosen = devices or devices_here(precision)[0]
        for stage in job.system.all_stages():
            require_shares(stage.optimisation, chosen.processes)
        fabric = open_fabric(replace(chosen, precision=precision))
        if fabric.device.type == "cpu":
            keep_freed_memory()
        once(fabric, partial(refuse_another, job.run, job.system, job.resume))
        training_data = open_training_data(job.system, job.data, job.kind)
        _check(job, training_data, folds)
        once(fabric, partial(store_recipe, job.run, job.system))
        once(fabric, partial(keep_starting_model, job.run, start))
        fold_report = report if fabric.global_rank == 0 else _silent
        train_fold(job, folds[0], fabric, fold_report, training_data, start)
        if job.system.coarse_to_fine:
            once(fabric, partial(_pack, job.run))
    else:
        places = devices_for_folds(devices or Devices(), precision)
        refuse_another(job.run, job.system, job.resume)
        _check(job, open_training_data(job.system, job.data, job.kind), folds)
        store_recipe(job.run, job.system)
        keep_starting_model(job.run, start)
        run_folds(partial(_quiet_fold, job), list(folds), places, report)
    if job.system.coarse_to_fine:
        return job.run / f"{job.system.name}.safetensors"
    return job.run


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
    make_folder(folder)
    with alone_in(folder, fabric):
        _train_fold(job, fold, split, training_data, _Place(folder, folder, fabric, report, start))


def _train_fold(
    job: Job, fold: int, split: Split, training_data: TrainingData, place: _Place
) -> None:
    system, folder, fabric, report = job.system, place.folder, place.fabric, place.report
    keep_split(folder / "split.json", split, fabric, training_data.name)
    report(
        f"{system.name}, fold {fold}: {len(split.train)} cases to learn from, {len(split.val)} to "
        f"validate with, {len(split.test)} kept for testing"
    )
    sides = training_data.sides(split)
    keep_training_cases(folder, [*sides.train, *sides.val], _cache(job), fabric)
    part = fabric.global_rank, fabric.world_size
    build_bodies(system, training_data.body_maps(split), folder, part, report)
    fabric.barrier()
    networks: dict[str, nn.Module] = {}
    for stage in system.all_stages():
        networks[stage.name] = _train_stage(job, stage, networks, sides, place)


def _check(job: Job, training_data: TrainingData, folds: Sequence[int]) -> None:
    """Refuse data that does not fit the recipe while nothing is stored that would have to go."""
    for fold in folds:
        check_training_data(
            job.system, training_data, training_data.split(job.system, fold, job.split)
        )


@dataclass(frozen=True, eq=False)
class _Place:
    """Where stages are trained: a folder and its processes; and from which weights.

    ``folder`` is the ``fold``'s own, or one in it of a network that makes masks out of fold.
    """

    folder: Path
    fold: Path
    fabric: Fabric
    report: Report
    start: StartingModel | None


def _quiet_fold(job: Job, fold: int, devices: Devices) -> None:
    def report(line: str) -> None:
        print(f"fold {fold}: {line}", flush=True)  # noqa: T201 - for whoever started the folds

    start = None if job.start_from is None else open_starting_model(job.start_from, job.system)
    train_fold(job, fold, open_fabric(devices), report, start=start)


def _pack(run: Path) -> None:
    pack_run(run)


def _silent(_: str) -> None:
    pass


def _train_stage(
    job: Job, stage: Stage, earlier: dict[str, nn.Module], sides: Sides, place: _Place
) -> nn.Module:
    system, plan, folder, fabric = job.system, stage.optimisation, place.folder, place.fabric
    data = _data(job, stage, earlier, sides, place)
    torch.manual_seed(system.seed)
    network = build(stage.network.config())
    if isinstance(stage.network, fields.ResNet34UNet) and stage.network.init_weights:
        assert isinstance(network, ResNet34UNet)
        load_imagenet_encoder(network.encoder, stage.network.init_weights)
    if place.start is not None:
        place.start.give(stage.name, network)
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
    watch = None if job.watch is None else partial(job.watch, stage.name)
    histories = fit_rounds(
        fabric, network, rounds, target, plan.stop.epochs, job.resume, place.report, watch
    )
    if fabric.global_rank == 0:
        steps = sum(history[-1].steps for history in histories.values() if history)
        about = {"recipe": system.name, "steps": steps, "until": ends(plan)}
        path, weights = folder / f"{stage.name}.safetensors", network.state_dict()
        drop_dependents(system, stage.name, path, weights, place.fold, place.report)
        if isinstance(data, CaseData):
            events = events_folder(target / rounds[-1].name) if job.tensorboard else None
            watched = data.validation({"val_dice"}, ())
            show_slices(watched, data.names, network, fabric.device, target, path, events)
        save_weights(path, weights, about)
    fabric.barrier()
    return network


def _data(
    job: Job, stage: Stage, earlier: dict[str, nn.Module], sides: Sides, place: _Place
) -> StageData:
    """What a stage learns from and is validated with."""
    cache, folder, fabric = _cache(job), place.folder, place.fabric
    if isinstance(stage.sampler, Patches):
        slices = [read_slices(path) for path in job.slices]
        return patch_data(job.system, stage, sides, folder, cache, fabric, slices)
    train = prepared(sides.train, list(grid_specs(stage).values()), cache)
    watched = sides.val[: stage.optimisation.validation_cases]
    masks = (
        _learning_regions(job, stage, earlier, sides, train, place),
        _regions(job, stage, earlier, watched, folder, fabric.device),
    )
    further = partial(_synthetic, job, stage, earlier, folder=folder, device=fabric.device)
    seed = job.system.seed
    how = job.system.evaluation, place.report
    return case_data(stage, train, watched, cache, masks, further, folder, seed, fabric, *how)


def _synthetic(
    job: Job,
    stage: Stage,
    earlier: dict[str, nn.Module],
    specs: dict[str, GridSpec],
    folder: Path,
    device: torch.device,
) -> Further | None:
    """Synthetic cases, with input masks that are made as those of the cases to learn from."""
    plan, mask = job.system.dataset.synthetic, stage.input_mask
    if plan is None:
        return None
    cases = synthetic_cases(job.system)
    ready = prepared(cases, list(specs.values()), _cache(job))
    if mask is not None and mask.training == "truth":
        regions: Masks | None = true_masks(stage, job.system.stage(mask.stage), ready)
    else:
        regions = _regions(job, stage, earlier, cases, folder, device)
    return Further(ready, plan.share, regions)


def _regions(
    job: Job,
    stage: Stage,
    earlier: dict[str, nn.Module],
    cases: Sequence[Case],
    folder: Path,
    device: torch.device,
) -> Masks | None:
    """Input masks of the cases as the earlier stage predicts them, for a stage that has them."""
    mask = stage.input_mask
    if mask is None:
        return None
    before, cache = job.system.stage(mask.stage), _cache(job)
    network = earlier[before.name]
    return list(predicted_masks(before, network, cases, mask.threshold, folder, cache, device))


def _learning_regions(
    job: Job,
    stage: Stage,
    earlier: dict[str, nn.Module],
    sides: Sides,
    own: Sequence[PreparedCase],
    place: _Place,
) -> Masks | None:
    """Input masks of the cases to learn from, made as the recipe says."""
    mask = stage.input_mask
    if mask is None or mask.training == "predicted":
        return _regions(job, stage, earlier, sides.train, place.folder, place.fabric.device)
    before = job.system.stage(mask.stage)
    if mask.training == "truth":
        return true_masks(stage, before, own)

    def train(cases: list[Case], home: Path) -> nn.Module:
        # Validated with the same cases as the network of all: those whose masks it will make must
        # not choose its weights.
        inner = Sides(cases, sides.val)
        return _train_stage(
            replace(job, watch=None), before, {}, inner, replace(place, folder=home)
        )

    home = place.folder / f"{before.name}.out_of_fold"
    seed, cache = job.system.seed, _cache(job)
    return out_of_fold_masks(
        before, mask, sides.train, seed, home, cache, place.fabric, train, place.report
    )


def _cache(job: Job) -> Path:
    return job.cache or job.run / "prepared"
