"""Folders in a store that hold DICOM images: of which study, a few headers tell."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from renalis.io.case_names import Study
from renalis.io.dicom import study_of
from renalis.io.dicom_files import frames_of
from renalis.io.find import ONE_FILE
from renalis.io.natural_order import by_number
from renalis.remote.attempts import attempted
from renalis.remote.listing import StoredFile, StoredFolder, at_once, state_of_files
from renalis.remote.locations import Location

__all__ = [
    "VOXELS",
    "DicomFolder",
    "DicomStudy",
    "condensed",
    "may_be_dicom",
    "one_state",
    "study_folders",
]

VOXELS = (".img", ".img.gz", ".raw", ".raw.gz", ".zraw")
"""How files end that hold the voxels of a header beside them."""

_SAMPLES = 6
"""Files of a folder whose headers are read to see whether it holds DICOM images, and of whom."""
_HEADER, _LONG_HEADER = 1 << 18, 1 << 23
_OTHERS = (
    ".bmp", ".bval", ".bvec", ".csv", ".doc", ".docx", ".gif", ".glb", ".gz", ".htm", ".html",
    ".jpeg", ".jpg", ".js", ".json", ".log", ".md", ".npy", ".npz", ".pdf", ".png", ".pt", ".py",
    ".rst", ".safetensors", ".sh", ".stl", ".svg", ".tar", ".tgz", ".tif", ".tiff", ".toml",
    ".tsv", ".txt", ".webp", ".xls", ".xlsx", ".xml", ".yaml", ".yml",
)  # fmt: skip


@dataclass(frozen=True)
class DicomFolder:
    """What is kept of a folder whose files may be DICOM images; of millions of slices no more.

    Attributes
    ----------
    name : str
        Below the place that was listed.
    sample : tuple of StoredFile
        Whose headers are looked at.
    size : int
        Bytes of all files that may be images.
    state : str
        Changes when one of them does.
    """

    name: str
    sample: tuple[StoredFile, ...]
    size: int
    state: str


@dataclass(frozen=True)
class DicomStudy:
    """The folders with the images of one study.

    Attributes
    ----------
    study : Study
        What its name follows from.
    folders : tuple of DicomFolder
        In the order of numbers in their names.
    """

    study: Study
    folders: tuple[DicomFolder, ...]

    def with_(self, study: Study, folder: DicomFolder) -> DicomStudy:
        """The study with one more folder."""
        both = replace(
            self.study,
            patient=self.study.patient | study.patient,
            files=self.study.files | study.files,
        )
        ordered = sorted((*self.folders, folder), key=lambda one: by_number(one.name))
        return DicomStudy(both, tuple(ordered))

    @property
    def state(self) -> str:
        """Changes when one of its files does."""
        return one_state(folder.state for folder in self.folders)


def one_state(states: Iterable[str]) -> str:
    """The states of several folders as one."""
    return hashlib.sha256("\n".join(states).encode()).hexdigest()


def may_be_dicom(folder: StoredFolder) -> list[StoredFile]:
    """A folder's files that are not something else by their names."""
    known = (*ONE_FILE, ".zip", *VOXELS, *_OTHERS)
    return [file for file in folder.files if not file.name.lower().endswith(known)]


def condensed(folder: StoredFolder) -> DicomFolder | None:
    """What is kept of a folder; None if no file may be an image."""
    files = may_be_dicom(folder)
    step = max(1, len(files) // _SAMPLES)
    if not files:
        return None
    size = sum(file.size for file in files)
    return DicomFolder(folder.name, tuple(files[::step][:_SAMPLES]), size, state_of_files(files))


def study_folders(
    place: Location, folders: Sequence[DicomFolder]
) -> tuple[list[DicomStudy], list[str]]:
    """Read a few headers of each folder, and put folders with images of one study together.

    Parameters
    ----------
    place : Location
        Where they lie.
    folders : sequence of DicomFolder
        From `condensed`.

    Returns
    -------
    studies : list of DicomStudy
    unknown : list of str
        Folders with files of which none that was looked at is an image.

    Raises
    ------
    InputError, UnreachableError
        If a file cannot be read.
    """
    unknown: list[str] = []
    groups: dict[tuple[str, str], DicomStudy] = {}
    for folder, study in zip(folders, at_once(place, lambda f: _study(place, f), folders),
                             strict=True):  # fmt: skip
        if study is None:
            unknown.append(folder.name)
            continue
        key = study.uid, study.group
        known = groups.get(key)
        groups[key] = DicomStudy(study, (folder,)) if known is None else known.with_(study, folder)
    return list(groups.values()), unknown


def _study(place: Location, folder: DicomFolder) -> Study | None:
    """Whose images a folder holds; None if none of a few files is one."""
    files = {f"{folder.name}/x" if folder.name else "x"}
    damaged = False
    for file in folder.sample:
        for length in (_HEADER, _LONG_HEADER):
            start = _start(place, file, length)
            try:
                frames = frames_of(io.BytesIO(start), file.name)
            except Exception:  # what pydicom raises
                damaged = damaged or start[128:132] == b"DICM"
                if file.size > length:
                    continue  # its header may be longer than what was read
                break
            if frames:
                uid, group = study_of(frames[0])
                return Study(uid, group, frames[0].series.patient, files)
            break
    # Copied all the same if damaged: reading it says what is wrong.
    return Study("", folder.state[:16], frozenset(), files) if damaged else None


def _start(place: Location, file: StoredFile, length: int) -> bytes:
    end = min(length, file.size)
    url = (place / file.name).url
    return bytes(attempted(lambda: place.filesystem.cat_file(file.path, start=0, end=end), url))
