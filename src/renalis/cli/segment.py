"""``renalis segment``: find and measure kidneys, tumors and cysts in CT scans."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renalis.cli.closed_pipes import until_pipe_closes
from renalis.cli.engine_arguments import add_engine, check_engine
from renalis.cli.sizes import megabytes
from renalis.errors import UsageError

if TYPE_CHECKING:
    from renalis.io import Inventory
    from renalis.pipeline import CaseResult, SegmentOptions
    from renalis.prediction import PredictionOptions

__all__ = ["add_arguments", "run"]

_MOST_THREADS = 64
"""Unless the machine has more cores: libraries fail in their own ways with thousands."""
_MOST_JOBS = 1024
_RUNTIMES = ("auto", "torch", "torch-bf16", "openvino", "openvino-bf16", "onnx")
_MIRRORS = ("none", "left-right", "four", "all")
_WINDOWS = ("fitted", "lattice")
_INTERPOLATIONS = ("average", "linear", "cubic")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "input",
        nargs="+",
        type=_place,
        metavar="INPUT",
        help="NIfTI, MetaImage or NRRD file, DICOM folder or zip, or a folder of those; or one "
        "list of scans: a CSV with a column 'scan', or .jsonl; or URLs such as s3://bucket/scans",
    )
    add(
        "-o",
        "--output",
        required=True,
        type=_place,
        metavar="OUT",
        help="folder for OUT/<case>/ and OUT/measurements.csv, or its URL",
    )
    add(
        "--model",
        default="renalis-kidney",
        metavar="NAME|FILE|RUN",
        help="shipped model, .safetensors file, or folder of `renalis train` (default "
        "renalis-kidney)",
    )
    add("--series", metavar="S", help="DICOM series to read: its number, UID or description")
    add(
        "--trust-place",
        action="store_true",
        help="segment scans whose spacing, axes or slices cannot be right, as their header says",
    )
    add(
        "--write",
        default="nifti",
        metavar="FORMAT,...",
        help="formats of the result: nifti (default, always), dicom-seg, dicom-seg-labelmap, sr, "
        "rtstruct, nrrd, mesh, pdf",
    )
    add("--no-report", action="store_true", help="write no preview.png and no report.html")
    add(
        "--anonymous",
        action="store_true",
        help="keep and say nothing that may identify the patient: no UID, no description, no path; "
        "cases are named by hashes",
    )
    add("--overwrite", action="store_true", help="replace results that are already there")
    add(
        "--mirror",
        choices=_MIRRORS,
        help="average with mirrored predictions: left-right lets the network look twice, four "
        "(default) four times, all eight times",
    )
    add(
        "--windows",
        choices=_WINDOWS,
        help=argparse.SUPPRESS,  # lattice: that of nnU-Net and MONAI, to compare labels
    )
    add(
        "--interpolation",
        choices=_INTERPOLATIONS,
        help=argparse.SUPPRESS,  # cubic: as nnU-Net makes the image, to compare labels
    )
    add(
        "--without-rule",
        action="append",
        default=[],
        metavar="RULE",
        help="switch a tidying rule off; may be repeated; 'all' switches all off",
    )
    add(
        "--threshold",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="decide by another number than the model's own (renalis model info --json lists "
        "them), for example tumor_sure=0.5; may be repeated",
    )
    add(
        "--runtime",
        choices=_RUNTIMES,
        help="what computes the networks; auto (default) measures once what is fastest here and "
        "agrees",
    )
    add(
        "--device",
        choices=("auto", "cpu", "cuda"),
        help="where the networks compute; auto: a CUDA device where there is one (default: cpu; "
        "auto for a published system)",
    )
    add("--max-ram", metavar="SIZE", help="most memory to use, for example 4G or 3500M")
    add("--threads", type=int, metavar="N", help="threads for the networks (default: all cores)")
    add(
        "--jobs",
        type=int,
        metavar="N",
        help="work on N scans at a time, each in a process of its own (default: one)",
    )
    add_engine(parser, "with several scans")
    add(
        "--staging",
        type=Path,
        metavar="FOLDER",
        help="with URLs: where copies of the scans at work are kept meanwhile (default: the "
        "system's folder for temporary files)",
    )
    add(
        "--patience",
        type=float,
        default=30.0,
        metavar="MINUTES",
        help="with several scans: end one that shows no progress for so long (default 30)",
    )
    add(
        "--confidence",
        type=Path,
        metavar="JSON",
        help="what renalis model calibrate measured with these networks and options",
    )
    add(
        "--require-commercial",
        action="store_true",
        help="refuse a model whose licence does not allow commercial use",
    )
    add("--json", action="store_true", help="print the results as JSON")
    add("--debug", action="store_true", help="show where a case or the program failed")
    runs = parser.add_argument_group("runs of published systems (--model RUN)")
    add = runs.add_argument
    add(
        "--with",
        dest="members",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="average with another run, or with a folder of nnU-Net's CASE.npz or of label maps; "
        "may be repeated; the clean-up is the first run's",
    )
    add("--weights", metavar="W,W,...", help="of the run and of each --with (default: equal)")
    add("--fold", metavar="K,...|all", help="folds of the run (default: all that are trained)")
    add(
        "--look-everywhere",
        action="store_true",
        help="where the coarse network of a cascade finds no kidney at all, its fine network looks "
        "at the whole scan instead of nowhere",
    )


def _place(text: str) -> str | Path:
    """A URL as it is, anything else as a path."""
    if "://" in text:
        from renalis.remote.locations import is_url

        if is_url(text):
            return text
    return Path(text)


def run(arguments: argparse.Namespace) -> int:
    """Segment all scans.

    0 done, 1 some failed or are incomplete, 2 all failed or bad usage, 3 internal error.
    """
    options = _options(arguments)
    if any(isinstance(place, str) for place in (*arguments.input, arguments.output)):
        from renalis.cli.segment_cohort import segment_cohort
        from renalis.cohort.stored_run import list_stored

        stored = list_stored(
            arguments.input, arguments.output, arguments.anonymous, arguments.staging
        )
        return segment_cohort(stored, arguments, options)
    from renalis.cohort.listing import is_list, list_cohort
    from renalis.pipeline.table import MANIFEST

    listing = list_cohort(arguments.input, arguments.anonymous)
    # A folder with a manifest goes on with it, so that it stays true.
    several = listing.total > 1 or any(map(is_list, arguments.input))
    several = several or arguments.engine != "local"
    if several or arguments.jobs is not None or (arguments.output / MANIFEST).is_file():
        from renalis.cli.segment_cohort import segment_cohort

        return segment_cohort(listing, arguments, options)
    return _segment_here(listing.found or arguments.input, arguments, options)


def _segment_here(
    inputs: Inventory | list[Path], arguments: argparse.Namespace, options: SegmentOptions
) -> int:
    """Segment one scan in this process."""
    from renalis.cli.progress import progress
    from renalis.pipeline import Status, segment

    with progress(sys.stderr, quiet=arguments.json) as listener:
        results = segment(inputs, arguments.output, options, listener=listener)
    failed = [result for result in results if result.status == Status.FAILED]
    with until_pipe_closes(sys.stderr):
        for result in results:
            if arguments.debug and result.traceback:
                print(result.traceback, file=sys.stderr)
            if result.problem:
                print(f"renalis: {result.problem}", file=sys.stderr)
    with until_pipe_closes(sys.stdout):
        if arguments.json:
            print(json.dumps([_as_json(result) for result in results], indent=1))
        else:
            _summarize(results, arguments.output)
    if not any(result.problem for result in results):
        return 0
    if len(failed) < len(results):
        return 1
    return 3 if all(result.internal for result in failed) else 2


def _listed(option: str, text: str, pattern: str) -> list[str]:
    """Numbers between commas."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(pattern, part) for part in parts):
        raise UsageError(f"{option} takes numbers with commas between them, not {text!r}")
    return parts


