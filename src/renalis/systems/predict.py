"""Segment a scan with a trained run: all folds, all phases, the system's own clean-up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from renalis.errors import InputError
from renalis.networks import build
from renalis.postprocessing.beside import Beside
from renalis.postprocessing.steps import make_step, run_steps
from renalis.postprocessing.tidy import Tidied
from renalis.prediction.systems.ensemble import Member, average
from renalis.prediction.systems.restore import OnScan, restore_labels
from renalis.preparation import GridSpec
from renalis.recipes import stored_system
from renalis.recipes.system import Phase, System
from renalis.systems.answering import Answer, Low, answer, decided
from renalis.systems.data import grid_specs, load_statistics, of_scan
from renalis.systems.gate import gate_notes, rules_in_force
from renalis.systems.run_folder import fold_folder
from renalis.training.state import load_weights
from renalis.volume import Kind, Volume

__all__ = [
    "Fold",
    "Run",
    "SystemPrediction",
    "answers_of",
    "member",
    "open_run",
    "predict_scan",
]


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold's networks and grids by phase."""

    networks: dict[str, nn.Module]
    specs: dict[str, dict[str, GridSpec]]


@dataclass(frozen=True, eq=False)
class Run:
    """A trained system, ready to predict.

    ``numbers`` are those of its folds, ``licence`` what a model file says, if it comes from one,
    ``unfinished`` the folds in its folder that were left out because their training has not ended.
    """

    system: System
    folds: tuple[Fold, ...]
    device: torch.device
    half: bool = False
    numbers: tuple[int, ...] = (0,)
    licence: str | None = None
    unfinished: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class SystemPrediction:
    """What a system says about a scan.

    Attributes
    ----------
    raw : Volume
        Labels as decided, in the dataset's convention, on the scan's own grid.
    tidied : Tidied
        After the system's own clean-up, and what each step changed.
    classes : OnScan
        Class probabilities of this system alone, background first, on its grid.
    foreground : Volume or None
        uint8 0 to 255 on the scan's grid: what an ensemble takes for anything but background.
    notes : tuple of str
        What a reader of the result should know.
    """

    raw: Volume
    tidied: Tidied
    classes: OnScan
    foreground: Volume | None = None
    notes: tuple[str, ...] = ()


def open_run(
    run: Path, folds: Sequence[int] | None = None, device: str = "cpu", half: bool = False
) -> Run:
    """Load a run's networks.

    Parameters
    ----------
    run : Path
        Folder of `renalis.systems.train.train_system`.
    folds : sequence of int, optional
        All that are trained by default; more than one are averaged.
    device : str
        Where to compute.
    half : bool
        In reduced precision.

    Raises
    ------
    InputError
        If the folder is not a run, none of its folds is finished, or one that is asked for is not.
    """
    system = stored_system(run)
    if system.coarse_to_fine:
        raise InputError(
            f"{run} predicts coarse to fine; give the model file in it, {system.name}.safetensors, "
            "which is of no ensemble"
        )
    unfinished: list[int] = []
    if folds is None:
        there = _numbers(run)
        folds = [number for number in there if _finished(system, run, number)]
        unfinished = [number for number in there if number not in folds]
        if not system.prediction.ensemble_folds:
            folds = folds[:1]
    if not folds:
        rest = "; resume its training" if unfinished else ""
        raise InputError(f"{run} holds no trained fold{rest}")
    opened = tuple(_open(system, run, fold) for fold in folds)
    place = torch.device(device)
    return Run(system, opened, place, half, tuple(folds), unfinished=tuple(unfinished))


def _numbers(run: Path) -> list[int]:
    """Of the folds in a run's folder; copies that somebody keeps beside them are none."""
    found = (
        re.fullmatch(r"fold_(0|[1-9][0-9]*)", path.name) for path in run.iterdir() if path.is_dir()
    )
    return sorted(int(name[1]) for name in found if name)


def _finished(system: System, run: Path, fold: int) -> bool:
    folder = fold_folder(run, fold)
    return all((folder / f"{phase.name}.safetensors").exists() for phase in system.all_phases())


def _open(system: System, run: Path, fold: int) -> Fold:
    folder = fold_folder(run, fold)
    networks: dict[str, nn.Module] = {}
    specs: dict[str, dict[str, GridSpec]] = {}
    for phase in system.all_phases():
        path = folder / f"{phase.name}.safetensors"
        if not path.exists():
            raise InputError(f"fold {fold} in {run} is not finished; resume its training")
        network = build(phase.network.config())
        load_weights(path, network)
        networks[phase.name] = network.eval()
        specs[phase.name] = grid_specs(phase, load_statistics(folder, phase.name))
    return Fold(networks, specs)


