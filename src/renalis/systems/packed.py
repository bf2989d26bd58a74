"""A published system in one model file: packed from a run, and opened again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue, ValidationError
from torch import nn

from renalis.dataset import load_split
from renalis.errors import InputError, UsageError
from renalis.model import SystemModel, load_system_model, save_system_model
from renalis.model_header import FoldFacts, SystemHeader
from renalis.networks import with_weights
from renalis.plugins import require
from renalis.recipes import needs_of, stored_system
from renalis.recipes.system import System
from renalis.systems.data import grid_specs, load_statistics
from renalis.systems.predict import Fold, Run, open_run
from renalis.systems.run_folder import fold_folder
from renalis.systems.training_cases import unnamed

__all__ = [
    "Terms",
    "check_terms",
    "open_any_run",
    "open_packed",
    "pack_system",
    "packed_system",
]


@dataclass(frozen=True)
class Terms:
    """Under which terms the weights are; those of the data that they were trained on hold."""

    licence: str = "LicenseRef-terms-of-the-training-data"
    commercial_use: bool = False
    data_credit: str = "Scans and label maps of whoever trained it; their terms hold."


def pack_system(
    run: Path,
    terms: Terms | None = None,
    scores: dict[str, Any] | None = None,
    history: str = "",
    version: str = "1",
    anonymous: bool = False,
) -> Path:
    """Write all trained folds of a run into one model file, to the bit as they are.

    Parameters
    ----------
    run : Path
        Folder of a training of a published system.
    terms : Terms, optional
        Of the weights.
    scores : dict, optional
        What was measured, and on what.
    history : str
        Anything about the training that the recipe does not say.
    version : str
        Of the model.
    anonymous : bool
        Leave the names of the cases out.

    Returns
    -------
    Path
        ``<recipe's name>.safetensors`` in the run's folder.

    Raises
    ------
    InputError
        If the folder is not a run, or a fold is not finished.
    OutputError
        If the file cannot be written.
    """
    terms, system = terms or Terms(), stored_system(run)
    opened = open_run(run)
    if opened.unfinished:
        raise InputError(
            f"fold {opened.unfinished[0]} in {run} is not finished; resume its training, or take "
            "its folder away to pack the others"
        )
    tensors: dict[str, NDArray[Any]] = {}
    folds: list[FoldFacts] = []
    counts: dict[str, JsonValue] = {}
    for number, fold in zip(opened.numbers, opened.folds, strict=True):
        statistics: dict[str, dict[str, tuple[float, float]]] = {}
        for stage in system.all_stages():
            statistics[stage.name] = load_statistics(fold_folder(run, number), stage.name)
            for name, value in fold.networks[stage.name].state_dict().items():
                tensors[f"fold_{number}.{stage.name}.{name}"] = value.detach().cpu().numpy()
        folds.append(FoldFacts(number=number, statistics=statistics))
        split = load_split(fold_folder(run, number) / "split.json")
        counts[f"fold_{number}"] = {"train": len(split.train), "val": len(split.val)}
    header = SystemHeader(
        name=system.name,
        version=version,
        created=datetime.now(UTC).date().isoformat(),
        labels=system.dataset.labels,
        recipe=json.loads(system.model_dump_json()),
        needs=needs_of(system),
        folds=tuple(folds),
        training={"cases": counts, **({"history": history} if history else {})},
        cases=unnamed(opened.cases) if anonymous else opened.cases,
        licence=terms.licence,
        commercial_use=terms.commercial_use,
        data_credit=terms.data_credit,
        scores=scores or {},
    )
    return save_system_model(run / f"{system.name}.safetensors", header, tensors)


def open_packed(path: Path, folds: Sequence[int] | None = None, device: str = "cpu") -> Run:
    """Like `renalis.systems.predict.open_run`, from a model file.

    Raises
    ------
    InputError
        If the file is no packed system, has no such fold, or needs a package that is not
        installed.
    """
    model = load_system_model(path)
    header = model.header
    system = packed_system(path, header)
    there = {fold.number: fold for fold in header.folds}
    numbers = tuple(there) if folds is None else tuple(folds)
    missing = [number for number in numbers if number not in there]
    if missing:
        raise InputError(f"{path} holds no fold {missing[0]}; it has {', '.join(map(str, there))}")
    opened = tuple(_fold(system, model, there[number]) for number in numbers)
    return Run(system, opened, torch.device(device), numbers, header.licence, cases=header.cases)


def packed_system(path: Path, header: SystemHeader) -> System:
    """The recipe in a model file's header.

    Raises
    ------
    InputError
        If this version cannot read it, or a package that it needs is not here.
    """
    require(header.needs, path)
    try:
        return System.model_validate(header.recipe)
    except ValidationError as error:
        raise InputError(
            f"{path} holds a recipe that this version of renalis cannot read; update renalis, or "
            "pack the run again"
        ) from error


def open_any_run(path: Path, folds: Sequence[int] | None = None, device: str = "cpu") -> Run:
    """A run's folder, or a model file that one was packed into."""
    return (open_packed if path.is_file() else open_run)(path, folds, device)


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