def _check_threads(threads: int | None) -> None:
    if threads is None:
        return
    most = max(_MOST_THREADS, os.cpu_count() or 1)
    if not 1 <= threads <= most:
        raise UsageError(f"--threads is between 1 and {most} on this machine, not {threads}")


def _options(arguments: argparse.Namespace) -> SegmentOptions:
    """The command line's options, checked as far as they do not depend on the model."""
    from renalis.pipeline import SegmentOptions

    _check_threads(arguments.threads)
    if arguments.jobs is not None and not 1 <= arguments.jobs <= _MOST_JOBS:
        raise UsageError(f"--jobs is between 1 and {_MOST_JOBS}, not {arguments.jobs}")
    check_engine(arguments)
    if not arguments.patience > 0:
        raise UsageError(f"--patience is a number of minutes above 0, not {arguments.patience:g}")
    folds = weights = None
    if arguments.fold not in (None, "all"):
        folds = tuple(int(n) for n in _listed("--fold", arguments.fold, r"\d+"))
    if arguments.weights is not None:
        weights = tuple(
            float(n) for n in _listed("--weights", arguments.weights, r"\d+(\.\d*)?|\.\d+")
        )
    return SegmentOptions(
        model=arguments.model,
        prediction=_prediction(arguments),
        without_rules=tuple(name.replace("-", "_") for name in arguments.without_rule),
        members=tuple(arguments.members),
        weights=weights,
        folds=folds,
        device=arguments.device,
        look_everywhere=arguments.look_everywhere,
        threads=arguments.threads,
        series=arguments.series,
        report=not arguments.no_report,
        overwrite=arguments.overwrite,
        anonymous=arguments.anonymous,
        write=tuple(part.strip() for part in arguments.write.split(",")),
        confidence=arguments.confidence,
        trust_place=arguments.trust_place,
        require_commercial=arguments.require_commercial,
    )


