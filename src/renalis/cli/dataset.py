"""``renalis dataset``: check a dataset, describe, split, cut, export it; collect corrections."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renalis.choices import DATASET_KINDS
from renalis.cli.seeds import seed
from renalis.conventions import SCORED
from renalis.errors import UsageError

if TYPE_CHECKING:
    from renalis.dataset.cases import Dataset
    from renalis.dataset.check import CheckReport
    from renalis.dataset.filters import CaseFilter

__all__ = ["add_arguments", "run"]

_SHOWN = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = _action(actions, "check", "read every case and report what is wrong")
    check.add_argument("--quick", action="store_true", help="of the scans, read only the headers")
    check.add_argument("--json", action="store_true", help="print all findings for machines")
    check.add_argument("-o", "--output", type=Path, metavar="FILE", help="write them as JSON too")
    describe = _action(actions, "fingerprint", "hashes, spacings, sizes, HU and volumes as JSON")
    describe.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: print")
    split = _action(actions, "split", "draw training, validation and test cases, by patient")
    split.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="JSON")
    how = split.add_mutually_exclusive_group(required=True)
    how.add_argument("--holdout", metavar="A/B/C", help="shares in percent: 80/10/10 or 80/20")
    how.add_argument(
        "--nested", metavar="A:B:C", help="80:20:20 takes 20 %% for test, 20 %% of the rest for "
        "validation"
    )  # fmt: skip
    how.add_argument("--kfold", type=int, metavar="K", help="cross-validation, as scikit-learn's")
    split.add_argument(
        "--test-every",
        type=int,
        metavar="N",
        help="patients whose number N divides are the test side; the others are drawn",
    )
    split.add_argument("--seed", type=seed, default=42, help="default 42, the published folds'")
    split.add_argument(
        "--stratify",
        metavar="PROPERTY",
        help="keep its proportions in a holdout: a column of cases.csv or of the CSV, a clinical "
        "property of KiTS, or tumor, cyst, abnormality (has one or not)",
    )
    split.add_argument(
        "--format",
        choices=("renalis", "nnunet"),
        default="renalis",
        help="nnunet writes the bare list of folds (splits_final.json)",
    )
    rules = split.add_argument_group("cases that take part")
    rules.add_argument("--tumor-ml-max", type=float, metavar="ML", help="51.9: KiTS19's 136 cases")
    rules.add_argument(
        "--tumor-ratio-max", type=float, metavar="R", help="tumor / all that is renal"
    )
    rules.add_argument("--keep-smallest", type=int, metavar="N", help="the N smallest tumors")
    rules.add_argument("--exclude", nargs="+", default=(), metavar="CASE", help="leave these out")
    rules.add_argument(
        "--fingerprint", type=Path, metavar="FILE", help="take volumes from it; do not read labels"
    )
    cut = _action(actions, "cut-slices", "draw single axial slices of the scans, for 2D recipes")
    cut.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.npz")
    cut.add_argument("--per-scan", type=int, default=10, metavar="N", help="default 10")
    cut.add_argument(
        "--labelled",
        type=float,
        default=0.7,
        metavar="SHARE",
        help="share of them that hold kidney, tumor or cyst (default 0.7)",
    )
    cut.add_argument("--seed", type=seed, default=0, help="of the draw (default 0)")
    export = _action(actions, "export-nnunet", "write nnU-Net's raw format")
    export.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="nnUNet_raw"
    )
    export.add_argument(
        "--id", type=int, required=True, metavar="N", help="nnU-Net's number, 1-999"
    )
    export.add_argument("--name", default="", help="nnU-Net's name (default: the kind of dataset)")
    export.add_argument("--split", type=Path, metavar="FILE", help="becomes splits_final.json")
    export.add_argument("--regions", action="store_true", help="train on KiTS's nested regions")
    export.add_argument("--overwrite", action="store_true", help="go on in a folder that exists")

    corrected = actions.add_parser(
        "corrected",
        help="make a dataset of the cases corrected in renalis view",
        description="copy scans and newest corrections of results into a dataset to learn from",
    )
    corrected.add_argument(
        "results", nargs="+", type=Path, metavar="OUT", help="-o folders of renalis segment"
    )
    corrected.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DATA", help="the dataset"
    )
    corrected.add_argument(
        "--scans",
        nargs="+",
        default=(),
        type=Path,
        metavar="PATH",
        help="scans, or folders that hold them, where they are not where they were",
    )
    corrected.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)


def _action(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    """An action with what all of them take."""
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder of the dataset, or a CSV")
    parser.add_argument(
        "--kind",
        choices=("auto", *DATASET_KINDS),
        default="auto",
        help="default: detected from the file names",
    )
    parser.add_argument(
        "--labels",
        choices=[one.value for one in SCORED],
        help="label convention, where the dataset does not give it",
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes"
    )
    parser.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Open the dataset and do what was asked."""
    if arguments.action == "corrected":
        return _corrected(arguments)
    if arguments.jobs < 1:
        raise UsageError("--jobs must be at least 1")
    from renalis.dataset.opening import open_dataset

    dataset = open_dataset(arguments.data, arguments.kind, arguments.labels)
    for note in dataset.notes:
        print(f"note: {note}", file=sys.stderr)
    actions: dict[str, Callable[[Dataset, argparse.Namespace], int]] = {
        "check": _check,
        "fingerprint": _fingerprint,
        "split": _split,
        "cut-slices": _cut,
        "export-nnunet": _export,
    }
    return actions[arguments.action](dataset, arguments)


