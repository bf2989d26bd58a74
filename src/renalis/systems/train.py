"""Train a published system: cases, split, phases one after another, folds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from renalis.dataset import Case, Dataset, open_dataset
from renalis.errors import InputError
from renalis.io import whole_file
from renalis.networks import ResNet34UNet, build, load_imagenet_encoder
from renalis.preparation import GridSpec, PreparedCase
from renalis.recipes import network_fields as fields
from renalis.recipes.data_fields import KFold
from renalis.recipes.system import Phase, System
from renalis.systems.check import check_system
from renalis.systems.data import (
    chosen_cases,
    grid_specs,
    keep_split,
    load_statistics,
    prepared,
    training_statistics,
    with_specs,
)
from renalis.systems.feeding import Feeding, Further, feeding
from renalis.systems.masks import (
    Masks,
    out_of_fold_masks,
    predicted_masks,
    true_masks,
)
from renalis.systems.run_folder import make_folder, once, refuse_another, store_recipe
from renalis.systems.sides import Sides, require_masks, sides_of, split_for, synthetic_cases
from renalis.systems.validation import PhaseValidation
from renalis.training.devices import Devices, devices_for_folds, devices_here, open_fabric
from renalis.training.feed import Arrays, BatchSource
from renalis.training.folds import run_folds
from renalis.training.from_recipe import planned_stages
from renalis.training.history import History
from renalis.training.mining import Mined
from renalis.training.stages import Stage, fit_stages
from renalis.training.state import save_weights
from renalis.training.stopping import needed_scores

__all__ = ["Job", "fold_folder", "load_statistics", "train_system"]

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
        Told a phase's name, its stage and the stage's epochs after each of them and on resuming;
        what it raises ends the training of one fold.
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
    watch: Callable[[str, Stage, History], None] | None = None


def train_system(
    job: Job,
    folds: Sequence[int] | None = None,
    devices: Devices | None = None,
    report: Report = print,
) -> Path:
    """Train a system on one fold or on several.

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
        The run's folder.

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
    split = job.system.split
    if folds is None:
        folds = [split.fold if isinstance(split, KFold) else 0]
    if isinstance(split, KFold) and job.split is None and max(folds) >= split.k:
        raise InputError(f"the recipe has {split.k} folds, counted from 0; not {max(folds)}")
    precision = job.system.optimisation.precision
    if len(folds) == 1:
        chosen = devices or devices_here(precision)[0]
        fabric = open_fabric(replace(chosen, precision=precision))
        once(fabric, partial(refuse_another, job.run, job.system, job.resume))
        dataset, cases = _cases(job)
        _check(job, dataset, cases, folds)
        once(fabric, partial(store_recipe, job.run, job.system))
        fold_report = report if fabric.global_rank == 0 else _silent
        train_fold(job, folds[0], fabric, fold_report, (dataset, cases))
    else:
        places = devices_for_folds(devices or Devices(), precision)
        refuse_another(job.run, job.system, job.resume)
        _check(job, *_cases(job), folds)
        store_recipe(job.run, job.system)
        run_folds(partial(_quiet_fold, job), list(folds), places, report)
    return job.run


def fold_folder(run: Path, fold: int) -> Path:
    """Where a fold's weights are."""
    return run / f"fold_{fold}"


def train_fold(
    job: Job,
    fold: int,
    fabric: Fabric,
    report: Report,
    opened: tuple[Dataset, Sequence[Case]] | None = None,
) -> None:
    """Train all phases of one fold; finished phases are not repeated when resuming."""
    system = job.system
    dataset, cases = opened or _cases(job)
    split = split_for(dataset, cases, system, fold, job.split)
    folder = fold_folder(job.run, fold)
    make_folder(folder)
    keep_split(folder / "split.json", split, fabric, dataset.name)
    report(
        f"{system.name}, fold {fold}: {len(split.train)} cases to learn from, {len(split.val)} to "
        f"validate with, {len(split.test)} kept for testing"
    )
    sides = sides_of(split, cases)
    networks: dict[str, nn.Module] = {}
    for phase in system.all_phases():
        networks[phase.name] = _train_phase(job, phase, networks, sides, folder, fabric, report)


def _cases(job: Job) -> tuple[Dataset, Sequence[Case]]:
    """The dataset, and those of its cases that the recipe uses."""
    dataset = open_dataset(job.data, job.kind)
    return dataset, chosen_cases(dataset, job.system.dataset)


def _check(job: Job, dataset: Dataset, cases: Sequence[Case], folds: Sequence[int]) -> None:
    """Refuse data that does not fit the recipe while nothing is stored that would have to go."""
    synthetic_cases(job.system)
    for fold in folds:
        split = split_for(dataset, cases, job.system, fold, job.split)
        require_masks(job.system, sides_of(split, cases))


def _quiet_fold(job: Job, fold: int, devices: Devices) -> None:
    def report(line: str) -> None:
        print(f"fold {fold}: {line}", flush=True)  # noqa: T201 - for whoever started the folds

    train_fold(job, fold, open_fabric(devices), report)


def _silent(_: str) -> None:
    pass


