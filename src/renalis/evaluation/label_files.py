"""Find the label maps in a folder, and the names of their cases."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from renalis.errors import InputError
from renalis.evaluation.names import GENERIC, CaseName
from renalis.io.scan import shown

__all__ = ["LabelFile", "find_label_maps"]

_ENDING = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
_IMAGE_NAMES = frozenset(["imaging", "image", "ct", "scan", "volume"])


@dataclass(frozen=True)
class LabelFile:
    """A label map on disk, and what its name tells."""

    path: Path
    name: CaseName

    @property
    def display(self) -> str:
        """The file as messages and tables call it: with its folder where that names the case."""
        path = self.path
        own = _stem(path) == self.name.given
        return shown(path.name if own else f"{path.parent.name}/{path.name}")


def find_label_maps(folder: Path) -> list[LabelFile]:
    """The label maps in a folder: its NIfTI files, or one in each folder below it.

    Raises
    ------
    InputError
        If there are none, or a case's folder holds several and none is named as a label map.
    """
    if folder.is_file():
        return [_named(folder)]
    if not folder.is_dir():
        raise InputError(f"{shown(folder)} does not exist; check the path")
    found = _candidates(folder)
    for below in sorted(p for p in folder.iterdir() if p.is_dir() and not _hidden(p)):
        found += _of_one_case(below)
    if not found:
        raise InputError(f"{shown(folder)} holds no label maps (.nii or .nii.gz)")
    return [_named(path) for path in found]


def _of_one_case(folder: Path) -> list[Path]:
    """The label map in a case's folder; empty if there is none."""
    candidates = _candidates(folder)
    named = [p for p in candidates if _stem(p).lower() in GENERIC]
    chosen = named if len(named) == 1 else candidates
    if len(chosen) > 1:
        names = ", ".join(shown(p.name) for p in candidates[:4])
        raise InputError(
            f"{shown(folder)} holds several label maps ({names}); keep one, or name the one "
            "that counts segmentation.nii.gz"
        )
    return chosen


def _candidates(folder: Path) -> list[Path]:
    """The NIfTI files of a folder that may be label maps."""
    found = [p for p in _niftis(folder) if _stem(p).lower() not in _IMAGE_NAMES]
    if any(_stem(p).lower() == "segmentation" for p in found):
        # Our own copy of a tilted scan's labels lies on another grid than the scan.
        found = [p for p in found if _stem(p).lower() != "segmentation_straight"]
    return found


def _named(path: Path) -> LabelFile:
    """A label map with the name of its case."""
    stem = _stem(path)
    folder = path.absolute().parent.name
    return LabelFile(path, CaseName(folder if stem.lower() in GENERIC and folder else stem))


def _stem(path: Path) -> str:
    return _ENDING.sub("", path.name)


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _niftis(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.iterdir() if p.is_file() and not _hidden(p) and _ENDING.search(p.name)
    )
