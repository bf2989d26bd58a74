"""``renalis train``: train the networks of a recipe."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from renalis.cli.engine_arguments import add_engine, add_threads, cluster_place
from renalis.cli.recipe_arguments import add_recipe, add_system, cache_bytes, check_workers
from renalis.errors import UsageError

if TYPE_CHECKING:
    from renalis.recipes import System

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    add_recipe(
        parser,
        "dataset of scans with label maps; for a recipe whose patches are all synthetic, such as "
        "renalis-kidney, a folder of label maps alone does",
        "the run's folder",
    )
    add_system(parser)
    add = parser.add_argument
    add(
        "--start-from",
        metavar="MODEL",
        help="name or file of a model whose weights are the first ones: the recipe's fine_tuning "
        "then holds, for renalis-kidney a short training on the dataset's scans",
    )
    add(
        "--slices",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE.npz",
        help="single real slices with label maps to train with as well: the recipe's with_slices "
        "then holds",
    )
    add(
        "--tensorboard",
        action="store_true",
        help="also write TensorBoard's event files: tensorboard --logdir OUTPUT",
    )
    add("--fold", metavar="K|all", help="which fold, or all over the devices there are")
    add(
        "--devices",
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="GPUs, or processes on a CPU, that share each batch (default 1)",
    )
    add("--nodes", type=int, default=1, metavar="N", help="computers, started by torchrun")
    add_threads(parser)
    add_engine(parser, "folds")


def run(arguments: argparse.Namespace) -> int:
    """Train, going on where an earlier call was stopped."""
    from renalis.recipes import load_system
    from renalis.systems import train_system
    from renalis.systems.training_job import Job
    from renalis.training.devices import Devices

    for name in ("devices", "nodes"):
        if getattr(arguments, name) < 1:
            raise UsageError(f"--{name} must be at least 1")
    check_workers(arguments)
    place = cluster_place(arguments, arguments.workers)
    system = load_system(
        arguments.recipe,
        tuple(arguments.set),
        arguments.tiny,
        fine_tuning=arguments.start_from is not None,
        with_slices=bool(arguments.slices),
    )
    job = Job(
        system,
        arguments.data,
        arguments.output,
        arguments.kind,
        arguments.split,
        arguments.cache,
        arguments.resume,
        arguments.workers,
        start_from=arguments.start_from,
        slices=tuple(arguments.slices),
        tensorboard=arguments.tensorboard,
        cache_bytes=cache_bytes(arguments),
    )
    devices = Devices(
        arguments.device, arguments.devices, arguments.nodes, threads=arguments.threads
    )
    folds = _folds(arguments.fold, system)
    print(f"trained: {train_system(job, folds, devices, _report, place)}")
    return 0


def _folds(wanted: str | None, system: System) -> list[int] | None:
    """Numbers of folds; None for the recipe's own."""
    from renalis.recipes.data_fields import KFold

    if wanted is None:
        return None
    if wanted == "all":
        return list(range(system.split.k)) if isinstance(system.split, KFold) else [0]
    if not wanted.isdigit():
        raise UsageError(f"--fold is a number or all, not {wanted!r}")
    return [int(wanted)]


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
