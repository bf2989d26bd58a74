"""What every verb that trains a recipe takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from renalis.cli.sizes import megabytes
from renalis.errors import UsageError

__all__ = ["add_recipe", "add_system", "cache_bytes", "check_workers"]


def add_recipe(parser: argparse.ArgumentParser, data: str, output: str) -> None:
    """Recipe, changes of it, data and folder.

    Parameters
    ----------
    parser : ArgumentParser
        Of the verb.
    data, output : str
        What the verb takes and makes, for the help.
    """
    add = parser.add_argument
    add("recipe", help="name of a recipe (see renalis recipe list) or path of a YAML file")
    add("--data", type=Path, required=True, help=data)
    add("-o", "--output", type=Path, required=True, help=output)
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a field of the recipe; may be repeated",
    )
    add("--resume", action="store_true", help="go on where an earlier call was stopped")


def add_system(group: argparse._ActionsContainer) -> None:
    """How and where a published system is trained."""
    add = group.add_argument
    add(
        "--kind", default="auto", help="kind of the dataset (default: detected from the file names)"
    )
    add("--split", type=Path, help="a stored split (renalis dataset split) instead of the recipe's")
    add("--tiny", action="store_true", help="the recipe's small variant: minutes on a CPU")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to train")
    add("--cache", type=Path, help="folder of prepared cases (default: in the output folder)")
    add(
        "--cache-limit",
        metavar="SIZE",
        help="how large that folder may grow, for example 200G; prepared cases that were used "
        "longest ago and that no training uses go. It is kept in the folder",
    )
    add("--workers", type=int, default=0, metavar="N", help="processes that prepare batches")


def cache_bytes(arguments: argparse.Namespace) -> int | None:
    """What ``--cache-limit`` says."""
    found = megabytes("--cache-limit", arguments.cache_limit)
    return None if found is None else int(found * 1e6)


def check_workers(arguments: argparse.Namespace) -> None:
    """Refuse fewer than no processes.

    Raises
    ------
    UsageError
        If ``--workers`` is negative.
    """
    if arguments.workers < 0:
        raise UsageError("--workers must be at least 0")