def _prediction(arguments: argparse.Namespace) -> PredictionOptions | None:
    """How a model of two passes predicts; None when nothing about it was chosen."""
    from renalis.prediction.options import Mirror, PredictionOptions, RuntimeName, Windows

    chosen: dict[str, Any] = {
        "runtime": arguments.runtime and RuntimeName(arguments.runtime),
        "mirror": arguments.mirror and Mirror(arguments.mirror),
        "windows": arguments.windows and Windows(arguments.windows),
        "interpolation": arguments.interpolation,
        "thresholds": _thresholds(arguments.threshold) or None,
        "max_ram_mb": megabytes("--max-ram", arguments.max_ram),
    }
    chosen = {name: value for name, value in chosen.items() if value is not None}
    return PredictionOptions(**chosen) if chosen else None


def _thresholds(changes: list[str]) -> dict[str, float]:
    """Numbers to decide by, by name."""
    from pydantic import ValidationError

    from renalis.thresholds import RETIRED, Thresholds

    chosen: dict[str, float] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise UsageError(f"--threshold {change!r} is not of the form NAME=VALUE")
        if name in RETIRED:
            raise UsageError(f"--threshold: {name} decides nothing any more: {RETIRED[name]}")
        if name not in Thresholds.model_fields:
            known = ", ".join(Thresholds.model_fields)
            raise UsageError(f"--threshold: there is no {name!r}; known are {known}")
        try:
            chosen[name] = float(getattr(Thresholds.model_validate({name: value}), name))
        except ValidationError as error:
            raise UsageError(f"--threshold {change}: {error.errors()[0]['msg'].lower()}") from error
    return chosen


def _as_json(result: CaseResult) -> dict[str, Any]:
    """One case for machines."""
    return {
        "case": result.case_id,
        "status": str(result.status),
        "folder": None if result.folder is None else str(result.folder),
        "files": _files(result.folder),
        "problem": result.problem,
        "notes": list(result.notes),
        "measurements": dict(result.row),
        "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
    }


def _files(folder: Path | None) -> list[str]:
    """Names of a case's files, in the order in which they are kept."""
    from renalis.pipeline.folder import provenance

    known = None if folder is None else provenance(folder)
    return [] if known is None else [str(name) for name in known["files"]]


def _summarize(results: list[CaseResult], output: Path) -> None:
    """The last lines: how many, and what to open."""
    finished = [result for result in results if not result.problem]
    print(f"{len(finished)} of {len(results)} scans done; results in {output}")
    reports = [r.folder / "report.html" for r in finished if r.folder is not None]
    if len(reports) == 1 and reports[0].is_file():
        print(f"open {reports[0]}")
    elif finished:
        print(f"all measurements: {output / 'measurements.csv'}")
