"""Find scans and read them, whatever they are stored as."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from renalis.errors import InputError
from renalis.io.archive import FolderFiles
from renalis.io.dicom import find_studies, has_series, read_dicom
from renalis.io.nifti import read_nifti
from renalis.io.scan import Scan, ScanSource, case_id_from, distinct, shown

__all__ = ["find_scans", "read_scan"]

_MOST_HEADERS = 20_000
"""DICOM slices whose headers are kept between listing and reading, at about 2 kB each."""
_LABEL_FOLDERS = {"instances", "labelstr", "labelsts"}
"""Where KiTS and nnU-Net keep label maps."""


def read_scan(path: str | os.PathLike[str] | ScanSource, series: str | None = None) -> Scan:
    """Read a CT scan.

    Parameters
    ----------
    path : path-like or ScanSource
        A NIfTI file, a DICOM folder (searched to any depth), a zip of one, or a source from
        `find_scans`. Where a place holds several studies, give the source; a path means the
        study with the best series, or the one that has the series asked for.
    series : str or None
        For DICOM: UID, number or description of the series wanted. None chooses the axial
        abdominal CT with the most slices. ``scan.source.others`` lists the rest.

    Returns
    -------
    Scan
        HU as int16 on the grid of the file, with warnings as sentences.

    Raises
    ------
    InputError
        If it cannot be read; one sentence that names the file and says what to do.
    """
    if isinstance(path, ScanSource):
        source, more = path, 0
    else:
        found = find_scans([path])
        if len(found) > 1 and any(s.kind == "nifti" for s in found):
            raise InputError(
                f"{shown(path)} holds {len(found)} scans; give one of them, "
                f"for example {shown(found[0].path)}"
            )
        source = _best(found) if series is None else _with_series(found, series, Path(path))
        more = len(found) - 1
    if source.kind == "unreadable":
        raise InputError(source.problem)
    if source.kind == "nifti":
        if series is not None:
            raise InputError(
                f"{shown(source.path)} is NIfTI and has no series to choose from; "
                "leave the series out"
            )
        return read_nifti(source)
    scan = read_dicom(source, series)
    if more:
        which = "best series" if series is None else "series asked for"
        note = f"{source.case_id}: its place holds {more + 1} studies; the one with the {which} "
        scan = replace(scan, warnings=(*scan.warnings, f"{note}was read"))
    return scan


def _best(found: Sequence[ScanSource]) -> ScanSource:
    """The study whose chosen series ranks highest."""
    return max(found, key=lambda s: (s.kind != "unreadable", s.rank))


def _with_series(found: Sequence[ScanSource], series: str, path: Path) -> ScanSource:
    """The one study that has a series; `read_scan` says what is wrong with a single study."""
    if len(found) == 1:
        return found[0]
    having = [s for s in found if s.kind == "dicom" and has_series(s, series)]
    if len(having) == 1:
        return having[0]
    if having:
        raise InputError(
            f"{shown(path)} holds {len(having)} studies with a series {shown(series)!r}; "
            "give the series by its UID, or the folder of one study"
        )
    raise InputError(
        f"{shown(path)} holds {len(found)} studies and none of them has exactly one readable "
        f"series {shown(series)!r}; give the folder of one study to see its series"
    )


def find_scans(inputs: Iterable[str | os.PathLike[str]]) -> list[ScanSource]:
    """List the scans in files and folders; headers are read, voxels are not.

    A folder is searched to any depth: each NIfTI file and each zip is a scan, and each study of
    the DICOM files. NIfTI files are label maps and left out if their names begin with
    ``segmentation`` or they lie in a folder ``instances``, ``labelsTr`` or ``labelsTs``.

    Parameters
    ----------
    inputs : iterable of path-like
        NIfTI files, DICOM folders, zips, or folders of those.

    Returns
    -------
    list of ScanSource
        In the order given, with case ids that differ. What cannot be read is listed as well,
        with kind ``"unreadable"`` and the sentence in ``problem``, so that one bad input does
        not stop the others; `read_scan` raises it as InputError.
    """
    found: list[ScanSource] = []
    for given in inputs:
        path = Path(given)
        try:
            sources = _in_folder(path) if path.is_dir() else _in_file(path)
        except InputError as error:
            sources = [_unreadable(path, str(error))]
        except (OSError, ValueError) as error:  # a name too long, or with a null character
            reason = getattr(error, "strerror", None) or str(error)
            sources = [
                _unreadable(path, f"{shown(path)} cannot be read ({reason}); check the path")
            ]
        found += sources
    listed = [source.slice_count + sum(o.slice_count for o in source.others) for source in found]
    if sum(listed) > _MOST_HEADERS:
        found = [replace(source, headers=None) for source in found]
    parents = [_parent(source) for source in found]
    ids = distinct([source.case_id for source in found], parents)
    return [replace(s, case_id=i) for s, i in zip(found, ids, strict=True)]


def _parent(source: ScanSource) -> str:
    """Name of the folder above a NIfTI file, which often tells cases apart when files do not."""
    return source.path.absolute().parent.name if source.kind == "nifti" else ""


def _in_file(path: Path) -> list[ScanSource]:
    """The scans in one file."""
    name = path.name.lower()
    if not path.exists():
        raise InputError(f"{shown(path)} does not exist; check the path")
    if not path.is_file():
        raise InputError(f"{shown(path)} is no file or folder; give a CT as DICOM or NIfTI")
    if name.endswith((".nii", ".nii.gz")):
        return [_nifti(path)]
    sources = find_studies(path)
    if sources:
        return sources
    if name.endswith(".zip"):
        raise InputError(f"{shown(path)} holds no DICOM images; if it holds NIfTI files, unpack it")
    raise InputError(
        f"{shown(path)} is neither NIfTI (.nii, .nii.gz) nor DICOM; convert it or give another file"
    )


def _in_folder(path: Path) -> list[ScanSource]:
    """The scans below a folder."""
    names, lost = FolderFiles(path).found()
    found: list[ScanSource] = []
    for name in names:
        low = name.lower()
        if low.endswith((".nii", ".nii.gz")):
            if not _is_label_map(low):
                found.append(_nifti(path / name))
        elif low.endswith(".zip"):
            try:
                found += _in_file(path / name)
            except InputError as error:
                found.append(_unreadable(path / name, str(error)))
    try:
        found += find_studies(path)
    except InputError as error:
        found.append(_unreadable(path, str(error)))
    for name in lost:
        low, link = name.lower(), path / name
        if low.endswith((".nii", ".nii.gz", ".zip")) and not _is_label_map(low):
            problem = f"{shown(link)} is a link that leads nowhere; mend or remove it"
            found.append(_unreadable(link, problem))
    if not found:
        what = "is empty" if not names else "holds no CT scan"
        raise InputError(f"{shown(path)} {what}; give a folder with DICOM or NIfTI files")
    return found


def _is_label_map(name: str) -> bool:
    """Whether a NIfTI file below a folder is a label map by its name, given in small letters."""
    *folders, file = name.split("/")
    return file.startswith("segmentation") or not _LABEL_FOLDERS.isdisjoint(folders)


def _nifti(path: Path) -> ScanSource:
    """A NIfTI file; KiTS names its folders after the cases and all files imaging.nii.gz."""
    generic = case_id_from(path.name) == "imaging"
    name = path.absolute().parent.name if generic else path.name
    return ScanSource(case_id_from(name), path, "nifti")


def _unreadable(path: Path, problem: str) -> ScanSource:
    return ScanSource(case_id_from(path.absolute().name), path, "unreadable", problem=problem)