def _train_phase(
    job: Job,
    phase: Phase,
    earlier: dict[str, nn.Module],
    sides: Sides,
    folder: Path,
    fabric: Fabric,
    report: Report,
) -> nn.Module:
    system, plan = job.system, phase.optimisation
    cache = _cache(job)
    specs = grid_specs(phase)
    train = prepared(sides.train, list(specs.values()), cache)
    watched = sides.val[: plan.validation_cases]
    val = prepared(watched, list(specs.values()), cache)
    regions = _learning_regions(job, phase, earlier, sides, train, folder, fabric, report)
    val_regions = _regions(job, phase, earlier, watched, folder, fabric.device)
    statistics = training_statistics(phase, train, regions)
    if fabric.global_rank == 0:
        about = {"phase": phase.name, "statistics": statistics}
        with whole_file(folder / f"{phase.name}.plan.json") as file:
            file.write(json.dumps(about, indent=1).encode())
    fabric.barrier()
    specs = grid_specs(phase, statistics)
    train, val = with_specs(train, specs), with_specs(val, specs)
    torch.manual_seed(system.seed)
    network = build(phase.network.config())
    if isinstance(phase.network, fields.ResNet34UNet) and phase.network.init_weights:
        assert isinstance(network, ResNet34UNet)
        load_imagenet_encoder(network.encoder, phase.network.init_weights)
    more = _synthetic(job, phase, earlier, specs, folder, fabric.device)
    batch = feeding(phase, train, seed=system.seed, specs=specs, regions=regions, synthetic=more)
    still: Feeding | None = None
    stages = []
    for planned in planned_stages(
        plan, phase.loss, 1, system.seed, fabric.world_size, workers=job.workers
    ):
        coarse = "seg" not in planned.outputs
        title = f"{system.name}, {phase.name}, {planned.name}"
        fit_plan = replace(planned.plan, batches=batch.batches, name=title)
        scores = needed_scores(fit_plan.stop, fit_plan.keep)
        scores |= {"low_dice" if coarse else "val_dice"} | job.scores
        if "val_loss" in scores and still is None:
            still = feeding(phase, val, seed=0, specs=specs, regions=val_regions, augment=False)
        stages.append(
            Stage(
                planned.name,
                fit_plan,
                _coarse_only(batch) if coarse else batch.source,
                PhaseValidation(phase, val, specs, val_regions, scores, still, fit_plan.terms),
            )
        )
    target = folder / phase.name
    watch = None if job.watch is None else partial(job.watch, phase.name)
    fit_stages(fabric, network, stages, target, plan.stop.epochs, job.resume, report, watch)
    if fabric.global_rank == 0:
        save_weights(folder / f"{phase.name}.safetensors", network, {"recipe": system.name})
    fabric.barrier()
    return network


def _synthetic(
    job: Job,
    phase: Phase,
    earlier: dict[str, nn.Module],
    specs: dict[str, GridSpec],
    folder: Path,
    device: torch.device,
) -> Further | None:
    """Synthetic cases, with input masks that are made as those of the cases to learn from."""
    plan, mask = job.system.dataset.synthetic, phase.input_mask
    if plan is None:
        return None
    cases = synthetic_cases(job.system)
    ready = prepared(cases, list(specs.values()), _cache(job))
    if mask is not None and mask.training == "truth":
        regions: Masks | None = true_masks(phase, job.system.phase(mask.phase), ready)
    else:
        regions = _regions(job, phase, earlier, cases, folder, device)
    return Further(ready, plan.share, regions)


def _coarse_only(batch: Feeding) -> BatchSource | Mined:
    if batch.hard is None:
        return _CoarseOnly(batch)
    return Mined(lambda losses: _CoarseOnly(batch.after(losses)))


@dataclass(frozen=True, eq=False)
class _CoarseOnly:
    """Micro-batches without the fine patch: the network then computes its coarse half alone."""

    whole: BatchSource

    def __call__(self, epoch: int, index: int, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        inputs, targets = self.whole(epoch, index, rng)
        return {"low_image": inputs["low_image"]}, targets


def _regions(
    job: Job,
    phase: Phase,
    earlier: dict[str, nn.Module],
    cases: Sequence[Case],
    folder: Path,
    device: torch.device,
) -> Masks | None:
    """Input masks of the cases as the earlier phase predicts them, for a phase that has them."""
    mask = phase.input_mask
    if mask is None:
        return None
    before, cache = job.system.phase(mask.phase), _cache(job)
    network = earlier[before.name]
    return list(predicted_masks(before, network, cases, mask.threshold, folder, cache, device))


def _learning_regions(
    job: Job,
    phase: Phase,
    earlier: dict[str, nn.Module],
    sides: Sides,
    own: Sequence[PreparedCase],
    folder: Path,
    fabric: Fabric,
    report: Report,
) -> Masks | None:
    """Input masks of the cases to learn from, made as the recipe says."""
    mask = phase.input_mask
    if mask is None or mask.training == "predicted":
        return _regions(job, phase, earlier, sides.train, folder, fabric.device)
    before = job.system.phase(mask.phase)
    if mask.training == "truth":
        return true_masks(phase, before, own)

    def train(cases: list[Case], home: Path) -> nn.Module:
        # Validated with the same cases as the network of all: those whose masks it will make must
        # not choose its weights.
        inner = Sides(cases, sides.val)
        return _train_phase(replace(job, watch=None), before, {}, inner, home, fabric, report)

    home = folder / f"{before.name}.out_of_fold"
    seed, cache = job.system.seed, _cache(job)
    return out_of_fold_masks(before, mask, sides.train, seed, home, cache, fabric, train, report)


def _cache(job: Job) -> Path:
    return job.cache or job.run / "prepared"
