"""nnU-Net's raw format, versions 1 and 2: ``dataset.json``, ``imagesTr``, ``labelsTr``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from renalis.conventions import Convention
from renalis.dataset.cases import Case, Dataset, listed
from renalis.errors import InputError
from renalis.io.natural_order import by_number
from renalis.io.scan import case_id_from, shown

__all__ = ["convention_of_labels", "open_nnunet"]

_SAME = {
    "tumour": "tumor",
    "cancer": "tumor",
    "renal tumor": "tumor",
    "kidney parenchyma": "parenchyma",
    "renal mass": "abnormality",
    "mass": "abnormality",
    "kidney abnormality": "abnormality",
    "abnormalities": "abnormality",
}


def open_nnunet(root: Path, convention: Convention | None = None) -> Dataset:
    """Training cases of an nnU-Net raw folder (``Dataset220_KiTS2023`` or ``Task048_KiTS``).

    ``imagesTs`` is left out: nnU-Net never trains with it.

    Parameters
    ----------
    root : Path
        The folder with ``dataset.json``, or that file.
    convention : Convention or None
        None reads the names of the labels in ``dataset.json``.

    Returns
    -------
    Dataset
        Each image is a patient of its own, since the format does not tell.

    Raises
    ------
    InputError
        If the folder is not complete, has more than one channel, or its labels are none that
        renalis knows.
    """
    root = root.parent if root.name == "dataset.json" else root
    dataset_json = _dataset_json(root)
    if convention is None:
        convention = convention_of_labels(dataset_json.get("labels"), root)
    channels = _channels(dataset_json, root)
    if len(channels) != 1:
        raise InputError(
            f"{shown(root)} has {len(channels)} channels per case; renalis reads scans of one (CT)"
        )
    ending = str(dataset_json.get("file_ending", ".nii.gz"))
    if ending not in (".nii.gz", ".nii"):
        raise InputError(
            f"{shown(root)} holds {ending} files; renalis reads NIfTI, so convert them to .nii.gz"
        )
    labels = _labels(root, ending)
    cases, notes = [], []
    images = sorted((root / "imagesTr").glob(f"*_0000{ending}"), key=lambda p: by_number(p.name))
    for image in images:
        stem = image.name[: -len(f"_0000{ending}")]
        cases.append(Case(case_id_from(stem), image, labels.pop(stem, None), stem))
    if not cases:
        raise InputError(
            f"{shown(root / 'imagesTr')} holds no file that ends in _0000{ending}: nnU-Net's names "
            "end in the number of the channel"
        )
    if labels:
        raise InputError(
            f"{shown(root)} has labels without image ({listed(labels)}); "
            f"imagesTr needs a file NAME_0000{ending} for each"
        )
    without = [case.id for case in cases if case.label is None]
    if without:
        notes.append(f"images without label map in imagesTr ({len(without)}): {listed(without)}")
    held = list((root / "imagesTs").glob(f"*{ending}"))
    if held:
        notes.append(f"images in imagesTs ({len(held)}) were left out: they are for testing")
    if "ct" not in channels[0].lower():
        notes.append("dataset.json does not call the channel CT; the scans are read as HU anyway")
    return Dataset(root.name, convention, tuple(cases), root, tuple(notes))


def _channels(dataset_json: Mapping[str, Any], root: Path) -> list[str]:
    """Names of the channels; nnU-Net writes them by number, other tools as a list or a word."""
    named = dataset_json.get("channel_names") or dataset_json.get("modality") or {"0": "CT"}
    if isinstance(named, Mapping):
        return [str(name) for name in named.values()]
    if isinstance(named, str):
        return [named]
    if isinstance(named, list):
        return [str(name) for name in named]
    raise InputError(
        f"channel_names in {shown(root)}'s dataset.json are {shown(named)}; write "
        '{"0": "CT"} instead'
    )


def convention_of_labels(labels: Any, root: Path) -> Convention:
    """Which convention the labels of a ``dataset.json`` are.

    Parameters
    ----------
    labels : dict
        Name to value (version 2), value to name (version 1), or name to a list of values
        (regions).
    root : Path
        For the message.

    Raises
    ------
    InputError
        If it is none that renalis knows.

    Examples
    --------
    >>> str(convention_of_labels({"background": 0, "kidney": 1, "tumor": 2}, Path(".")))
    'kits19'
    >>> regions = {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2}
    >>> str(convention_of_labels(regions, Path(".")))
    'kits23'
    """
    named = _by_name(labels) if isinstance(labels, Mapping) else {}
    if named.get("kidney") == (1, 2, 3) and named.get("tumor") == (2,):
        return Convention.KITS23
    for convention in Convention:
        wanted = {name: (value,) for name, value in convention.values.items()}
        if named == wanted:
            return convention
    if named == {"kidney": (1,), "abnormality": (2,)}:
        return Convention.RADBOUD
    raise InputError(
        f"the labels in {shown(root)}'s dataset.json ({listed(map(str, named)) or 'none'}) are no "
        "convention that renalis knows; say what the values mean with --labels"
    )


def _by_name(labels: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Values of each label but the background, whichever way round they are stored."""
    named: dict[str, tuple[int, ...]] = {}
    for key, value in labels.items():
        name, values = (value, key) if str(key).isdecimal() else (key, value)
        numbers = values if isinstance(values, list) else [values]
        if not all(str(n).isdecimal() for n in numbers) or str(name).lower() == "background":
            continue
        low = str(name).lower().strip()
        named[_SAME.get(low, low)] = tuple(sorted(int(n) for n in numbers))
    return named


def _dataset_json(root: Path) -> dict[str, Any]:
    file = root / "dataset.json"
    try:
        dataset_json = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{shown(root)} has no dataset.json, so it is no nnU-Net raw folder; "
            "for a folder with images/ and labels/ use --kind folder"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{shown(file)} cannot be read as JSON ({error}); correct it") from error
    if not isinstance(dataset_json, dict):
        raise InputError(f"{shown(file)} is not nnU-Net's dataset.json; correct it")
    return dataset_json


def _labels(root: Path, ending: str) -> dict[str, Path]:
    folder = root / "labelsTr"
    return {p.name[: -len(ending)]: p for p in folder.glob(f"*{ending}") if p.name[0] != "."}
