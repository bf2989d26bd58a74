"""Files of single axial slices (``.npz``): every slice is a case."""

from __future__ import annotations

from pathlib import Path

from renalis.conventions import Convention
from renalis.dataset.cases import Case, Dataset
from renalis.dataset.slices import slice_index
from renalis.errors import InputError
from renalis.io.scan import case_id_from, shown

__all__ = ["open_slices"]


def open_slices(root: Path, convention: Convention | None = None) -> Dataset:
    """The slices of a file, or of all files of a folder; see `renalis.dataset.slices`.

    Parameters
    ----------
    root : Path
        ``.npz`` file, or a folder of such files. Files with the same patient numbers share these
        patients.
    convention : Convention or None
        What the labels mean; slices are stored with KiTS23's.

    Raises
    ------
    InputError
        If there are none, or labels of another meaning are asked for.
    """
    files = sorted(root.glob("*.npz")) if root.is_dir() else [root]
    if not files:
        raise InputError(f"{shown(root)} holds no .npz files of slices")
    if convention not in (None, Convention.KITS23):
        raise InputError(f"{shown(root)}: slices are stored with the labels of kits23")
    cases: list[Case] = []
    for path in files:
        patients, places = slice_index(path)
        for number, (patient, place) in enumerate(zip(patients, places, strict=True)):
            about = {"file": path.stem, "slice": f"{place:g}"}
            name = case_id_from(f"{path.stem}_{number:05d}")
            cases.append(Case(name, path, path, f"case_{patient:05d}", about, number))
    return Dataset("slices", Convention.KITS23, tuple(cases), root)
