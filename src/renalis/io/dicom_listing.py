"""The headers of all DICOM files in a place, and what else was met while reading them."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from renalis.errors import InputError
from renalis.io.archive import FileSet
from renalis.io.dicom_files import Frame, frames_of
from renalis.io.dicom_repair import repaired
from renalis.io.scan import shown

__all__ = ["Listing", "StudyFiles", "listed"]

_INDEX_NAMES = ("DICOMDIR", "DIRFILE")
"""What lists the files of a disc; Philips writes the second, not always as the standard has it."""


@dataclass(frozen=True)
class StudyFiles:
    """Where a study's images lie, so that its headers can be read again without all others.

    Parameters
    ----------
    files : tuple of str
        Names of the files below the place.
    damaged, closed : tuple of str
        As in `Listing`.
    """

    files: tuple[str, ...]
    damaged: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """What the files of a place hold.

    Parameters
    ----------
    frames : tuple of Frame
        All headers, copies left out and mended where that is beyond doubt.
    damaged : tuple of str
        DICOM files whose headers cannot be read.
    closed : tuple of str
        Files that may not be opened.
    indexes : tuple of str
        DICOMDIRs, which only list files.
    """

    frames: tuple[Frame, ...]
    damaged: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()

    def of(self, frames: Sequence[Frame]) -> Listing:
        """The same place, with the frames of one study."""
        return replace(self, frames=tuple(frames))

    def names(self) -> StudyFiles | None:
        """The same without headers, from which `listed` makes it again; None where it could not.

        Copies of images are left out of the frames, and what was mended follows from all files of
        a place.
        """
        if any(frame.copies or frame.mended for frame in self.frames):
            return None
        return StudyFiles(
            tuple(dict.fromkeys(frame.file for frame in self.frames)), self.damaged, self.closed
        )

    def check_images(self, path: Path) -> None:
        """Refuse a place without a single image, where there is something to say about it.

        Raises
        ------
        InputError
            If its DICOM files are damaged, may not be opened, or only list images.
        """
        if self.frames:
            return
        if self.damaged:
            raise InputError(
                f"{shown(path)} holds no DICOM file that can be read ({len(self.damaged)} are "
                "damaged or cut short); copy the scan again"
            )
        if self.closed:
            raise InputError(
                f"{shown(path)} holds {len(self.closed)} files that may not be opened; check who "
                "is allowed to read them"
            )
        if self.indexes:
            raise InputError(
                f"{shown(path)} holds a DICOMDIR, which only lists the images of a disc, and none "
                "of these images; copy the whole disc"
            )

    def remarks(self) -> list[str]:
        """What the reader of a result from this place should know; no names of files."""
        found = []
        if self.damaged:
            found.append(f"{_files(len(self.damaged), 'damaged DICOM')} in the same place left out")
        if self.closed:
            count = _files(len(self.closed), "")
            found.append(f"{count} in the same place left out because they may not be opened")
        return found


def listed(files: FileSet, study: StudyFiles | None = None) -> Listing:
    """Read the headers of all files, or of one study's.

    Raises
    ------
    InputError
        If a zip is damaged; damaged files are listed instead.
    """
    frames: list[Frame] = []
    damaged = [*(study.damaged if study else ())]
    closed = [*(study.closed if study else ())]
    indexes: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's remarks on values that are not read here
        for name in study.files if study else files.names():
            try:
                with files.open(name) as stream:
                    found = frames_of(stream, name)
            except (InputError, MemoryError, zipfile.BadZipFile):
                raise
            except Exception as error:  # pydicom raises whatever a damaged file provokes
                if isinstance(error, OSError) and error.errno is not None:
                    closed.append(name)
                elif Path(name or files.path.name).name.upper() in _INDEX_NAMES:
                    indexes.append(name)
                else:
                    damaged.append(name)
            else:
                frames += found or []
                if found == []:
                    indexes.append(name)
    return Listing(
        tuple(repaired(frames, files.size)), tuple(damaged), tuple(closed), tuple(indexes)
    )


def _files(count: int, what: str) -> str:
    words = f"{count} {what} file" if what else f"{count} file"
    return words if count == 1 else f"{words}s"
