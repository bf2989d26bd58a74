"""The scans below a place in a store, as far as names and a few headers tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from renalis.errors import InputError
from renalis.io.archive import folder_of
from renalis.io.case_names import distinct, study_names
from renalis.io.find import ONE_FILE, case_ids, case_named_after
from renalis.io.itk_header import ENDINGS
from renalis.io.label_maps import named_label_map
from renalis.io.natural_order import by_number
from renalis.io.patient import hashed
from renalis.io.scan import ScanSource, case_id_from, shown
from renalis.remote.attempts import attempted
from renalis.remote.dicom_folders import (
    VOXELS,
    DicomFolder,
    DicomStudy,
    condensed,
    may_be_dicom,
    one_state,
    study_folders,
)
from renalis.remote.listing import (
    StoredFile,
    StoredFolder,
    folder_at,
    folders_below,
    state_of_files,
)
from renalis.remote.locations import Location, open_location

__all__ = ["StoredScan", "files_of", "scans_below"]

_HEADS = (".hdr", ".mhd", ".nhdr")
_TAKEN = (*ONE_FILE, ".zip")
_PLAIN = ("kind", "names", "case_id", "size", "state")


@dataclass(frozen=True)
class StoredScan:
    """What is copied at once to be segmented: a file, a zip, or all images of a DICOM study.

    Attributes
    ----------
    place : Location
        The folder it was found below.
    kind : str
        ``"nifti"``, ``"itk"``, ``"zip"`` or ``"dicom"``.
    names : tuple of str
        Below the place: the file and that of its voxels, for DICOM the folders with its images.
    case_id : str
        Name of its case.
    size : int
        Bytes of all its files.
    state : str
        Changes when one of them is written anew.
    """

    place: Location
    kind: str
    names: tuple[str, ...]
    case_id: str
    size: int
    state: str

    def to_json(self) -> dict[str, Any]:
        """For another process, which `from_json` lets copy it."""
        content = {name: getattr(self, name) for name in _PLAIN}
        return {**content, "place": self.place.given, "path": self.place.path}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> StoredScan:
        """What `to_json` wrote.

        Raises
        ------
        UsageError
            If the store cannot be opened here.
        """
        place = open_location(content["place"])
        if place.path != content["path"]:  # of a file that was given itself
            place = place.parent
        plain = {name: content[name] for name in _PLAIN}
        return cls(place, **{**plain, "names": tuple(plain["names"])})

    @property
    def below(self) -> str:
        """Where it lies below the place, with ``/`` between folders; empty for the place itself."""
        if self.kind != "dicom":
            return self.names[0]
        return folder_of(f"{name}/x" if name else "x" for name in self.names)

    @property
    def url(self) -> str:
        """Where it lies, as it may be shown."""
        return (self.place / self.below).url if self.below else self.place.url


@dataclass(frozen=True)
class _Named:
    """A scan and what the name of its case follows from."""

    scan: StoredScan
    source: ScanSource
    own: str


def scans_below(
    inputs: Iterable[Location], anonymous: bool = False
) -> tuple[list[StoredScan], list[str]]:
    """List the scans in stores.

    NIfTI, MetaImage and NRRD files and zips are told by their names. Of each folder with other
    files a few headers are read; folders with images of the same study become one scan. Cases are
    named as `renalis.io.inventory` names those of a folder of this machine.

    Parameters
    ----------
    inputs : iterable of Location
        Files or folders.
    anonymous : bool
        Name cases after hashes of what the store says about their files.

    Returns
    -------
    scans : list of StoredScan
        In the order given, with case ids that differ.
    remarks : list of str
        What was left out.

    Raises
    ------
    InputError
        If a place is not there, may not be read, or holds no scan.
    UnreachableError
        If a store does not answer.
    """
    found: list[_Named] = []
    remarks: list[str] = []
    for place in inputs:
        info = attempted(lambda place=place: place.filesystem.info(place.path), place.url)  # type: ignore[misc]
        found += _in_file(place) if info["type"] == "file" else _in_folder(place, remarks)
    if anonymous:
        ids = distinct([f"case_{hashed(named.scan.state)[:8]}" for named in found])
    else:
        ids = case_ids([named.source for named in found], [named.own for named in found])
    return [replace(named.scan, case_id=i) for named, i in zip(found, ids, strict=True)], remarks


def files_of(scan: StoredScan) -> list[StoredFile]:
    """The files of a scan as they are now.

    Raises
    ------
    InputError
        If one is not as it was when it was listed.
    UnreachableError
        If the store does not answer.
    """
    if scan.kind == "dicom":
        listed = [may_be_dicom(folder_at(scan.place, name)) for name in scan.names]
        files = [file for some in listed for file in some]
        state = one_state(map(state_of_files, listed))
    else:
        folder = folder_at(scan.place, scan.names[0].rpartition("/")[0])
        files = [file for file in folder.files if file.name in scan.names]
        state = state_of_files(files)
    if state != scan.state:
        raise InputError(f"{shown(scan.url, 300)} was changed since it was listed; run again")
    return files


def _in_file(place: Location) -> list[_Named]:
    """The scan in one file."""
    if not place.name.lower().endswith(_TAKEN):
        raise InputError(
            f"{shown(place.url, 300)} is neither NIfTI (.nii, .nii.gz), MetaImage (.mha), NRRD "
            "(.nrrd) nor a zip; of DICOM give the folder"
        )
    folder = folder_at(place.parent)
    files = [file for file in folder.files if file.name == place.name]
    if not files:
        raise InputError(f"{shown(place.url, 300)} has a name that cannot be used here; rename it")
    return [_one_file(place.parent, files[0], folder, place.name)]


def _in_folder(place: Location, remarks: list[str]) -> list[_Named]:
    """The scans below a folder; what was left out is added to the remarks."""
    found: list[_Named] = []
    labels: list[str] = []
    odd: list[str] = []
    others: list[DicomFolder] = []
    for folder in folders_below(place):
        odd += folder.odd
        for file in folder.files:
            if not file.name.lower().endswith(_TAKEN):
                continue
            if named_label_map(file.name):
                labels.append(file.name)
            else:
                found.append(_one_file(place, file, folder, place.name))
        others += [kept for kept in [condensed(folder)] if kept is not None]
    found.sort(key=lambda named: by_number(named.scan.names[0]))
    studies, unknown = study_folders(place, others)
    found += _of_studies(place, studies)
    if not found:
        what = "only label maps" if labels else "no CT scan"
        raise InputError(
            f"{shown(place.url, 300)} holds {what}; give a folder with DICOM or NIfTI files"
        )
    for names, what in (
        (labels, "label maps by name"),
        (odd, "files or folders whose names cannot be used here"),
        (unknown, "folders with other files, none of those looked at a DICOM image,"),
    ):
        if names:
            example = shown(names[0] or place.name)
            remarks.append(f"{shown(place.url)}: {what} left out: {len(names)} ({example})")
    return found


def _one_file(place: Location, file: StoredFile, folder: StoredFolder, own: str) -> _Named:
    """A file that holds a scan, with the file of its voxels where that lies beside it."""
    files, name = [file], file.name.lower()
    if name.endswith(_HEADS):
        stem = name.rpartition(".")[0]
        voxels = tuple(f"{stem}{ending}" for ending in VOXELS)
        files += [other for other in folder.files if other.name.lower() in voxels]
    kind = "zip" if name.endswith(".zip") else "itk" if name.endswith(ENDINGS) else "nifti"
    state = state_of_files(sorted(files, key=lambda one: by_number(one.name)))
    size = sum(one.size for one in files)
    scan = StoredScan(place, kind, tuple(one.name for one in files), "", size, state)
    path = Path("/", *(place / file.name).path.split("/"))
    case_id = case_id_from(path.name) if kind == "zip" else case_named_after(path)
    kind = "dicom" if kind == "zip" else kind
    return _Named(scan, ScanSource(case_id, path, kind, place=file.name), own)


def _of_studies(place: Location, studies: list[DicomStudy]) -> list[_Named]:
    """DICOM studies, named as all studies of a place are."""
    named = []
    ids = study_names(case_id_from(place.name), [study.study for study in studies])
    for study, case_id in zip(studies, ids, strict=True):
        names = tuple(folder.name for folder in study.folders)
        size = sum(folder.size for folder in study.folders)
        scan = StoredScan(place, "dicom", names, "", size, study.state)
        source = ScanSource(
            case_id, Path(scan.url), "dicom", place=scan.below,
            study_uid=study.study.uid, group=study.study.group,
        )  # fmt: skip
        named.append(_Named(scan, source, place.name))
    return sorted(named, key=lambda one: by_number(one.scan.below))
