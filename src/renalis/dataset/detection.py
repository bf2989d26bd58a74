"""Detect the kind of a dataset from names alone, or say why that cannot be done."""

from __future__ import annotations

from pathlib import Path

from renalis.dataset.adapters.folder import image_and_label_folders, paired_files
from renalis.dataset.adapters.kits import case_folders, nifti_named
from renalis.dataset.adapters.table import columns
from renalis.errors import InputError
from renalis.io.scan import shown

__all__ = ["detect"]

_FIRST_OF_2023 = 300
_FIRST_UNLABELLED = 210
_KITS21 = ("aggregated_MAJ_seg", "aggregated_AND_seg", "aggregated_OR_seg")


def detect(path: Path) -> str:
    """The kind of a dataset, for `open_dataset`.

    Parameters
    ----------
    path : Path
        Folder or CSV.

    Returns
    -------
    str
        Key of `renalis.dataset.adapters.ADAPTERS`.

    Raises
    ------
    InputError
        If it is none, or KiTS of a year that cannot be told.
    """
    if path.is_file():
        return _of_file(path)
    if (path / "dataset.json").is_file():
        return "nnunet"
    if (path / "imagesTr").is_dir():
        raise InputError(
            f"{shown(path)} has imagesTr but no dataset.json, without which nnU-Net's raw format "
            "does not say what the labels mean; add it, or use --kind folder with --labels"
        )
    folders = case_folders(path)
    if any(nifti_named(f, n) for f in folders for n in ("imaging", "segmentation", *_KITS21)):
        return _kits(path, folders)
    if any(word in path.name.lower() for word in ("radboud", "8014290", "8014289")):
        return "radboud"
    if image_and_label_folders(path) is not None:
        return "folder"
    if "image" in columns(path / "cases.csv"):
        raise InputError(f"{shown(path)} has a cases.csv that names images; give that file itself")
    loose = _by_loose_files(path)
    if loose:
        return loose
    raise InputError(
        f"{shown(path)} is no dataset that renalis knows: looked for KiTS (folders case_00000), "
        "nnU-Net (dataset.json), images/ and labels/, pairs NAME.nii.gz, NAME_seg.nii.gz, and "
        "slices (.npz); "
        "list the files in a CSV with the columns case, image, label"
    )


def _by_loose_files(path: Path) -> str:
    """Files of slices, or pairs side by side; empty if there are none."""
    if any(path.glob("*.npz")):
        return "slices"
    images, labels = paired_files(path)
    return "folder" if any(name in images for name in labels) else ""


def _of_file(path: Path) -> str:
    if path.name == "dataset.json":
        return "nnunet"
    if path.suffix.lower() in (".csv", ".tsv"):
        return "csv"
    if path.suffix.lower() == ".npz":
        return "slices"
    raise InputError(
        f"{shown(path)} is no dataset; give a folder, a CSV that "
        "lists files, or a .npz file of slices"
    )


def _kits(path: Path, folders: list[Path]) -> str:
    """Which year of KiTS, by what only that year has."""
    parent = folders[0].parent
    numbers = [int(folder.name.rsplit("_", 1)[1]) for folder in folders]
    if any(nifti_named(f, a) for f in folders for a in _KITS21):
        return "kits21"
    if (parent / "kits23.json").is_file() or max(numbers) >= _FIRST_OF_2023:
        return "kits23"
    if any((folder / "instances").is_dir() for folder in folders):
        return "kits23"
    words = "/".join(p.lower() for p in path.absolute().parts[-3:])
    for year in ("kits19", "kits23"):
        if year in words:
            return year
    later = [f for f, n in zip(folders, numbers, strict=True) if n >= _FIRST_UNLABELLED]
    if later and not any(nifti_named(f, "segmentation") for f in later):
        return "kits19"
    if (parent / "kits.json").is_file():
        return "kits19"
    raise InputError(
        f"{shown(path)} may be KiTS19 (cysts are kidney) or KiTS23 (cysts have a label of their "
        "own), and its file names do not tell; add --kind kits19 or --kind kits23"
    )
