"""``renalis synthesize``: make synthetic CT scans with their label maps."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from renalis.cli.seeds import seed
from renalis.errors import UsageError

if TYPE_CHECKING:
    from renalis.recipes import HeldBack

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the scans")
    parser.add_argument("-n", "--number", type=int, default=1, help="how many scans (default 1)")
    parser.add_argument(
        "--labels", type=Path, help="folder of KiTS23 label maps; without it kidneys are invented"
    )
    parser.add_argument("--seed", type=seed, default=0, help="same seed, same scans (default 0)")
    parser.add_argument(
        "--spacing",
        type=float,
        nargs=3,
        metavar=("Z", "Y", "X"),
        help="slice, row and column spacing in mm; drawn like clinical scans when not given",
    )
    parser.add_argument(
        "--matrix",
        type=int,
        help="rows and columns (default 512; with --spacing so many that the field of view is 350 "
        "to 500 mm wide)",
    )
    parser.add_argument(
        "--phase",
        choices=("unenhanced", "corticomedullary", "nephrographic", "excretory"),
        help="contrast phase; drawn when not given",
    )
    parser.add_argument(
        "--kidneys",
        choices=("normal", "single", "horseshoe", "crossed", "pelvic", "transplant"),
        help="kind of invented kidneys; drawn when not given",
    )
    parser.add_argument(
        "--held-back",
        metavar="RECIPE",
        help="use only the label maps that this recipe keeps back from training, unchanged",
    )


def run(arguments: argparse.Namespace) -> int:
    """Make the scans; finished ones are kept when the command is repeated."""
    from renalis.synthesis.cohort import Cohort, make_cohort
    from renalis.synthesis.scan import matrix_for

    if arguments.number < 1:
        raise UsageError("-n must be at least 1")
    if arguments.spacing and not all(0 < mm < math.inf for mm in arguments.spacing):
        raise UsageError("--spacing takes three positive numbers in mm")
    if arguments.matrix is not None and arguments.matrix < 16:
        raise UsageError("--matrix must be at least 16")
    spacing = tuple(arguments.spacing) if arguments.spacing else None
    matrix = arguments.matrix or matrix_for(spacing)
    if matrix < 16:
        raise UsageError(
            "--spacing leaves fewer than 16 rows and columns in a field of view of 500 mm; take a "
            "smaller one, or give --matrix"
        )
    if arguments.held_back and not arguments.labels:
        raise UsageError("--held-back chooses among the label maps of --labels; give that too")
    if arguments.kidneys and arguments.labels:
        raise UsageError("--kidneys is for invented kidneys; leave out --labels")
    cohort = Cohort(
        number=arguments.number,
        seed=arguments.seed,
        spacing=spacing,
        matrix=matrix,
        phase=arguments.phase,
        kidneys=arguments.kidneys,
        held_back=_held_back(arguments.held_back),
    )
    if spacing and arguments.matrix is None:
        view = f"{matrix * spacing[1]:.0f} × {matrix * spacing[2]:.0f} mm"
        print(f"{matrix} rows and columns: a field of view of {view}", file=sys.stderr, flush=True)
    for line in make_cohort(cohort, arguments.labels, arguments.output):
        print(line, file=sys.stderr, flush=True)
    print(f"{arguments.number} synthetic scans in {arguments.output}")
    return 0


def _held_back(recipe: str | None) -> HeldBack | None:
    """Which label maps a recipe keeps back."""
    if recipe is None:
        return None
    from renalis.recipes import load_system

    bodies = load_system(recipe).bodies
    if bodies is None or bodies.held_back is None:
        raise UsageError(f"--held-back: the recipe {recipe} keeps no label maps back")
    return bodies.held_back
