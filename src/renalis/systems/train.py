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
from numpy.typing import NDArray
from torch import nn

from renalis.dataset import Case, Split, load_split, open_dataset, save_splits
from renalis.errors import InputError
from renalis.io import whole_file
from renalis.networks import ResNet34UNet, build, load_imagenet_encoder
from renalis.preparation import PreparedCase
from renalis.recipes import network_fields as fields
from renalis.recipes import output_fields
from renalis.recipes.data_fields import KFold
from renalis.recipes.system import Phase, System
from renalis.systems.answering import answer
from renalis.systems.data import (
    chosen_cases,
    grid_specs,
    prepared,
    split_of,
    training_statistics,
    with_specs,
)
from renalis.systems.feeding import Feeding, feeding
from renalis.systems.translate import target_table
from renalis.systems.validation import PhaseValidation
from renalis.training.devices import Devices, devices_here, open_fabric
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
        If the data does not fit the recipe or the folder holds another training.
    OutputError
        If the folder cannot be written.
    """
    split = job.system.split
    if folds is None:
        folds = [split.fold if isinstance(split, KFold) else 0]
    if isinstance(split, KFold) and job.split is None and max(folds) >= split.k:
        raise InputError(f"the recipe has {split.k} folds, counted from 0; not {max(folds)}")
    _store_recipe(job)
    precision = job.system.optimisation.precision
    if len(folds) == 1:
        chosen = devices or devices_here(precision)[0]
        train_fold(job, folds[0], replace(chosen, precision=precision), report)
    else:
        places = devices_here(precision)
        if devices is not None and devices.accelerator == "cpu":
            places = [Devices("cpu", 1, 1, precision, devices.threads)]
        run_folds(partial(_quiet_fold, job), list(folds), places, report)
    return job.run


def fold_folder(run: Path, fold: int) -> Path:
    """Where a fold's weights are."""
    return run / f"fold_{fold}"


def load_statistics(folder: Path, phase: str) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation by grid that a fold's phase was trained with.

    Raises
    ------
    InputError
        If the plan is missing or damaged.
    """
    path = folder / f"{phase}.plan.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["statistics"]
        return {name: (float(a), float(b)) for name, (a, b) in content.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is missing or damaged ({error}); train the fold again") from error


def train_fold(job: Job, fold: int, devices: Devices, report: Report) -> None:
    """Train all phases of one fold; finished phases are not repeated when resuming."""
    system = job.system
    dataset = open_dataset(job.data, job.kind)
    cases = chosen_cases(dataset, system.dataset)
    if job.split is None:
        split = split_of(dataset, cases, system.split, fold)
    else:
        split = load_split(job.split, fold)
    folder = fold_folder(job.run, fold)
    folder.mkdir(parents=True, exist_ok=True)
    save_splits(folder / "split.json", [split], dataset=dataset.name)
    fabric = open_fabric(devices)
    report(
        f"{system.name}, fold {fold}: {len(split.train)} cases to learn from, {len(split.val)} to "
        f"validate with, {len(split.test)} kept for testing"
    )
    known = {case.id: case for case in cases}
    sides = _Sides(
        [known[i] for i in split.train if i in known],
        [known[i] for i in _watched(split) if i in known],
    )
    networks: dict[str, nn.Module] = {}
    for phase in system.all_phases():
        networks[phase.name] = _train_phase(job, phase, networks, sides, folder, fabric, report)


@dataclass(frozen=True)
class _Sides:
    """The cases of a split that training uses."""

    train: list[Case]
    val: list[Case]


def _watched(split: Split) -> tuple[str, ...]:
    """Cases to validate with: the validation side; of two-sided splits there is no other."""
    return split.val or split.test


def _quiet_fold(job: Job, fold: int, devices: Devices) -> None:
    train_fold(job, fold, devices, lambda line: print(f"fold {fold}: {line}", flush=True))  # noqa: T201


def _store_recipe(job: Job) -> None:
    path = job.run / "recipe.json"
    text = job.system.model_dump_json(indent=1)
    if path.exists():
        if not job.resume:
            raise InputError(f"{job.run} holds a training; add --resume or choose another folder")
        if path.read_text(encoding="utf-8") != text:
            raise InputError(
                f"{job.run} was started with another recipe; see `renalis recipe diff`, or choose "
                "another folder"
            )
        return
    job.run.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(text.encode())


def _train_phase(
    job: Job,
    phase: Phase,
    earlier: dict[str, nn.Module],
    sides: _Sides,
    folder: Path,
    fabric: Fabric,
    report: Report,
) -> nn.Module:
    system, plan = job.system, phase.optimisation
    cache = job.cache or job.run / "prepared"
    specs = grid_specs(phase)
    train = prepared(sides.train, list(specs.values()), cache)
    watched = sides.val[: plan.validation_cases]
    val = prepared(watched, list(specs.values()), cache)
    device = fabric.device
    regions = _regions(job, phase, earlier, sides.train, train, folder, device, learning=True)
    val_regions = _regions(job, phase, earlier, watched, val, folder, device, learning=False)
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
    synthetic = None
    if system.dataset.synthetic is not None:
        more = open_dataset(system.dataset.synthetic.folder).labelled
        share = system.dataset.synthetic.share
        synthetic = (prepared(more, list(specs.values()), cache), share)
    batch = feeding(
        phase, train, seed=system.seed, specs=specs, regions=regions, synthetic=synthetic
    )
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
    own: Sequence[PreparedCase],
    folder: Path,
    device: torch.device,
    learning: bool,
) -> list[NDArray[np.uint8]] | None:
    """Input masks of the cases, for a phase that has them; predicted when not learning."""
    mask = phase.input_mask
    if mask is None:
        return None
    before = job.system.phase(mask.phase)
    if learning and mask.training == "out_of_fold":
        raise InputError(
            f"phase {phase.name}: masks of other folds' networks need several folds, which this "
            "recipe does not have; choose predicted or truth"
        )
    if learning and mask.training == "truth":
        table = target_table(before.target)
        labels = [case.grid(phase.prediction.grid).label for case in own]
        return [(table[label] > 0).astype(np.uint8) for label in labels if label is not None]
    specs = grid_specs(before, load_statistics(folder, before.name))
    cache = job.cache or job.run / "prepared"
    network = earlier[before.name]
    result = []
    for case in prepared(cases, list(specs.values()), cache):
        said = answer(before, [network], case, specs, device=device)
        result.append((said.probability[1:].sum(0) > mask.threshold).astype(np.uint8))
    if isinstance(before.prediction, output_fields.TilePrediction):
        raise InputError(f"phase {before.name} predicts tiles, which cannot mask another phase")
    return result
