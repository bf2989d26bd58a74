"""Find the label maps in a folder, and the names of their cases."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from renalis.errors import InputError
from renalis.evaluation.case_names import GENERIC, CaseName
from renalis.evaluation.label_sources import LabelKind, kind_of
from renalis.io.natural_order import by_number
from renalis.io.scan import shown
from renalis.io.segments.organ_masks import organ_masks

__all__ = ["LabelFile", "find_label_maps"]

_VALUES = re.compile(r"\.(nii(\.gz)?|mha|mhd|nrrd|nhdr)$", re.IGNORECASE)
_ENDING = re.compile(r"(\.nii(\.gz)?|(\.seg)?\.nrrd|\.nhdr|\.mha|\.mhd|\.dcm)$", re.IGNORECASE)
_OTHER = re.compile(r"\.(hdr|img|stl|obj|vtk|vtp|mgz|npz|npy)$", re.IGNORECASE)
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
        own = path.is_dir() or _stem(path) == self.name.given
        return shown(path.name if own else f"{path.parent.name}/{path.name}")


def find_label_maps(folder: Path) -> list[LabelFile]:
    """The label maps in a folder: its files, or one in each folder below it.

    A label map is a NIfTI, MetaImage or NRRD file, a folder with one mask for each
    structure, a DICOM Segmentation or RT Structure Set. A folder of masks may be given itself.

    Raises
    ------
    InputError
        If there are none, or a case's folder holds several and none is named as a label map.
    """
    if folder.is_file():
        return [_named(folder)]
    if not folder.is_dir():
        raise InputError(f"{shown(folder)} does not exist; check the path")
    if organ_masks(folder):
        return [_of_folder(folder, folder)]
    found = [_named(path) for path in _candidates(folder)]
    for below in _in_order(p for p in folder.iterdir() if p.is_dir() and not _hidden(p)):
        found += _of_one_case(below)
    if not found:
        raise InputError(f"{shown(folder)} holds no label maps: {_what_lies_there(folder)}")
    return found


def _of_one_case(folder: Path) -> list[LabelFile]:
    """The label map in a case's folder; empty if there is none."""
    candidates = _candidates(folder)
    named = [p for p in candidates if _stem(p).lower() in GENERIC]
    if len(named) != 1 and organ_masks(folder):
        return [_of_folder(folder, folder)]
    inner = _in_order(p for p in folder.rglob("*") if p.is_dir() and not _hidden(p))
    masks = [below for below in inner if organ_masks(below)]
    if not named and len(masks) == 1:
        # TotalSegmentator's own data: case/ct.nii.gz, case/segmentations/kidney_left.nii.gz.
        return [_of_folder(masks[0], folder)]
    if not candidates:
        # DICOM lies as deep as the archive that it comes from has it: study, series, file.
        candidates = [p for below in inner for p in _candidates(below) if _of_segments(p)]
    chosen = named if len(named) == 1 else candidates
    if len(chosen) > 1:
        names = ", ".join(shown(p.name) for p in chosen[:4])
        raise InputError(
            f"{shown(folder)} holds several label maps ({names}); keep one, or name the one "
            "that counts segmentation.nii.gz"
        )
    return [_of_folder(p, folder) if _of_segments(p) else _named(p) for p in chosen]


def _candidates(folder: Path) -> list[Path]:
    """The files of a folder that may be label maps."""
    found = [p for p in _niftis(folder) if _stem(p).lower() not in _IMAGE_NAMES]
    if any(_stem(p).lower() == "segmentation" for p in found):
        # Our own copy of a tilted scan's labels lies on another grid than the scan.
        found = [p for p in found if _stem(p).lower() != "segmentation_straight"]
    files = _in_order(p for p in folder.iterdir() if p.is_file() and not _hidden(p))
    segments = [p for p in files if _of_segments(p)]
    # Slicer saves case_1.seg.nrrd next to the scan that it was drawn in, case_1.nrrd.
    drawn = {_stem(p) for p in segments}
    return [p for p in found if p not in segments and _stem(p) not in drawn] + segments


def _of_segments(path: Path) -> bool:
    """Whether a file holds named segments: told by its name or, for DICOM, its header."""
    suffix = path.suffix.lower()
    if suffix not in ("", ".dcm", ".nrrd", ".nhdr") and not suffix[1:].isdecimal():
        return False
    return kind_of(path) in (LabelKind.NRRD, LabelKind.SEG, LabelKind.RTSTRUCT)


def _what_lies_there(folder: Path) -> str:
    """What to do with a folder in which nothing can be read as labels."""
    other = [p for p in sorted(folder.rglob("*")) if _OTHER.search(p.name)]
    if other:
        return f"{shown(other[0].name)} and its like cannot be read; convert them to .nii.gz"
    return (
        "it needs .nii.gz, .mha or .nrrd files, a folder of masks (kidney_left.nii.gz …) for each "
        "case, DICOM Segmentations, RT Structure Sets, or .seg.nrrd files"
    )


def _of_folder(path: Path, folder: Path) -> LabelFile:
    """A label map whose case is told by its folder."""
    return LabelFile(path, CaseName(folder.absolute().name))


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
    return _in_order(
        p for p in folder.iterdir() if p.is_file() and not _hidden(p) and _VALUES.search(p.name)
    )


def _in_order(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: by_number(path.as_posix()))
