"""``renalis crossvalidate``: score runs by the folds that did not see each case."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from renalis.choices import EmptyRule
from renalis.cli.engine_arguments import add_engine, cluster_place
from renalis.cli.seeds import seed
from renalis.conventions import SCORED
from renalis.errors import UsageError

if TYPE_CHECKING:
    from renalis.crossvalidation.run import CrossValidation

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folder of renalis train, or model file; NAME=RUN names it; the first of several is "
        "the baseline of the comparison",
    )
    add("--data", type=Path, required=True, help="the dataset that the runs were trained on")
    add(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="folder for tables, page, and the label maps OUT/RUN/labels/CASE.nii.gz",
    )
    add(
        "--kind", default="auto", help="kind of the dataset (default: detected from the file names)"
    )
    add(
        "--labels",
        choices=[one.value for one in SCORED],
        help="convention that is scored (default: that of the runs)",
    )
    add(
        "--empty",
        choices=[one.value for one in EmptyRule],
        default="kits",
        help="what empty masks count (default kits: both empty 1, one empty 0)",
    )
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to predict")
    add(
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes that score (default: one per core)",
    )
    add("--seed", type=seed, default=0, help="of the bootstrap (default 0)")
    add(
        "--overwrite",
        action="store_true",
        help="make label maps anew that were made from another scan or by other networks",
    )
    add(
        "--threads",
        type=int,
        metavar="N",
        help="with --engine ray: cores of each process that predicts (default 1)",
    )
    add_engine(parser, "label maps")
    add("--json", action="store_true", help="print everything as JSON")
    add("--debug", action="store_true", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Predict, score, write. 0 done, 1 cases are left out, 2 bad usage or nothing to score."""
    if arguments.jobs < 1:
        raise UsageError("--jobs must be at least 1")
    if arguments.threads is not None and arguments.engine != "ray":
        raise UsageError("--threads belongs to --engine ray")
    place = cluster_place(arguments)
    from renalis.conventions import Convention
    from renalis.crossvalidation.files import crossvalidation_json
    from renalis.crossvalidation.run import CrossOptions, crossvalidate

    options = CrossOptions(
        kind=arguments.kind,
        labels=None if arguments.labels is None else Convention(arguments.labels),
        empty=EmptyRule(arguments.empty),
        device=arguments.device,
        jobs=arguments.jobs,
        seed=arguments.seed,
        overwrite=arguments.overwrite,
        cluster=place,
    )
    found = crossvalidate(
        arguments.runs,
        arguments.data,
        arguments.output,
        options,
        _silent if arguments.json else _report,
    )
    if arguments.json:
        print(json.dumps(crossvalidation_json(found.scores, found.comparison), indent=1))
    else:
        _print(found, arguments.output)
    return 0 if found.complete else 1


def _print(found: CrossValidation, out: Path) -> None:
    """The main table, the paired tests, and whatever must not go unnoticed."""
    from renalis.cli.tables import print_table
    from renalis.crossvalidation.page import main_table, remarks
    from renalis.evaluation import comparison_page

    print_table(main_table(found.scores))
    if found.comparison is not None:
        for table in comparison_page.tables(found.comparison):
            print_table(table)
    for remark in remarks(found.scores, found.comparison):
        print(f"note: {remark}", file=sys.stderr)
    print(f"tables and page: {out}")


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _silent(_: str) -> None:
    pass