def _corrected(arguments: argparse.Namespace) -> int:
    from renalis.corrections.training_data import collect_corrected

    cases = collect_corrected(arguments.results, arguments.output, arguments.scans, _progress())
    print(f"{len(cases)} corrected {'case' if len(cases) == 1 else 'cases'} in {arguments.output}")
    return 0


def _check(dataset: Dataset, arguments: argparse.Namespace) -> int:
    from renalis.dataset.check import check_dataset

    report = check_dataset(
        dataset, quick=arguments.quick, jobs=arguments.jobs, progress=_progress(arguments.json)
    )
    if arguments.output:
        _write(arguments.output, report.to_json())
    if arguments.json:
        print(json.dumps(report.to_json(), indent=1))
    else:
        print("\n".join(_lines(report)))
    return 1 if report.faulty else 0


def _lines(report: CheckReport) -> list[str]:
    """The report for people: a paragraph per kind of finding."""
    lines = [
        f"{report.dataset}: {report.cases} cases, {report.labelled} with labels "
        f"({report.convention})"
    ]
    kinds = dict.fromkeys((f.level, f.code) for level in ("error", "warning", "note")
                          for f in report.findings if f.level == level)  # fmt: skip
    for level, code in kinds:
        found = [f for f in report.findings if (f.level, f.code) == (level, code)]
        cases = len({f.case for f in found})
        lines.append(f"{level.value} {code}: {cases} {'case' if cases == 1 else 'cases'}")
        lines += [f"  {f.case}: {f.sentence}" for f in found[:_SHOWN]]
        if len(found) > _SHOWN:
            lines.append("  also " + ", ".join(f.case for f in found[_SHOWN:]))
    if not report.faulty:
        lines.append("nothing is wrong that a training would suffer from")
    return lines


def _fingerprint(dataset: Dataset, arguments: argparse.Namespace) -> int:
    from renalis.dataset.fingerprint import fingerprint

    content = fingerprint(dataset, jobs=arguments.jobs, progress=_progress())
    if arguments.output is None:
        print(json.dumps(content, indent=1))
        return 0
    _write(arguments.output, content)
    print(f"{content['cases']} cases, {content['sha256'][:16]}, in {arguments.output}")
    return 0


