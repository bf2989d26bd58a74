"""Plain folders: ``images/`` and ``labels/``, a folder per case, or pairs side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from renalis.conventions import Convention
from renalis.conventions import convention as convention_of
from renalis.dataset.adapters.table import CASE_COLUMNS, case_of, columns, table_rows
from renalis.dataset.cases import Case, Dataset, listed
from renalis.errors import InputError, UsageError
from renalis.io.natural_order import by_number
from renalis.io.scan import case_id_from, shown

__all__ = ["image_and_label_folders", "is_synthetic", "open_folder", "open_radboud", "paired_files"]

_IMAGE_FOLDERS = ("images", "image", "imagestr", "imaging", "ct", "scans", "volumes")
_LABEL_FOLDERS = ("labels", "label", "labelstr", "segmentations", "masks", "annotations")
_IMAGE_WORDS = "imaging|image|img|ct|scan|volume"
_LABEL_WORDS = "segmentation|seg|labels|label|mask|masks"
_ENDING = re.compile(r"\.(nii\.gz|nii|zip)$", re.IGNORECASE)
_OTHER = re.compile(r"\.(mha|mhd|nrrd|nhdr)$", re.IGNORECASE)

Found = dict[str, Path]
Properties = dict[str, dict[str, str]]


def open_folder(root: Path, convention: Convention | None = None) -> Dataset:
    """A folder of scans and label maps, paired by equal names.

    Accepted are ``images/`` and ``labels/`` (as ``renalis synthesize`` writes them), a folder per
    case with ``image.nii.gz`` and ``label.nii.gz`` (or the like), and ``NAME.nii.gz`` next to
    ``NAME_seg.nii.gz``. In ``images/``, DICOM folders and zips are scans as well. A ``cases.csv``
    adds properties by case, which a column ``case``, ``case_id``, ``caseid`` or ``id`` names; its
    column ``patient`` says whose scans they are, its column ``convention`` what the values in the
    label maps mean. Synthetic scans made from one label map count as
    one patient: their kidneys are the same.

    Parameters
    ----------
    root : Path
        The folder.
    convention : Convention or None
        What the values in the label maps mean; needed, unless ``renalis synthesize`` made them or
        ``cases.csv`` says it.

    Raises
    ------
    InputError
        If nothing can be paired, a label map has no scan, the convention is unknown, or
        ``cases.csv`` names no cases or tells the patients of other scans only.
    """
    meta, synthetic = _properties(root / "cases.csv")
    if convention is None and synthetic:
        convention = Convention.KITS23
    convention = convention or _told(meta, root / "cases.csv")
    if convention is None:
        raise InputError(
            f"nothing in {shown(root)} says what the values of its label maps mean; "
            "add --labels kits19, kits23 or radboud, or say it in a column convention of cases.csv"
        )
    images, labels = _found(root)
    return _dataset("synthetic" if synthetic else "folder", root, convention, images, labels, meta)


def open_radboud(root: Path, convention: Convention | None = None) -> Dataset:
    """Radboud kidney abnormality data (Zenodo 8014290): scans and label maps in two folders.

    Files are paired by equal names, as in `open_folder`. The data come in MetaImage files; convert
    them to NIfTI first.

    Parameters
    ----------
    root : Path
        The folder that holds the two.
    convention : Convention or None
        None means ``radboud``: 1 parenchyma, 2 abnormality.

    Raises
    ------
    InputError
        If nothing can be paired, or a label map has no scan.
    """
    images, labels = _found(root)
    meta, _ = _properties(root / "cases.csv")
    return _dataset("radboud", root, convention or Convention.RADBOUD, images, labels, meta)


def is_synthetic(root: Path) -> bool:
    """Whether ``renalis synthesize`` made the scans of a folder."""
    return _properties(root / "cases.csv")[1] and image_and_label_folders(root) is not None


def image_and_label_folders(root: Path) -> tuple[Path, Path] | None:
    """The folder of scans and the folder of label maps, if there is one of each."""
    below = {p.name.lower(): p for p in sorted(root.iterdir()) if p.is_dir()}
    images = [below[name] for name in _IMAGE_FOLDERS if name in below]
    labels = [below[name] for name in _LABEL_FOLDERS if name in below]
    return (images[0], labels[0]) if images and labels else None


def paired_files(root: Path) -> tuple[Found, Found]:
    """Scans and label maps by name: pairs in one folder, or a folder for each case."""
    is_label = re.compile(rf"^(?:(.+)[-_.])?({_LABEL_WORDS})$", re.IGNORECASE)
    is_image = re.compile(rf"^(?:(.+)[-_.])?({_IMAGE_WORDS}|0000)$", re.IGNORECASE)
    images: Found = {}
    labels: Found = {}
    for folder in (root, *sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] != ".")):
        for path in sorted(folder.iterdir()):
            if not path.is_file() or path.name[0] == "." or not _ENDING.search(path.name):
                continue
            stem = _ENDING.sub("", path.name)
            match = is_label.match(stem)
            side = labels if match else images
            match = match or is_image.match(stem)
            own = match.group(1) if match else stem
            _add(side, own or folder.name, path)
    return images, labels


def _found(root: Path) -> tuple[Found, Found]:
    """Scans and label maps by name, in whichever of the layouts they are."""
    if not root.is_dir():
        raise InputError(f"{shown(root)} is no folder; give the folder that holds the scans")
    folders = image_and_label_folders(root)
    if folders is None:
        images, labels = paired_files(root)
    else:
        images = _by_stem(folders[0], lambda stem: re.sub(r"_0000$", "", stem), scans=True)
        suffix = re.compile(rf"[-_.]({_LABEL_WORDS})$", re.IGNORECASE)
        labels = _by_stem(folders[1], lambda stem: stem, scans=False)
        labels = {
            name if name in images else suffix.sub("", name): path for name, path in labels.items()
        }
    if images:
        return images, labels
    place = folders[0] if folders else root
    if any(_OTHER.search(p.name) for p in place.iterdir()):
        raise InputError(
            f"{shown(place)} holds MetaImage or NRRD files, which renalis does not read; convert "
            "them to .nii.gz, for example with SimpleITK"
        )
    raise InputError(f"{shown(place)} holds no scans (NIfTI, DICOM folders or zips)")


def _by_stem(folder: Path, name_of: Callable[[str], str], scans: bool) -> Found:
    """What lies in a folder, by name; folders and zips count where scans are expected."""
    found: Found = {}
    for path in sorted(folder.iterdir()):
        if path.name[0] == ".":
            continue
        nifti = path.is_file() and _ENDING.search(path.name) and not path.name.endswith(".zip")
        other = scans and (path.is_dir() or path.suffix.lower() == ".zip")
        if nifti or other:
            _add(found, name_of(_ENDING.sub("", path.name)), path)
    return found


def _add(found: Found, name: str, path: Path) -> None:
    if name in found:
        raise InputError(
            f"{shown(found[name])} and {shown(path)} would both be {shown(name)}; "
            "keep one of them, or name the files in a CSV"
        )
    found[name] = path


def _dataset(
    kind: str,
    root: Path,
    convention: Convention,
    images: Found,
    labels: Found,
    meta: Properties,
) -> Dataset:
    lonely = [name for name in labels if name not in images]
    if lonely:
        raise InputError(
            f"{shown(root)} has label maps without a scan of the same name: {listed(lonely)}; "
            "rename them, or list the pairs in a CSV with the columns case, image, label"
        )
    cases = []
    for name in sorted(images, key=by_number):
        case_id = case_id_from(name)
        case_meta = dict(meta.get(case_id, {}))
        patient = case_meta.pop("patient", "") or case_id
        cases.append(Case(case_id, images[name], labels.get(name), patient, case_meta))
    unlabelled = [case.id for case in cases if case.label is None]
    notes = []
    if unlabelled:
        notes.append(f"scans without label map ({len(unlabelled)}): {listed(unlabelled)}")
    alone = _without_patient(root, [case.id for case in cases], meta)
    if alone and kind != "synthetic":  # where invented kidneys are each a patient's
        notes.append(
            f"scans whose patient cases.csv does not tell ({len(alone)}): {listed(alone)}; each "
            "counts as a patient of its own"
        )
    return Dataset(kind, convention, tuple(cases), root, tuple(notes))


def _properties(file: Path) -> tuple[Properties, bool]:
    """Properties by case from ``cases.csv``, and whether ``renalis synthesize`` wrote it."""
    if not file.is_file():
        return {}, False
    rows, names = table_rows(file), columns(file)
    if not set(CASE_COLUMNS) & set(names):
        raise InputError(
            f"{shown(file)} has no column that names the case (it has: "
            f"{shown(listed(names)) or 'nothing'}); call it case, or rename the file"
        )
    synthetic = {"source", "phase", "noise_hu"} <= set(names)
    properties: Properties = {}
    for number, row in rows:
        given = case_of(row)
        if not given:
            continue
        case_meta = {key: value for key, value in row.items() if key and value}
        if synthetic and case_meta.get("source", "invented") != "invented":
            case_meta["patient"] = case_meta["source"]
        case = case_id_from(given)
        if properties.setdefault(case, case_meta) != case_meta:
            raise InputError(
                f"{shown(file)}, line {number}: {shown(given)} was listed before with other "
                "values; keep one of the rows"
            )
    return properties, synthetic


def _told(meta: Properties, file: Path) -> Convention | None:
    """The convention that a ``cases.csv`` names; None if it names none."""
    named = {about["convention"] for about in meta.values() if "convention" in about}
    if not named:
        return None
    try:
        (one,) = named
        return convention_of(one)
    except (ValueError, UsageError):
        raise InputError(
            f"{shown(file)} names {listed(sorted(named))} as convention; it is kits19, kits23 or "
            "radboud, the same for all cases"
        ) from None


def _without_patient(root: Path, ids: Sequence[str], meta: Properties) -> list[str]:
    """Scans whose patient a ``cases.csv`` that tells patients does not tell.

    A table with patients but without any of the scans is refused: a split would tear the patients
    apart.
    """
    told = {case for case, case_meta in meta.items() if case_meta.get("patient")}
    if told and not set(meta) & set(ids):
        raise InputError(
            f"{shown(root / 'cases.csv')} tells the patients of {listed(sorted(told))}, but the "
            f"scans are named {listed(ids)}; name the cases as the scans are"
        )
    return [i for i in ids if i not in told] if told else []
