"""The trained model that a training starts from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from renalis.errors import InputError
from renalis.io import write_text
from renalis.model import find_model, load_model, read_any_header
from renalis.model_header import SystemHeader
from renalis.networks import build
from renalis.recipes.system import System
from renalis.systems.runs import open_run

__all__ = ["StartingModel", "keep_starting_model", "known_starting_model", "open_starting_model"]

_NAME = "start_from.json"


@dataclass(frozen=True, eq=False)
class StartingModel:
    """Networks by stage whose weights are the first ones of a training, and where they are from."""

    networks: Mapping[str, nn.Module]
    facts: Mapping[str, Any]

    def give(self, stage: str, network: nn.Module) -> None:
        """Give the network of a stage these weights."""
        network.load_state_dict(self.networks[stage].state_dict())


def open_starting_model(name_or_path: str, system: System) -> StartingModel:
    """Read a model whose networks are those of a recipe.

    Parameters
    ----------
    name_or_path : str
        A model of two passes, or a packed system, of which the first fold is taken.
    system : System
        The recipe.

    Raises
    ------
    InputError
        If there is no such model or it has other networks.
    """
    header, path = read_any_header(name_or_path), find_model(name_or_path)
    networks: Mapping[str, nn.Module]
    if isinstance(header, SystemHeader):
        networks = open_run(path, [header.folds[0].number]).folds[0].networks
    else:
        model = load_model(path)
        networks = {stage.name: model.network(stage.name) for stage in header.stages}
    for stage in system.all_stages():
        if stage.name not in networks:
            raise InputError(f"{path} has no network {stage.name} for {system.name} to start from")
        with torch.device("meta"):
            own = build(stage.network.config()).state_dict()
        given = networks[stage.name].state_dict()
        differing = [name for name in {**own, **given} if not _fits(own, given, name)]
        if differing:
            raise InputError(
                f"the {stage.name} network of {path} is another than the recipe's "
                f"({differing[0]} differs); set network to the model's, or start from another model"
            )
    names = ("name", "version", "sha256", "licence", "commercial_use", "data_credit")
    return StartingModel(networks, {name: getattr(header, name) for name in names})


def keep_starting_model(run: Path, start: StartingModel | None) -> None:
    """Note in a run's folder what it starts from; what is there already must be the same.

    Raises
    ------
    InputError
        If the run started from something else.
    """
    path, recipe = run / _NAME, run / "recipe.json"
    known, wanted = known_starting_model(run), None if start is None else dict(start.facts)
    begun = path.exists() or (any(run.glob("fold_*")) and recipe.exists())
    if begun and known != wanted:
        before = "new weights" if known is None else f"{known['name']} {known['version']}"
        raise InputError(
            f"{run} was started from {before}; resume it with the same --start-from, or choose "
            "another folder"
        )
    if wanted is not None and not path.exists():
        write_text(path, json.dumps(wanted, indent=1))


def known_starting_model(run: Path) -> dict[str, Any] | None:
    """What a run started from; None: new weights.

    Raises
    ------
    InputError
        If the note is damaged.
    """
    path = run / _NAME
    if not path.exists():
        return None
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); train again in another folder") from error
    return facts


def _fits(own: dict[str, Any], given: dict[str, Any], name: str) -> bool:
    return name in own and name in given and own[name].shape == given[name].shape