def _split(dataset: Dataset, arguments: argparse.Namespace) -> int:
    from renalis.dataset.filters import CaseFilter, label_volumes
    from renalis.dataset.fingerprint import read_volumes
    from renalis.dataset.make_splits import (
        kept_back,
        make_splits,
        strata_of,
        with_kept_back,
    )
    from renalis.dataset.split_files import save_splits

    rules = CaseFilter(
        tumor_ml_max=arguments.tumor_ml_max,
        tumor_ratio_max=arguments.tumor_ratio_max,
        keep_smallest=arguments.keep_smallest,
        exclude=tuple(arguments.exclude),
    )
    ids = [case.id for case in dataset.labelled]
    volumes: dict[str, dict[str, float]] = {}
    if rules.needs_volumes or arguments.stratify in dataset.convention.values:
        if arguments.fingerprint:
            volumes = read_volumes(arguments.fingerprint)
        else:
            volumes = label_volumes(
                dataset.labelled, dataset.convention, arguments.jobs, _progress()
            )
    kept = rules.kept(ids, volumes)
    every = arguments.test_every
    held = () if every is None else kept_back(dataset, kept, every)
    drawn = [i for i in kept if i not in set(held)]
    strata = None
    if arguments.stratify:
        strata = strata_of(dataset, drawn, arguments.stratify, volumes)
    how = arguments.holdout or arguments.nested or f"{arguments.kfold}-fold"
    splits = make_splits(dataset, drawn, how, arguments.seed, strata)
    if held:
        splits = with_kept_back(splits, held)
    save_splits(
        arguments.output,
        splits,
        dataset=dataset.name,
        made=_made(arguments, rules, len(kept)),
        folds_only=arguments.format == "nnunet",
    )
    if len(kept) < len(ids):
        print(f"{len(kept)} of {len(ids)} labelled cases take part")
    for number, split in enumerate(splits):
        train, val, test = split.sizes
        print(f"fold {number}: {train} for training, {val} for validation, {test} for test")
    return 0


def _made(arguments: argparse.Namespace, rules: CaseFilter, cases: int) -> dict[str, Any]:
    """How the split was made, without paths."""
    made: dict[str, Any] = {"cases": cases, "by": "patient", "seed": arguments.seed}
    for name in ("holdout", "nested", "kfold", "stratify", "test_every"):
        if getattr(arguments, name) is not None:
            made[name] = getattr(arguments, name)
    for name in ("tumor_ml_max", "tumor_ratio_max", "keep_smallest", "exclude"):
        if getattr(rules, name):
            made[name] = getattr(rules, name)
    return made


def _cut(dataset: Dataset, arguments: argparse.Namespace) -> int:
    from renalis.dataset.cutting import cut_slices
    from renalis.dataset.slices import write_slices

    output: Path = arguments.output
    if output.suffix != ".npz":
        raise UsageError(f"{output} is where slices go; give it the ending .npz")
    slices = cut_slices(
        dataset,
        arguments.per_scan,
        arguments.labelled,
        arguments.seed,
        name=output.stem,
        progress=_progress(what="scans"),
    )
    write_slices(output, slices)
    print(f"{len(slices)} slices of {len(set(slices.case.tolist()))} patients in {output}")
    return 0


def _export(dataset: Dataset, arguments: argparse.Namespace) -> int:
    from renalis.dataset.export_nnunet import export_nnunet
    from renalis.dataset.split_files import load_splits

    folder = export_nnunet(
        dataset,
        arguments.output,
        arguments.id,
        arguments.name,
        splits=load_splits(arguments.split) if arguments.split else (),
        regions=arguments.regions,
        jobs=arguments.jobs,
        overwrite=arguments.overwrite,
        progress=_progress(what="steps (every case is checked, then written)"),
    )
    print(folder)
    return 0


def _write(path: Path, content: dict[str, Any]) -> None:
    from renalis.io import write_text

    write_text(path, json.dumps(content, indent=1) + "\n")


def _progress(quiet: bool = False, what: str = "cases") -> Callable[[int, int], None]:
    """How far the work is: a living line on a terminal, a line for each tenth elsewhere."""
    start = time.monotonic()
    terminal = sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        if quiet or not (terminal or done == total or done % max(1, total // 10) == 0):
            return
        left = (time.monotonic() - start) / done * (total - done)
        end = "\n" if done == total or not terminal else ""
        begin = "\r\033[K" if terminal else ""
        print(
            f"{begin}{done}/{total} {what}, {left:.0f} s left", end=end, file=sys.stderr, flush=True
        )

    return show
