"""Out-of-fold label maps: predicted once, stored with what they were made from."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from renalis.compute_device import DeviceChoice
from renalis.crossvalidation.fold_segmenters import fold_hash, open_fold
from renalis.crossvalidation.runs import CrossRun, HeldOut
from renalis.dataset import Case
from renalis.disk_failures import check_not_gone, make_folder
from renalis.errors import InputError, OutputError, RenalisError
from renalis.io import Scan, read_scan, write_labels, write_text
from renalis.io.lock import held
from renalis.io.read_labels import content_hash
from renalis.known_cases import OUT_OF_FOLD, seen_case
from renalis.preparation import file_hash
from renalis.systems.segmenter import Segmenter
from renalis.voxel_hash import voxel_hash

__all__ = [
    "LABELS",
    "MARK",
    "Kept",
    "Made",
    "Predicted",
    "Report",
    "Wanted",
    "keep_label_maps",
    "label_map",
    "predicted_here",
    "predictor",
]

LABELS = "labels"
MARK = "run.json"

Report = Callable[[str], None]


@dataclass(frozen=True)
class Kept:
    """What became of a run's held-out cases.

    Attributes
    ----------
    problems : dict
        Case and reason, where there is no label map.
    notes : dict
        By case: what the reader of its scores should know.
    made : int
        Label maps that were not there before.
    """

    problems: dict[str, str]
    notes: dict[str, tuple[str, ...]]
    made: int


@dataclass(frozen=True)
class Wanted:
    """A case that has no label map yet: the fold that predicts it, its scan, and its key."""

    fold: int
    case: str
    image: Path
    key: str


@dataclass(frozen=True)
class Made:
    """What became of a case: what to know of its label map, or why there is none."""

    case: str
    notes: tuple[str, ...] = ()
    problem: str = ""


Predicted = Callable[[Sequence[Wanted], Path], Iterator[Made]]
"""Predicts cases into a folder of results, in any order."""


def label_map(folder: Path, case_id: str) -> Path:
    """Where a case's label map lies in the folder of a run's results."""
    return folder / LABELS / f"{case_id}.nii.gz"


def keep_label_maps(
    run: CrossRun,
    held_out: HeldOut,
    folder: Path,
    predicted: Predicted,
    *,
    overwrite: bool,
    report: Report,
) -> Kept:
    """Predict every held-out case that has no label map yet.

    Parameters
    ----------
    run : CrossRun
    held_out : HeldOut
        Which fold predicts whom.
    folder : Path
        Of the run's results: ``labels/CASE.nii.gz``, and ``CASE.json`` next to it, written last.
    predicted : callable
        Predicts them.
    overwrite : bool
        Make label maps anew that were made from another scan or by other networks.
    report : callable
        Takes progress lines.

    Raises
    ------
    InputError
        If another process works there.
    OutputError
        If the folder cannot be written, or holds something else.
    """
    problems: dict[str, str] = {}
    notes: dict[str, tuple[str, ...]] = {}
    wanted: list[Wanted] = []
    total = len(held_out.cases)
    with _alone(folder, run):
        for fold, cases in held_out.folds.items():
            networks = fold_hash(run, fold)
            for case in cases:
                try:
                    key = _key(case, fold, networks)
                except RenalisError as error:
                    problems[case.id] = str(error)
                    continue
                known = _finished(folder, case.id, key, overwrite)
                if known is None:
                    wanted.append(Wanted(fold, case.id, case.image, key))
                else:
                    notes[case.id] = tuple(known["notes"])
        if len(wanted) < total - len(problems):
            report(f"{run.name}: {total - len(problems) - len(wanted)} label maps are there")
        for one in predicted(wanted, folder):
            if one.problem:
                problems[one.case] = one.problem
                report(f"{run.name}: {one.case} is left out: {one.problem}")
            else:
                notes[one.case] = one.notes
    order = [case.id for case in held_out.cases]  # whoever was done first
    return Kept(
        {case: problems[case] for case in order if case in problems},
        {case: notes[case] for case in order if case in notes},
        sum(one.case not in problems for one in wanted),
    )


def predicted_here(
    run: CrossRun, wanted: Sequence[Wanted], folder: Path, device: DeviceChoice, report: Report
) -> Iterator[Made]:
    """Predict cases in this process, one after another.

    Raises
    ------
    OutputError
        If something cannot be written.
    """
    predict = predictor(run, folder, device)
    for number, one in enumerate(wanted, 1):
        report(f"{run.name}: {one.case} by fold {one.fold} ({number} of {len(wanted)})")
        try:
            yield Made(one.case, predict(one))
        except OutputError:
            raise
        except RenalisError as error:
            yield Made(one.case, problem=str(error))


def predictor(
    run: CrossRun, folder: Path, device: DeviceChoice
) -> Callable[[Wanted], tuple[str, ...]]:
    """What predicts a case, writes its label map and returns its notes.

    The networks of one fold are open at a time.
    """
    opened: dict[int, Segmenter] = {}

    def predict(one: Wanted) -> tuple[str, ...]:
        if one.fold not in opened:
            opened.clear()
            opened[one.fold] = open_fold(run, one.fold, device)
        return _made(run, one, opened[one.fold], folder)

    return predict


@contextmanager
def _alone(folder: Path, run: CrossRun) -> Iterator[None]:
    """The folder is this run's, and nobody else writes there."""
    if (
        folder.exists()
        and not (folder / MARK).is_file()
        and any(path.name not in (".lock", MARK) for path in _plain(folder))
    ):
        raise OutputError(
            f"{folder} holds files that are no cross-validation's; choose another output folder "
            "with -o"
        )
    with held(folder, f"another cross-validation works in {folder}; wait for its end"):
        write_text(folder / MARK, json.dumps({"format": OUT_OF_FOLD, "recipe": run.recipe}))
        make_folder(folder / LABELS)
        for part in (folder / LABELS).glob(".*.part"):  # of one that was killed
            with contextlib.suppress(OSError):
                part.unlink()
        yield