def predict_scan(
    run: Run, scan: Volume, others: Sequence[Member] = (), weights: Sequence[float] | None = None
) -> SystemPrediction:
    """Segment a scan, alone or together with what other programs say about it.

    Parameters
    ----------
    run : Run
        From `open_run`.
    scan : Volume
        HU, any orientation.
    others : sequence of Member
        Further members of the ensemble, such as nnU-Net's probabilities
        (`renalis.prediction.systems.ensemble.open_member`), with this system's classes.
    weights : sequence of float, optional
        Of this system and of the others; equal by default.
    """
    answers = answers_of(run, scan)
    phases = run.system.all_phases()
    last = phases[-1]
    own = member(run, answers, scan)
    foreground = None
    if others or last.prediction.restore == "prob_linear":
        values = _values(phases)

        def decide(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
            if len(phases) == 1:
                return decided(last, probability)
            return np.asarray(values[probability.argmax(0)])

        together = average([own, *others], scan, weights=weights, decide=decide)
        raw = together.labels
        foreground = together.foreground if others else None
    else:
        grid = np.zeros(answers[last.name].probability.shape[1:], np.uint8)
        for phase in phases:
            labels = decided(phase, answers[phase.name].probability)
            grid[labels > 0] = labels[labels > 0]
        raw = restore_labels(grid, answers[last.name].affine, scan)
    notes = gate_notes(run.system, answers[last.name])
    return SystemPrediction(raw, _tidied(run, raw, scan, answers), own, foreground, notes)


def answers_of(run: Run, scan: Volume) -> dict[str, Answer]:
    """Every phase's mean answer over the folds."""
    result: dict[str, Answer] = {}
    for phase in run.system.all_phases():
        per_fold = []
        shared = all(fold.specs[phase.name] == run.folds[0].specs[phase.name] for fold in run.folds)
        groups = [run.folds] if shared else [(fold,) for fold in run.folds]
        for group in groups:
            specs = group[0].specs[phase.name]
            case = of_scan(scan, list(specs.values()))
            region = None
            if phase.input_mask is not None:
                before = result[phase.input_mask.phase].probability
                region = before[1:].sum(0) > phase.input_mask.threshold
            networks = [fold.networks[phase.name] for fold in group]
            per_fold.append(
                answer(
                    phase, networks, case, specs, region=region, device=run.device, half=run.half
                )
            )
        result[phase.name] = _mean(per_fold)
    return result


def _mean(answers: Sequence[Answer]) -> Answer:
    """Of folds whose grids differ in intensities alone."""
    first = answers[0]
    probability = _averaged([one.probability for one in answers])
    lows = [one.low for one in answers if one.low is not None]
    low = Low(_averaged([one.probability for one in lows]), lows[0].affine) if lows else None
    # What any fold's coarse half let through is in the mean.
    opened = [one for one in answers if one.gate == "open"]
    return Answer(probability, first.affine, low, (opened or answers)[0].gate)


def _averaged(arrays: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    total = sum(arrays[1:], arrays[0])
    return np.asarray(total / np.float32(len(arrays)), np.float32)


def member(run: Run, answers: dict[str, Answer], scan: Volume) -> OnScan:
    """The system as a member of an ensemble: probabilities of background and its label values."""
    phases = run.system.all_phases()
    last = answers[phases[-1].name]
    if len(phases) == 1:
        return OnScan(last.probability, last.affine, scan)
    # Later phases look inside earlier ones: what they leave is shared as the earlier ones say.
    classes = answers[phases[0].name].probability
    for phase in phases[1:]:
        inside = answers[phase.name].probability[1:]
        rest = 1 - inside.sum(0)
        classes = np.concatenate([classes * rest, inside])
    return OnScan(classes, last.affine, scan)


def _values(phases: Sequence[Phase]) -> NDArray[np.uint8]:
    """Label value of each class of `member`."""
    return np.array([0, *(value for phase in phases for value in phase.written)], np.uint8)


def _tidied(run: Run, raw: Volume, scan: Volume, answers: dict[str, Answer]) -> Tidied:
    phases = run.system.all_phases()
    last = answers[phases[-1].name]
    steps = []
    for rule in rules_in_force(run.system, last):
        numbers = rule.model_dump()
        steps.append(make_step(numbers.pop("rule"), **numbers))
    rois = {}
    for phase in phases[:-1]:
        said = answers[phase.name]
        grid = (said.probability[1:].sum(0) > phase.prediction.threshold).astype(np.uint8)
        rois[phase.name] = restore_labels(grid, said.affine, scan)
    low = fine = None
    if last.low is not None:
        low = Volume(last.low.probability, last.low.affine, Kind.PROBABILITY)
        fine = Volume(last.probability[0], last.affine, Kind.PROBABILITY)
    lesions = tuple(sorted({2, *(v for v in _values(phases).tolist() if v > 2)}))
    return run_steps(raw, steps, Beside(image=scan, low=low, fine=fine, rois=rois, lesions=lesions))
