"""``renalis segment``: find and measure kidneys, tumors and cysts in CT scans."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renalis.errors import UsageError

if TYPE_CHECKING:
    from renalis.pipeline import CaseResult, SegmentOptions

__all__ = ["add_arguments", "run"]

_RUNTIMES = ("auto", "torch", "torch-bf16", "openvino", "openvino-bf16")
_MIRRORS = ("none", "left-right", "all")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "input",
        nargs="+",
        type=Path,
        metavar="INPUT",
        help="NIfTI file, DICOM folder or zip, or a folder of those",
    )
    add(
        "-o",
        "--output",
        required=True,
        type=Path,
        metavar="OUT",
        help="folder for OUT/<case>/ and OUT/measurements.csv",
    )
    add(
        "--model",
        default="renalis-kidney",
        metavar="NAME|FILE",
        help="shipped model or .safetensors file (default renalis-kidney)",
    )
    add("--series", metavar="S", help="DICOM series to read: its number, UID or description")
    add("--no-report", action="store_true", help="write no preview.png and no report.html")
    add("--overwrite", action="store_true", help="replace results that are already there")
    add(
        "--mirror",
        choices=_MIRRORS,
        default="none",
        help="average with mirrored predictions: left-right takes twice, all eight times as long",
    )
    add(
        "--without-rule",
        action="append",
        default=[],
        metavar="RULE",
        help="switch a tidying rule off; may be repeated; 'all' switches all off",
    )
    add(
        "--runtime",
        choices=_RUNTIMES,
        default="auto",
        help="what computes the networks; auto measures once what is fastest here and agrees",
    )
    add("--max-ram", metavar="SIZE", help="most memory to use, for example 4G or 3500M")
    add("--threads", type=int, metavar="N", help="threads for the networks (default: all cores)")
    add(
        "--require-commercial",
        action="store_true",
        help="refuse a model whose licence does not allow commercial use",
    )
    add("--json", action="store_true", help="print the results as JSON")
    add("--debug", action="store_true", help="show the traceback of an internal error")


def run(arguments: argparse.Namespace) -> int:
    """Segment all scans; 0 done, 1 some failed, 2 all failed or bad usage, 3 internal error."""
    options = _options(arguments)
    from renalis.cli.progress import progress
    from renalis.pipeline import Status, segment

    signal.signal(signal.SIGTERM, _interrupt)
    with progress(sys.stderr, quiet=arguments.json) as listener:
        results = segment(arguments.input, arguments.output, options, listener=listener)
    if arguments.json:
        print(json.dumps([_as_json(result) for result in results], indent=1))
    failed = [result for result in results if result.status == Status.FAILED]
    for result in failed:
        print(f"renalis: {result.problem}", file=sys.stderr)
    if not arguments.json:
        _summarize(results, arguments.output)
    if not failed:
        return 0
    if len(failed) < len(results):
        return 1
    return 3 if all(result.internal for result in failed) else 2


def _interrupt(*_: object) -> None:
    """End as Ctrl-C does, so that nothing half-written stays behind."""
    raise KeyboardInterrupt


def _options(arguments: argparse.Namespace) -> SegmentOptions:
    """The command line's options, checked."""
    from renalis.pipeline import SegmentOptions
    from renalis.postprocessing.rules import DEFAULT, NONE
    from renalis.prediction.options import Mirror, PredictionOptions, RuntimeName

    if arguments.threads is not None and arguments.threads < 1:
        raise UsageError(f"--threads is at least 1, not {arguments.threads}")
    off = [name.replace("-", "_") for name in arguments.without_rule]
    try:
        rules = NONE if "all" in off else DEFAULT.without(*off)
    except ValueError as error:
        raise UsageError(f"--without-rule: {error}") from error
    prediction = PredictionOptions(
        runtime=RuntimeName(arguments.runtime),
        mirror=Mirror(arguments.mirror),
        max_ram_mb=_megabytes(arguments.max_ram),
        threads=arguments.threads,
    )
    return SegmentOptions(
        model=arguments.model,
        prediction=prediction,
        rules=rules,
        series=arguments.series,
        report=not arguments.no_report,
        overwrite=arguments.overwrite,
        require_commercial=arguments.require_commercial,
    )


def _megabytes(text: str | None) -> float | None:
    """``4G`` or ``3500M`` in MB.

    >>> _megabytes("4G"), _megabytes("1.5g"), _megabytes("800M")
    (4000.0, 1500.0, 800.0)
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([GM])B?", text.strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"--max-ram {text!r} is no size; write for example 4G or 3500M")
    return float(match[1]) * (1000.0 if match[2].upper() == "G" else 1.0)


def _as_json(result: CaseResult) -> dict[str, Any]:
    """One case for machines."""
    return {
        "case": result.case_id,
        "status": str(result.status),
        "folder": None if result.folder is None else str(result.folder),
        "problem": result.problem,
        "notes": list(result.notes),
        "measurements": dict(result.row),
        "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
    }


def _summarize(results: list[CaseResult], output: Path) -> None:
    """The last lines: how many, and what to open."""
    finished = [result for result in results if result.folder is not None]
    print(f"{len(finished)} of {len(results)} scans done; results in {output}")
    reports = [r.folder / "report.html" for r in finished if r.folder is not None]
    if len(reports) == 1 and reports[0].is_file():
        print(f"open {reports[0]}")
    elif finished:
        print(f"all measurements: {output / 'measurements.csv'}")
