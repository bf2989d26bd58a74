"""``renalis train``: train the networks of a recipe."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from renalis.cli.recipe_arguments import add_recipe, add_system, check_workers
from renalis.errors import UsageError

if TYPE_CHECKING:
    from renalis.recipes import Recipe, System

__all__ = ["add_arguments", "run"]

_Options = dict[str, tuple[object, ...]]

_OF_SYSTEMS: _Options = {
    "kind": ("auto",),
    "split": (None,),
    "device": ("auto", "cpu"),
    "cache": (None,),
    "workers": (0,),
    "fold": (None,),
    "devices": (1,),
    "nodes": (1,),
}
"""Options without a meaning for the shipped model's recipe, and values that change nothing."""

_OF_SHIPPED: _Options = {"processes": (1,)}
"""The same for published systems."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    add_recipe(
        parser,
        "dataset of scans with label maps; for the shipped model's recipe a folder of label maps "
        "alone",
        "the run's folder",
    )
    systems = parser.add_argument_group("published systems")
    add_system(systems)
    add = systems.add_argument
    add("--fold", metavar="K|all", help="which fold, or all over the devices there are")
    add("--devices", type=int, default=1, metavar="N", help="GPUs (or processes) for one fold")
    add("--nodes", type=int, default=1, metavar="N", help="computers, started by torchrun")
    shipped = parser.add_argument_group("the shipped model's recipe")
    shipped.add_argument(
        "--processes", type=int, default=1, help="processes that share each batch (default 1)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, going on where an earlier call was stopped."""
    from renalis.recipes import System, load_any

    for name in ("processes", "devices", "nodes"):
        if getattr(arguments, name) < 1:
            raise UsageError(f"--{name} must be at least 1")
    check_workers(arguments)
    recipe = load_any(arguments.recipe, tuple(arguments.set), arguments.tiny)
    path = _system(recipe, arguments) if isinstance(recipe, System) else _shipped(recipe, arguments)
    print(f"trained: {path}")
    return 0


def _shipped(recipe: Recipe, arguments: argparse.Namespace) -> Path:
    from renalis.training.run import train

    _refuse(arguments, _OF_SYSTEMS, f"{recipe.name}, which has no folds and trains on the CPU")
    batch = min(stage.optimisation.batch for stage in recipe.stages)
    if arguments.processes > batch:
        raise UsageError(
            f"--processes {arguments.processes} is more than a batch of {recipe.name} has patches; "
            f"it can be {batch} at most"
        )
    return train(recipe, arguments.data, arguments.output, arguments.processes, _report)


def _system(system: System, arguments: argparse.Namespace) -> Path:
    from renalis.recipes.data_fields import KFold
    from renalis.systems import train_system
    from renalis.systems.train import Job
    from renalis.training.devices import Devices

    _refuse(arguments, _OF_SHIPPED, f"{system.name}, a published system; it takes --devices")
    folds: list[int] | None = None
    if arguments.fold == "all":
        folds = list(range(system.split.k)) if isinstance(system.split, KFold) else [0]
    elif arguments.fold is not None:
        if not arguments.fold.isdigit():
            raise UsageError(f"--fold is a number or all, not {arguments.fold!r}")
        folds = [int(arguments.fold)]
    job = Job(
        system,
        arguments.data,
        arguments.output,
        arguments.kind,
        arguments.split,
        arguments.cache,
        arguments.resume,
        arguments.workers,
    )
    devices = Devices(arguments.device, arguments.devices, arguments.nodes)
    return train_system(job, folds, devices, _report)


def _refuse(arguments: argparse.Namespace, without: _Options, recipe: str) -> None:
    """Refuse options that would have no effect."""
    for name, harmless in without.items():
        if getattr(arguments, name) not in harmless:
            raise UsageError(f"--{name} does not apply to {recipe}; leave it out")


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
