"""Find label maps and tell which belong to the same case, by the number in their names.

``prediction_00210.nii.gz``, ``case_00210.nii.gz``, ``case_00210/segmentation.nii.gz`` and
``KiTS-210.nii`` are the same case. What has no number is paired by its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from renalis.errors import InputError
from renalis.io.scan import shown

__all__ = ["CasePair", "Pairing", "case_key", "find_label_maps", "pair_cases"]

_ENDING = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
_DATASET = re.compile(r"(kits|task|dataset)[-_]?\d+(?!\d)", re.IGNORECASE)
_YEAR_OF_KITS = re.compile(r"kits[-_]?(19|2019|21|2021|23|2023)(?!\d)", re.IGNORECASE)
_LABEL_NAMES = frozenset(
    re.findall(
        r"\w+",
        "segmentation segmentations seg label labels mask masks prediction predictions pred "
        "reference references gt truth groundtruth output aggregated_maj_seg",
    )
)
_IMAGE_NAMES = frozenset(["imaging", "image", "ct", "scan", "volume"])


@dataclass(frozen=True)
class CasePair:
    """One case: its name, its reference, and its prediction unless that is missing."""

    case_id: str
    reference: Path
    prediction: Path | None


@dataclass(frozen=True)
class Pairing:
    """All cases, in order, and the predictions for which there is no reference."""

    cases: tuple[CasePair, ...]
    unused: tuple[Path, ...]


def pair_cases(references: Path, predictions: Path) -> Pairing:
    """Pair the label maps in two folders (or two files).

    Raises
    ------
    InputError
        If there is nothing to pair, or two files of one folder are the same case.
    """
    if references.is_file() and predictions.is_file():
        return Pairing((CasePair(_case_id(references), references, predictions),), ())
    wanted = _by_key(find_label_maps(references), references)
    given = _by_key(find_label_maps(predictions), predictions)
    if not set(wanted) & set(given):
        first, second = next(iter(wanted.values())), next(iter(given.values()))
        raise InputError(
            f"no prediction in {shown(predictions)} belongs to a reference in {shown(references)}: "
            f"cases are paired by number ({_display(second)} is case {case_key(second)}, "
            f"{_display(first)} is case {case_key(first)})"
        )
    cases = [CasePair(_case_id(wanted[k]), wanted[k], given.get(k)) for k in sorted(wanted)]
    return Pairing(tuple(cases), tuple(given[k] for k in sorted(set(given) - set(wanted))))


def find_label_maps(folder: Path) -> list[Path]:
    """The label maps in a folder: its NIfTI files, or one in each folder below it.

    Raises
    ------
    InputError
        If there are none, or a case's folder holds several and none is named as a label map.
    """
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise InputError(f"{shown(folder)} does not exist; check the path")
    found = [p for p in _niftis(folder) if _stem(p) not in _IMAGE_NAMES]
    for below in sorted(p for p in folder.iterdir() if p.is_dir() and not _hidden(p)):
        candidates = [p for p in _niftis(below) if _stem(p) not in _IMAGE_NAMES]
        named = [p for p in candidates if _stem(p) in _LABEL_NAMES]
        chosen = named if len(named) == 1 else candidates
        if len(chosen) > 1:
            names = ", ".join(shown(p.name) for p in chosen[:4])
            raise InputError(
                f"{shown(below)} holds several label maps ({names}); keep one, or name the one "
                "that counts segmentation.nii.gz"
            )
        found += chosen
    if not found:
        raise InputError(f"{shown(folder)} holds no label maps (.nii or .nii.gz)")
    return found


def case_key(path: Path) -> str:
    """What identifies a case: its number, or its name where there is none.

    Examples
    --------
    >>> case_key(Path("out/prediction_00210.nii.gz"))
    '210'
    >>> case_key(Path("case_00210/segmentation.nii.gz"))
    '210'
    >>> case_key(Path("kits19_case_00210_seg.nii"))
    '210'
    >>> case_key(Path("img0210_0000.nii.gz"))
    '210'
    >>> case_key(Path("KiTS-19.nii"))
    '19'
    >>> case_key(Path("Smith.nii.gz"))
    'smith'
    """
    # nnU-Net ends the names of images in the number of their channel.
    name = re.sub(r"(?<=\d)_0\d{3}$", "", _name(path))
    # "kits19_smith" names the data set and then the case; in "KiTS-19" nothing else does.
    rest = _YEAR_OF_KITS.sub("", name)
    rest = rest if re.search(r"\d", rest) or _telling_words(rest) else name
    # "KiTS_210" is a case, "kits19_case_00210" names the data set and then the case.
    rest = _DATASET.sub("", rest) if re.search(r"\d", _DATASET.sub("", rest)) else rest
    numbers = re.findall(r"\d+", rest)
    if numbers:
        return str(int(max(reversed(numbers), key=len)))
    return "_".join(_telling_words(rest)) or name.lower()


def _telling_words(name: str) -> list[str]:
    """The words of a name without those that every case's has."""
    words = [w for w in re.split(r"[-_. ]+", name.lower()) if w]
    return [w for w in words if w not in _LABEL_NAMES | {"case"}]


def _case_id(path: Path) -> str:
    """The case's name in tables: KiTS's where there is a number of up to five digits."""
    key = case_key(path)
    return f"case_{int(key):05d}" if key.isdigit() else key


def _name(path: Path) -> str:
    """The part of the path that names the case: the folder's name if the file's says nothing."""
    stem = _ENDING.sub("", path.name)
    return path.parent.name if stem.lower() in _LABEL_NAMES and path.parent.name else stem


def _stem(path: Path) -> str:
    return _ENDING.sub("", path.name).lower()


def _display(path: Path) -> str:
    return shown(
        path.name if _name(path) != path.parent.name else f"{path.parent.name}/{path.name}"
    )


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _niftis(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.iterdir() if p.is_file() and not _hidden(p) and _ENDING.search(p.name)
    )


def _by_key(paths: Sequence[Path], folder: Path) -> dict[str, Path]:
    """Label maps by case, in the order of their numbers."""
    result: dict[str, Path] = {}
    for path in paths:
        key = case_key(path)
        if key in result:
            raise InputError(
                f"{_display(result[key])} and {_display(path)} in {shown(folder)} are both case "
                f"{key}; keep one of them"
            )
        result[key] = path
    ordered = sorted(result, key=lambda k: (not k.isdigit(), int(k) if k.isdigit() else 0, k))
    return {key: result[key] for key in ordered}
