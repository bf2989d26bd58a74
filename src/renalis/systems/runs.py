"""A trained system opened: from the folder of its training, or from the file it was packed into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from renalis.errors import InputError, UsageError
from renalis.known_cases import KnownModel
from renalis.model import SystemModel, load_system_model
from renalis.model_header import FoldFacts, KnownCases, SystemHeader
from renalis.networks import build, with_weights
from renalis.plugins import require
from renalis.preparation import GridSpec
from renalis.recipes import stored_system
from renalis.recipes.reading import read_system
from renalis.recipes.system import System
from renalis.systems.recipe_cases import grid_specs, load_statistics
from renalis.systems.run_folder import fold_folder, fold_numbers, is_finished
from renalis.systems.training_cases import run_cases_known
from renalis.training.checkpoint import load_weights

__all__ = ["Fold", "Run", "check_terms", "open_run", "packed_system"]


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold's networks and grids by stage."""

    networks: dict[str, nn.Module]
    specs: dict[str, dict[str, GridSpec]]


@dataclass(frozen=True, eq=False)
class Run:
    """A trained system, ready to predict.

    ``numbers`` are those of its folds, ``licence`` what a model file says, if it comes from one,
    ``unfinished`` the folds in its folder that were left out because their training has not ended,
    ``cases`` those of its training.
    """

    system: System
    folds: tuple[Fold, ...]
    device: torch.device
    numbers: tuple[int, ...] = (0,)
    licence: str | None = None
    unfinished: tuple[int, ...] = ()
    cases: KnownCases | None = None

    @property
    def known(self) -> KnownModel:
        """What is known about its training."""
        return KnownModel(self.system.name, self.cases, self.numbers)


def open_run(path: Path, folds: Sequence[int] | None = None, device: str = "cpu") -> Run:
    """Load a run's networks.

    Parameters
    ----------
    path : Path
        Folder of `renalis.systems.train.train_system`, or model file of
        `renalis.systems.pack.pack_run`.
    folds : sequence of int, optional
        All that are trained by default; more than one are averaged.
    device : str
        Where to compute.

    Raises
    ------
    InputError
        If the folder is not a run, none of its folds is finished, or one that is asked for is not;
        if the file is no packed system, has no such fold, or needs a package that is not installed.
    """
    return (_from_file if path.is_file() else _from_folder)(path, folds, torch.device(device))


def _from_folder(run: Path, folds: Sequence[int] | None, device: torch.device) -> Run:
    system = stored_system(run)
    if system.coarse_to_fine:
        raise InputError(
            f"{run} predicts coarse to fine; give the model file in it, {system.name}.safetensors, "
            "which is of no ensemble"
        )
    unfinished: list[int] = []
    if folds is None:
        there = fold_numbers(run)
        folds = [number for number in there if is_finished(system, run, number)]
        unfinished = [number for number in there if number not in folds]
        if not system.prediction.ensemble_folds:
            folds = folds[:1]
    if not folds:
        rest = "; resume its training" if unfinished else ""
        raise InputError(f"{run} holds no trained fold{rest}")
    opened = tuple(_open(system, run, fold) for fold in folds)
    cases = run_cases_known(run, folds)
    return Run(system, opened, device, tuple(folds), unfinished=tuple(unfinished), cases=cases)


def _open(system: System, run: Path, fold: int) -> Fold:
    folder = fold_folder(run, fold)
    if not folder.is_dir():
        there = ", ".join(map(str, fold_numbers(run))) or "none"
        raise InputError(f"{run} holds no fold {fold}; it has {there}")
    networks: dict[str, nn.Module] = {}
    specs: dict[str, dict[str, GridSpec]] = {}
    for stage in system.all_stages():
        path = folder / f"{stage.name}.safetensors"
        if not path.exists():
            raise InputError(f"fold {fold} in {run} is not finished; resume its training")
        network = build(stage.network.config())
        load_weights(path, network)
        networks[stage.name] = network.eval()
        specs[stage.name] = grid_specs(stage, load_statistics(folder, stage.name))
    return Fold(networks, specs)


def _from_file(path: Path, folds: Sequence[int] | None, device: torch.device) -> Run:
    model = load_system_model(path)
    header = model.header
    system = packed_system(path, header)
    there = {fold.number: fold for fold in header.folds}
    numbers = tuple(there) if folds is None else tuple(folds)
    missing = [number for number in numbers if number not in there]
    if missing:
        raise InputError(f"{path} holds no fold {missing[0]}; it has {', '.join(map(str, there))}")
    opened = tuple(_fold(system, model, there[number]) for number in numbers)
    return Run(system, opened, device, numbers, header.licence, cases=header.cases)


def _fold(system: System, model: SystemModel, facts: FoldFacts) -> Fold:
    networks: dict[str, nn.Module] = {}
    specs = {}
    for stage in system.all_stages():
        prefix = f"fold_{facts.number}.{stage.name}."
        weights = {
            name.removeprefix(prefix): torch.from_numpy(np.array(array))
            for name, array in model.tensors.items()
            if name.startswith(prefix)
        }
        try:
            networks[stage.name] = with_weights(stage.network.config(), weights)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise InputError(
                f"{model.path} holds weights that do not fit its {stage.name} network "
                f"({str(error).splitlines()[0]}); get the model file again"
            ) from error
        specs[stage.name] = grid_specs(stage, facts.statistics.get(stage.name, {}))
    return Fold(networks, specs)


def packed_system(path: Path, header: SystemHeader) -> System:
    """The recipe in a model file's header.

    Raises
    ------
    InputError
        If this version cannot read it, or a package that it needs is not here.
    """
    require(header.needs, path)
    try:
        return read_system(header.recipe)
    except ValidationError as error:
        raise InputError(
            f"{path} holds a recipe of another version of renalis, which this one cannot read; use "
            "that version, or train again and pack the run"
        ) from error


def check_terms(path: Path) -> None:
    """Refuse a run, or what another program wrote, if commercial use is not known to be allowed.

    Raises
    ------
    InputError
        If the model file's licence does not allow it.
    UsageError
        If it is no model file.
    """
    if path.suffix != ".safetensors":
        raise UsageError(
            f"--require-commercial: the terms of {path} are those of its data; renalis knows none"
        )
    load_system_model(path, require_commercial=True)
