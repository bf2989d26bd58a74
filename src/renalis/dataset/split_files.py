"""Splits on disk: JSON of our own, and the list of folds that nnU-Net and KiTS23 systems share.

Ours: ``{"format": "renalis split", "version": 1, "dataset": …, "made": {…}, "folds": [{"train":
[…], "val": […], "test": […]}]}``. The other (``splits_final.json``) is the bare list of folds
``[{"train": […], "val": […]}, …]``; KiTS23's own repository stores no folds, and its published
baselines use this file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from renalis.dataset.cases import Case, listed
from renalis.dataset.splits import Split
from renalis.errors import InputError
from renalis.io import write_text
from renalis.io.scan import shown

__all__ = ["check_patients", "load_split", "load_splits", "save_splits"]

_FORMAT = "renalis split"


def save_splits(
    path: Path,
    splits: Sequence[Split],
    *,
    dataset: str = "",
    made: Mapping[str, Any] | None = None,
    folds_only: bool = False,
) -> None:
    """Write splits, whole or not at all.

    Parameters
    ----------
    path : Path
        The JSON file.
    splits : sequence of Split
        One for a holdout, k for cross-validation.
    dataset : str
        Name of the dataset.
    made : mapping, optional
        How the split was made (kind, seed, filter), so that a reader can make it again.
    folds_only : bool
        Write nnU-Net's ``splits_final.json``, which has no test sets.

    Raises
    ------
    OutputError
        If it cannot be written.
    InputError
        If ``folds_only`` is asked of splits with a test set.
    """
    folds: list[dict[str, list[str]]] = []
    for split in splits:
        fold = {"train": list(split.train), "val": list(split.val)}
        if split.test:
            if folds_only:
                raise InputError(
                    "nnU-Net's splits_final.json has no test set; write the split in renalis' own "
                    "format, or leave the test cases out with --exclude"
                )
            fold["test"] = list(split.test)
        folds.append(fold)
    content: Any = folds
    if not folds_only:
        content = {
            "format": _FORMAT,
            "version": 1,
            "dataset": dataset,
            "made": dict(made or {}),
            "folds": folds,
        }
    write_text(path, json.dumps(content, indent=1) + "\n")


def load_splits(path: Path) -> tuple[Split, ...]:
    """Read splits in either format, or a single ``{"train": …, "val": …, "test": …}``.

    Raises
    ------
    InputError
        If the file is no split, or a case stands on two sides.
    """
    name = shown(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{name} cannot be read as JSON ({error}); check the file") from error
    if isinstance(content, dict) and "folds" in content:
        content = content["folds"]
    elif isinstance(content, dict):
        content = [content]
    wrong = InputError(
        f"{name} is no split: wanted are case ids under train, val and test, "
        "as `renalis dataset split` writes them, or nnU-Net's splits_final.json"
    )
    if not isinstance(content, list) or not content:
        raise wrong
    splits = []
    for fold in content:
        if (
            not isinstance(fold, dict)
            or "train" not in fold
            or set(fold) - {"train", "val", "test"}
        ):
            raise wrong
        sides = [fold.get(side, []) for side in ("train", "val", "test")]
        if not all(isinstance(s, list) and all(isinstance(i, str) for i in s) for s in sides):
            raise wrong
        try:
            splits.append(Split(*(tuple(side) for side in sides)))
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    return tuple(splits)


def load_split(path: Path, fold: int = 0) -> Split:
    """Read one fold; InputError if there is no such fold."""
    splits = load_splits(path)
    if not 0 <= fold < len(splits):
        raise InputError(f"{shown(path)} holds {len(splits)} folds, counted from 0; not {fold}")
    return splits[fold]


def check_patients(split: Split, cases: Sequence[Case]) -> None:
    """Refuse a split that has one patient on two sides.

    Parameters
    ----------
    split : Split
        Case ids; those that are not among ``cases`` are ignored.
    cases : sequence of Case
        Who is whose.

    Raises
    ------
    InputError
        Naming the patients' cases.
    """
    owner = {case.id: case.patient for case in cases}
    sides: dict[str, set[str]] = {}
    for name, ids in (("train", split.train), ("val", split.val), ("test", split.test)):
        for i in ids:
            if i in owner:
                sides.setdefault(owner[i], set()).add(name)
    torn = {patient for patient, found in sides.items() if len(found) > 1}
    if torn:
        names = listed(case.id for case in cases if case.patient in torn)
        raise InputError(
            f"the split has scans of one patient on two sides ({names}), so scores would be too "
            "good; make it again with `renalis dataset split`"
        )
