"""``renalis compare``: paired statistics between evaluated systems."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from renalis.cli.seeds import seed
from renalis.cli.tables import print_table
from renalis.errors import UsageError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "metrics",
        nargs="+",
        metavar="METRICS",
        help="metrics.json of a system, its folder, or a CSV with KiTS23's header; NAME=PATH names "
        "the system; the first is the baseline",
    )
    add("-o", "--output", type=Path, metavar="OUT", help="folder for comparison.csv, .json, .html")
    add("--cases", type=Path, metavar="CSV", help="table of cases, first column the case: phase, …")
    add("--by", nargs="+", default=[], metavar="COLUMN", help="columns of it to group by (all)")
    add("--common", action="store_true", help="compare the cases that all systems have")
    add("--seed", type=seed, default=0, help="of the bootstrap (default 0)")
    add("--json", action="store_true", help="print the comparison as JSON")
    add("--debug", action="store_true", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Compare, write, print."""
    if arguments.by and arguments.cases is None:
        raise UsageError("--by names columns of the table that --cases gives")
    from renalis.evaluation.comparison import compare, strata
    from renalis.evaluation.comparison_page import (
        comparison_csv,
        comparison_json,
        comparison_page,
        tables,
    )
    from renalis.evaluation.evaluated_systems import common_cases, read_strata, read_system
    from renalis.evaluation.tables import write_json
    from renalis.io import write_text

    systems = [read_system(given) for given in arguments.metrics]
    cases = common_cases(systems, arguments.common)
    columns = read_strata(arguments.cases, arguments.by) if arguments.cases else {}
    comparison = compare(systems, cases, strata(systems, cases, columns), arguments.seed)
    out: Path | None = arguments.output
    if out is not None:
        write_text(out / "comparison.csv", comparison_csv(comparison))
        write_json(out / "comparison.json", comparison_json(comparison))
        write_text(out / "comparison.html", comparison_page(comparison, systems))
    if arguments.json:
        print(json.dumps(comparison_json(comparison), indent=1))
        return 0
    for table in tables(comparison):
        print_table(table)
    if out is not None:
        print(f"tables and page: {out}")
    return 0
