"""``renalis evaluate``: score predicted label maps against references."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from renalis.choices import EmptyRule
from renalis.cli.seeds import seed
from renalis.conventions import SCORED, Convention
from renalis.errors import UsageError

if TYPE_CHECKING:
    from renalis.evaluation.evaluation import Evaluation
    from renalis.evaluation.statistics import Summary
    from renalis.known_cases import KnownModel

__all__ = ["add_arguments", "run"]

_WRITTEN = [one.value for one in Convention]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "--reference",
        "-r",
        nargs="+",
        required=True,
        type=Path,
        metavar="PATH",
        help="folder (or file) of reference label maps; further ones are further observers",
    )
    add(
        "--prediction",
        "-p",
        required=True,
        type=Path,
        metavar="PATH",
        help="folder (or file) of predicted label maps; paired with the references by their names",
    )
    add(
        "-o",
        "--output",
        required=True,
        type=Path,
        metavar="OUT",
        help="folder for metrics.csv, metrics.json, metrics.html and details.csv",
    )
    add(
        "--labels",
        choices=_WRITTEN,
        metavar="{" + ",".join(SCORED) + "}",
        default="kits23",
        help="convention that is scored (default kits23)",
    )
    add(
        "--reference-labels",
        choices=_WRITTEN,
        help="convention of the references (default kits23, which reads kits19 as well; radboud "
        "if that is scored)",
    )
    add("--prediction-labels", choices=_WRITTEN, help="convention of the predictions (same)")
    add(
        "--grid",
        choices=("same", "world", "voxel"),
        default="same",
        help="when grids differ: same refuses (default), world resamples the prediction by the "
        "headers, voxel compares arrays because a header is known to be wrong",
    )
    add(
        "--missing",
        choices=("error", "zero", "skip"),
        default="error",
        help="a missing or unreadable prediction: fail (default), count as zero, leave out",
    )
    add(
        "--empty",
        choices=[one.value for one in EmptyRule],
        default="kits",
        help="what empty masks count (default kits: both empty 1, one empty 0)",
    )
    add(
        "--lesion-overlap",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of a lesion that must be covered to be found (default 0.1)",
    )
    add(
        "--lesion-mm",
        type=float,
        default=3.0,
        metavar="MM",
        help="diameter below which a component is no lesion (default 3)",
    )
    add(
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes (default: one per core)",
    )
    add(
        "--model",
        metavar="NAME|FILE|RUN",
        help="model that made the predictions: names its training cases, where nothing next to "
        "them does",
    )
    add("--seed", type=seed, default=0, help="of the bootstrap (default 0)")
    add("--overwrite", action="store_true", help="score again what an earlier run has kept")
    add("--json", action="store_true", help="print the summary as JSON")
    add("--debug", action="store_true", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Score, write the tables, print the summary."""
    _check(arguments)
    from renalis.disk_failures import check_not_gone
    from renalis.evaluation.cases import Missing
    from renalis.evaluation.evaluation import evaluate
    from renalis.evaluation.grids import Grid
    from renalis.evaluation.lesions import LesionRule
    from renalis.evaluation.page import metrics_page
    from renalis.evaluation.scores import Options
    from renalis.evaluation.tables import details_csv, headline_csv, metrics_json, write_json
    from renalis.io import write_text

    given = arguments.reference_labels, arguments.prediction_labels
    options = Options(
        labels=Convention(arguments.labels),
        reference_labels=Convention(given[0]) if given[0] else None,
        prediction_labels=Convention(given[1]) if given[1] else None,
        grid=Grid(arguments.grid),
        empty=EmptyRule(arguments.empty),
        lesion=LesionRule(arguments.lesion_overlap, arguments.lesion_mm),
    )
    model = None if arguments.model is None else _known_model(arguments.model)
    out: Path = arguments.output
    keep = out / ".cases"
    if arguments.overwrite and keep.is_dir():
        for file in keep.glob("*.json"):
            file.unlink()
    from renalis.evaluation.progress import Progress

    with Progress(quiet=arguments.json) as progress:
        evaluation = evaluate(
            arguments.reference,
            arguments.prediction,
            options,
            missing=Missing(arguments.missing),
            keep=keep,
            jobs=arguments.jobs,
            seed=arguments.seed,
            progress=progress,
            model=model,
        )
    data = metrics_json(evaluation)
    check_not_gone(keep)
    write_text(out / "metrics.csv", headline_csv(evaluation))
    write_text(out / "details.csv", details_csv(evaluation))
    write_json(out / "metrics.json", data)
    write_text(out / "metrics.html", metrics_page(evaluation))
    if arguments.json:
        del data["cases"]
        print(json.dumps(data, indent=1))
    else:
        _print(evaluation, out)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse values that argparse lets through."""
    if arguments.labels not in SCORED:
        raise UsageError(
            f"--labels says in which convention to score, and nothing is scored as "
            f"{arguments.labels}; say which files are written in it: --prediction-labels "
            f"{arguments.labels} or --reference-labels {arguments.labels}"
        )
    if arguments.jobs < 1:
        raise UsageError("--jobs must be at least 1")
    if not 0 < arguments.lesion_overlap <= 1:
        raise UsageError("--lesion-overlap is a share above 0 and up to 1")
    if not arguments.lesion_mm >= 0:
        raise UsageError("--lesion-mm must be 0 or more")
    if arguments.output.exists() and not arguments.output.is_dir():
        raise UsageError(f"{arguments.output} is a file; --output needs a folder")


def _known_model(name: str) -> KnownModel:
    """What a model, or a run, knows about its training."""
    from renalis.known_cases import KnownModel

    path = Path(name)
    if (path / "recipe.json").is_file():
        from renalis.recipes import stored_system
        from renalis.systems.training_cases import known_cases

        return KnownModel(stored_system(path).name, known_cases(path))
    from renalis.model import read_any_header

    header = read_any_header(name)
    images = header.training.get("images")
    description = ". ".join(filter(None, (str(images or ""), header.data_credit)))
    return KnownModel(f"{header.name} {header.version}", header.cases, description=description)


def _print(evaluation: Evaluation, out: Path) -> None:
    """The summary as a table, and whatever must not go unnoticed."""
    from renalis.evaluation.page import warnings

    print(f"{'region':<14}{'cases':>6}  {'Dice':<24}{'surface Dice':<24}{'HD95 mm':>8}{'ml':>9}")
    for name, found in evaluation.summaries.items():
        dice, surface = found["dice"], found["surface_dice"]
        cells = [_with_interval(s) for s in (dice, surface)]
        hd, error = found["hd95_mm"], found["volume_error_ml"]
        print(
            f"{name:<14}{dice.n:>6}  {cells[0]:<24}{cells[1]:<24}"
            f"{f'{hd.mean:.1f}' if hd.n else '-':>8}{f'{error.mean:+.1f}':>9}"
        )
    for warning in warnings(evaluation):
        print(f"note: {warning}", file=sys.stderr)
    print(f"tables and page: {out}")


def _with_interval(s: Summary) -> str:
    """Mean with its interval, where there are cases enough for one."""
    if not s.n:
        return "-"
    return f"{s.mean:.5f}" + (f" ({s.low:.3f}-{s.high:.3f})" if s.has_interval else "")
