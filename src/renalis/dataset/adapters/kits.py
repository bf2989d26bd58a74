"""KiTS 2019, 2021 and 2023: a folder per case, with the CT and one or more label maps.

The repositories keep the cases in ``data/`` (2019, 2021) or ``dataset/`` (2023); both the
repository and that folder are accepted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from renalis.conventions import Convention
from renalis.dataset.adapters.folder import is_synthetic, open_folder
from renalis.dataset.cases import Case, Dataset, listed
from renalis.errors import InputError
from renalis.io.natural_order import by_number
from renalis.io.scan import shown

__all__ = ["case_folders", "open_kits19", "open_kits21", "open_kits23"]

_CASE = re.compile(r"case_\d+$")
_BELOW = ("data", "dataset", "kits19/data", "kits21/data", "kits23/dataset")


def open_kits19(root: Path, convention: Convention | None = None) -> Dataset:
    """KiTS19: ``case_00000/imaging.nii.gz`` and ``segmentation.nii.gz``; 210 of 300 are labelled.

    Parameters
    ----------
    root : Path
        The repository or its ``data`` folder.
    convention : Convention or None
        None means ``kits19``.

    Raises
    ------
    InputError
        If there are no cases.
    """
    return _opened(root, "kits19", "segmentation", convention or Convention.KITS19)


def open_kits21(
    root: Path, convention: Convention | None = None, annotation: str = "MAJ"
) -> Dataset:
    """KiTS21: three annotators per structure, merged in three ways.

    Parameters
    ----------
    root : Path
        The repository or its ``data`` folder.
    convention : Convention or None
        None means ``kits23``, which KiTS21 shares.
    annotation : str
        ``"MAJ"`` (what at least two of three drew), ``"AND"`` (all three) or ``"OR"`` (any).

    Raises
    ------
    InputError
        If there are no cases.
    """
    label = f"aggregated_{annotation}_seg"
    name = f"kits21-{annotation.lower()}"
    return _opened(root, name, label, convention or Convention.KITS23)


def open_kits23(root: Path, convention: Convention | None = None) -> Dataset:
    """KiTS23: ``case_00000/imaging.nii.gz`` and ``segmentation.nii.gz``; all 489 are labelled.

    The scans that ``renalis synthesize`` makes, which have the same labels, are opened as well.

    Parameters
    ----------
    root : Path
        The repository or its ``dataset`` folder.
    convention : Convention or None
        None means ``kits23``.

    Raises
    ------
    InputError
        If there are no cases.
    """
    if not case_folders(root) and is_synthetic(root):
        return open_folder(root, convention)
    return _opened(root, "kits23", "segmentation", convention or Convention.KITS23)


def case_folders(root: Path) -> list[Path]:
    """The folders ``case_…`` of a KiTS repository, in the order of their numbers."""
    for place in (root, *(root / below for below in _BELOW)):
        if place.is_dir():
            found = [p for p in place.iterdir() if p.is_dir() and _CASE.match(p.name)]
            if found:
                return sorted(found, key=lambda p: by_number(p.name))
    return []


def nifti_named(folder: Path, stem: str) -> Path | None:
    """``stem.nii.gz`` or ``stem.nii`` in a folder, if there is one."""
    for ending in (".nii.gz", ".nii"):
        if (folder / f"{stem}{ending}").is_file():
            return folder / f"{stem}{ending}"
    return None


def _opened(root: Path, name: str, label: str, convention: Convention) -> Dataset:
    folders = case_folders(root)
    if not folders:
        raise InputError(
            f"{shown(root)} holds no folders named case_00000 and so on; give the {name[:6]} "
            "repository, or the folder in it that holds the cases"
        )
    meta = _clinical(folders[0].parent)
    cases, without_image = [], []
    for folder in folders:
        image = nifti_named(folder, "imaging")
        if image is None:
            without_image.append(folder.name)
            continue
        path = nifti_named(folder, label)
        cases.append(Case(folder.name, image, path, folder.name, meta.get(folder.name, {})))
    if not cases:
        raise InputError(
            f"none of the {len(folders)} cases in {shown(folders[0].parent)} has an "
            "imaging.nii.gz: the repository comes without the scans; download them with the "
            "program in it"
        )
    notes = []
    if without_image:
        notes.append(
            f"case folders without imaging.nii.gz ({len(without_image)}) were left out: "
            f"{listed(without_image)}; finish the download"
        )
    if not any(case.label for case in cases):
        raise InputError(
            f"no case in {shown(folders[0].parent)} has a {label}.nii.gz; "
            "is it another year of KiTS?"
        )
    return Dataset(name, convention, tuple(cases), root, tuple(notes))


def _clinical(folder: Path) -> Mapping[str, Mapping[str, str]]:
    """What the repository tells about each patient, where it does."""
    for name in ("kits23.json", "kits21.json", "kits.json"):
        file = folder / name
        if not file.is_file():
            continue
        try:
            rows = json.loads(file.read_text(encoding="utf-8"))
            return {str(row["case_id"]): _scalars(row) for row in rows}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"{shown(file)} cannot be read ({error}); fetch it again or remove it"
            ) from error
    return {}


def _scalars(row: Mapping[str, object]) -> dict[str, str]:
    return {
        key: str(value)
        for key, value in row.items()
        if key != "case_id" and isinstance(value, str | int | float | bool)
    }