def _plain(folder: Path) -> list[Path]:
    """What lies there, without files that a killed process was writing."""
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file where a folder is needed; choose another -o")
    return [path for path in folder.iterdir() if path.suffix != ".part"]


def _key(case: Case, fold: int, networks: str) -> str:
    """Changes whenever the label map could."""
    content = {
        "renalis": metadata.version("renalis"),
        "fold": fold,
        "networks": networks,
        "scan": file_hash([case.image]),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _finished(folder: Path, case_id: str, key: str, overwrite: bool) -> dict[str, Any] | None:
    """What is noted about a finished case; None if it has to be predicted."""
    labels = label_map(folder, case_id)
    try:
        known = json.loads((folder / LABELS / f"{case_id}.json").read_text(encoding="utf-8"))
        same = known["key"] == key
        untouched = same and known["labels_sha256"] == content_hash(labels)
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None
    if untouched:
        return dict(known)
    if overwrite or (same and not labels.exists()):
        return None
    what = "was changed since it was made" if same else "was made by other networks or another scan"
    raise OutputError(f"{labels} {what}; give --overwrite or another output folder with -o")


def _made(run: CrossRun, one: Wanted, segmenter: Segmenter, folder: Path) -> tuple[str, ...]:
    """Predict a case and write its label map; returns its notes."""
    scan = read_scan(one.image)
    notes = [*scan.warnings, *_doubts(run, one.fold, one.case, scan)]
    segmented = segmenter.segment(scan)
    notes += segmented.notes
    target = label_map(folder, one.case)
    check_not_gone(target.parent)
    write_labels(target, segmented.labels, scan)
    content = {
        "format": OUT_OF_FOLD,
        "renalis": metadata.version("renalis"),
        "case": one.case,
        "system": {"name": run.recipe, "folds": [one.fold]},
        "key": one.key,
        "labels_sha256": content_hash(target),
        "rules": [
            {"name": change.name, "voxels": change.voxels, "ml": round(change.ml, 3)}
            for change in segmented.changes
        ],
        "notes": notes,
    }
    write_text(
        folder / LABELS / f"{one.case}.json",
        json.dumps(content, indent=1, ensure_ascii=False) + "\n",
    )
    return tuple(notes)


def _doubts(run: CrossRun, fold: int, case_id: str, scan: Scan) -> tuple[str, ...]:
    """Whether the scan is the one that was held out.

    Raises
    ------
    InputError
        If the fold has learned from it under another name.
    """
    image = voxel_hash(scan.volume)
    seen = seen_case(run.name, run.known, [case_id], image=image, folds=[fold])
    if seen is not None and seen.how == "learned" and seen.by == "voxels":
        raise InputError(
            f"{case_id} is no test of fold {fold}, which learned from the same voxels under the "
            f"name {seen.case}; find out which of the two scans belongs to the name"
        )
    stored = run.known.hashes.get(case_id)
    if stored is not None and stored.image and stored.image != image:
        return (f"{case_id} is not the scan that was held out in training: its voxels differ",)
    return ()
