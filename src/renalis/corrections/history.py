"""Versions of a case's label map: the model's own, and each correction in a folder beside it.

A correction is a folder ``corrections/0001`` of the case with ``segmentation.nii.gz`` on exactly
the scan's grid, ``measurements.json``, ``correction.json``, and what the model's result has of
report and further formats. It appears whole or not at all, and is never changed afterwards; the
model's result stays as it is.
"""

from __future__ import annotations

import getpass
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from renalis.conventions import Label
from renalis.corrections.outputs import write_outputs
from renalis.corrections.results import Result
from renalis.dataset.atomic_folder import new_folder, put_in_place
from renalis.disk_failures import check_not_gone
from renalis.errors import InputError
from renalis.io import Scan, write_labels, write_text
from renalis.io.lock import held
from renalis.io.read_labels import read_label_map
from renalis.io.scan import shown
from renalis.measurement import measure
from renalis.pipeline.folder import (
    CORRECTIONS,
    LABELS,
    MEASUREMENTS,
    file_sha256,
    write_json,
)
from renalis.volume import Kind, Volume

__all__ = [
    "ABOUT",
    "MODEL",
    "Version",
    "labels_of",
    "measurements_of",
    "newest",
    "save",
    "this_user",
    "versions",
]

MODEL = "model"
"""Name of the version that the model made."""
ABOUT = "correction.json"
_NUMBER = re.compile(r"\d{4,}")
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Version:
    """One label map of a case.

    Attributes
    ----------
    name : str
        `MODEL`, or the number of the correction, such as ``"0001"``.
    folder : Path
        Where its label map and measurements lie.
    record : mapping
        Content of ``correction.json``: ``based_on``, ``who``, ``when`` (UTC), ``note``,
        ``changed_voxels``, and ``not_written`` (sentences) where a file failed; empty for the
        model's.
    """

    name: str
    folder: Path
    record: Mapping[str, Any] = field(default_factory=dict)


def versions(result: Result) -> tuple[Version, ...]:
    """The model's label map and all corrections, oldest first."""
    found = [Version(MODEL, result.folder)]
    folder = result.folder / CORRECTIONS
    if folder.is_dir():
        for path in sorted(folder.iterdir(), key=lambda p: (len(p.name), p.name)):
            record = _record(path) if _NUMBER.fullmatch(path.name) else None
            if record is not None:
                found.append(Version(path.name, path, record))
    return tuple(found)


def newest(result: Result) -> Version:
    """The last correction; the model's own version where there is none."""
    return versions(result)[-1]


def version_named(result: Result, name: str) -> Version:
    """The version of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    for version in versions(result):
        if version.name == name:
            return version
    raise InputError(f"{result.name} has no version {name!r}")


def labels_of(version: Version, scan: Scan) -> Volume:
    """A version's label map with the scan's own affine, uint8.

    Raises
    ------
    InputError
        If its file is damaged or was replaced by one of another size.
    """
    path = version.folder / LABELS
    array = read_label_map(path, placed=False).array
    if array.shape != scan.volume.shape:
        raise InputError(f"{shown(path)} does not lie on its scan's grid; it was replaced")
    return scan.volume.like(array, Kind.LABELS)


def measurements_of(version: Version) -> Mapping[str, Any] | None:
    """Content of a version's ``measurements.json``; None where it is missing or damaged."""
    return _mapping(version.folder / MEASUREMENTS)


def save(
    result: Result,
    scan: Scan,
    labels: Volume,
    *,
    based_on: str = MODEL,
    who: str = "",
    note: str = "",
) -> Version:
    """Keep a corrected label map as a new version, measured anew.

    Parameters
    ----------
    result : Result
        The case.
    scan : Scan
        From `renalis.corrections.scans.read_case_scan`.
    labels : Volume
        KiTS23 labels, uint8, on the scan's grid.
    based_on : str
        Name of the version that was changed.
    who, note : str
        Kept with it; without ``who`` the name of this user.

    Returns
    -------
    Version
        The new one.

    Raises
    ------
    InputError
        If there is no version ``based_on``, or another process keeps the folder.
    OutputError
        If it cannot be written; then nothing is.
    ValueError
        If the labels do not lie on the scan's grid or hold other values than 0 to 3.
    """
    before = labels_of(version_named(result, based_on), scan)
    measured = measure(scan.volume, labels)
    check_not_gone(result.labels)
    folder = result.folder / CORRECTIONS
    busy = f"another program is saving a correction of {result.name}; try again"
    with held(folder, busy, _PATIENCE_S):
        for left in folder.glob(".*.partial"):  # of a program that was killed: the lock is ours
            shutil.rmtree(left, ignore_errors=True)
        target = folder / _next_name(folder)
        with new_folder(target) as part:
            write_labels(part / LABELS, labels, scan)
            write_text(part / MEASUREMENTS, measured.to_json())
            who = who or this_user()
            not_written = write_outputs(part, result, scan, labels, measured, who)
            record = {
                "schema": "renalis-correction-1",
                "case": result.name,
                "based_on": based_on,
                "who": who,
                "when": datetime.now(UTC).isoformat(timespec="seconds"),
                "note": note,
                "renalis": metadata.version("renalis"),
                "changed_voxels": _changed(before, labels),
                "labels_sha256": file_sha256(part / LABELS),
                **({"not_written": not_written} if not_written else {}),
            }
            write_json(part / ABOUT, record)
            put_in_place(part, target, (), ABOUT)
    return Version(target.name, target, record)


def this_user() -> str:
    """Name under which the user of this machine is logged in."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such account, as in some containers
        return "unknown"


def _changed(before: Volume, after: Volume) -> dict[str, dict[str, int]]:
    """By label, how many voxels it gained and lost."""
    changed = before.array != after.array
    old, new = before.array[changed], after.array[changed]
    return {
        label.name.lower(): {
            "gained": int(np.count_nonzero(new == label)),
            "lost": int(np.count_nonzero(old == label)),
        }
        for label in (Label.KIDNEY, Label.TUMOR, Label.CYST)
    }


def _next_name(folder: Path) -> str:
    """A number that no folder has, complete or not."""
    taken = [int(path.name) for path in folder.iterdir() if _NUMBER.fullmatch(path.name)]
    return f"{max(taken, default=0) + 1:04d}"


def _record(folder: Path) -> Mapping[str, Any] | None:
    """What a correction's folder says about it; None if it is none."""
    return _mapping(folder / ABOUT) if (folder / LABELS).is_file() else None


def _mapping(path: Path) -> Mapping[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, Mapping) else None
