"""``renalis tune``: search the fields of a published system's recipe."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from renalis.cli.engine_arguments import add_engine, add_threads, cluster_place
from renalis.cli.recipe_arguments import add_recipe, add_system, cache_bytes, check_workers
from renalis.errors import InputError, UsageError

if TYPE_CHECKING:
    from renalis.recipes import System
    from renalis.tuning.run import SearchResult

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    add_recipe(parser, "dataset of scans with label maps", "the search's folder")
    add = parser.add_argument
    add("--search", type=Path, required=True, help="YAML file of the fields and their values")
    add("--trials", type=int, required=True, metavar="N", help="so many in all")
    add("--minutes", type=float, metavar="M", help="stop after so many, to go on with --resume")
    add("--fold", type=int, metavar="K", help="the fold to train and validate (default: recipe's)")
    add_system(parser)
    add_threads(parser)
    add_engine(parser, "trials")


def run(arguments: argparse.Namespace) -> int:
    """Search; 1 if all trials failed."""
    if arguments.trials < 1:
        raise UsageError("--trials must be at least 1")
    check_workers(arguments)
    place = cluster_place(arguments, arguments.workers)
    if arguments.minutes is not None and arguments.minutes <= 0:
        raise UsageError("--minutes must be more than 0")
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise InputError(
            "Optuna is not installed, which the search needs: make setup, or pip install "
            "'renalis[tune]'"
        ) from error
    from renalis.recipes import load_system
    from renalis.systems.training_job import Job
    from renalis.training.devices import Devices
    from renalis.tuning.run import Tuning, tune
    from renalis.tuning.search import read_search

    search = read_search(arguments.search)
    sets = tuple(arguments.set)
    system = load_system(arguments.recipe, sets, arguments.tiny)
    job = Job(
        system,
        arguments.data,
        arguments.output,
        arguments.kind,
        arguments.split,
        arguments.cache or arguments.output / "prepared",
        arguments.resume,
        arguments.workers,
        cache_bytes=cache_bytes(arguments),
    )
    tuning = Tuning(
        arguments.recipe,
        sets,
        arguments.tiny,
        search,
        job,
        arguments.trials,
        arguments.minutes,
        arguments.fold,
        Devices(arguments.device, threads=arguments.threads),
        place,
    )
    found = tune(tuning, _report)
    print(_ending(found, arguments, system, search.metric))
    return 1 if found.rows and all(row.state == "failed" for row in found.rows) else 0


def _ending(found: SearchResult, arguments: argparse.Namespace, system: System, metric: str) -> str:
    """What was found and what to do next."""
    from renalis.recipes.data_fields import KFold
    from renalis.tuning.trial_table import plain, summary

    folder, best = arguments.output, found.best
    lines = [f"{summary(found.rows)} ({found.reason})"]
    if best is None:
        lines += [f"trial {row.number} {row.state}: {row.note}" for row in found.rows if row.note]
        return "\n".join([*lines, "no trial is complete"])
    lines.append(f"best: trial {best.number}, {metric} {best.value:.4f} (chosen by it: test anew)")
    lines += [f"  {key} = {plain(value)}" for key, value in best.fields.items()]
    lines.append(f"tables: {folder / 'trials.csv'}, {folder / 'tune.html'}")
    words = ["renalis", "train", str(folder / "best.yaml"), "--data", str(arguments.data)]
    words += ["--kind", arguments.kind] if arguments.kind != "auto" else []
    words += ["--split", str(arguments.split)] if arguments.split else []
    words += ["-o", "RUN"]
    words += ["--fold", "all"] if isinstance(system.split, KFold) else []
    lines.append(f"next: {shlex.join(words)}")
    run = folder / best.folder
    lines.append(f"  or: renalis segment SCANS -o OUT --model {shlex.quote(str(run))}")
    return "\n".join(lines)


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
