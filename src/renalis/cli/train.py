"""``renalis train``: train the networks of a recipe."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from renalis.errors import UsageError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("recipe", help="name of a recipe or path of a YAML file")
    parser.add_argument("--data", type=Path, required=True, help="folder of KiTS23 label maps")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the run's folder")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a field of the recipe",
    )
    parser.add_argument(
        "--processes", type=int, default=1, help="processes that share each batch (default 1)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train every stage, going on where an earlier call was stopped; then pack the model."""
    from renalis.recipes import load_recipe
    from renalis.training.run import train

    if arguments.processes < 1:
        raise UsageError("--processes must be at least 1")
    recipe = load_recipe(arguments.recipe, tuple(arguments.set))
    path = train(
        recipe,
        arguments.data,
        arguments.output,
        arguments.processes,
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(f"trained: {path}")
    return 0
