"""What a scan is once it has been read, and where it came from."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from renalis.volume import Volume

__all__ = [
    "FARTHEST_MM",
    "Scan",
    "ScanSource",
    "SeriesSummary",
    "SourceSlice",
    "case_id_from",
    "millimeters",
    "shown",
    "state_of",
]

FARTHEST_MM = 1e5
"""Of a scan from its origin: beyond any scanner's table, and small enough to calculate with."""


@dataclass(frozen=True)
class SourceSlice:
    """One stored DICOM image of a volume: what a DICOM-SEG has to refer to.

    Parameters
    ----------
    file : str
        Path of the file below the scan's folder, or name of the member in the zip.
    frame : int
        Frame in that file, from 0; always 0 for files that hold one slice.
    place : float
        Index along the volume's last axis. Whole numbers, unless the slices were spaced unevenly
        and the volume was resampled.
    position : tuple of float
        ImagePositionPatient (0020,0032) in mm, DICOM axes (LPS+).
    sop_class_uid, sop_instance_uid : str
        (0008,0016) and (0008,0018).
    """

    file: str
    frame: int
    place: float
    position: tuple[float, float, float]
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class SeriesSummary:
    """A series that lies in the same place, in the words in which a user would look for it.

    Parameters
    ----------
    name : str
        What ``series=`` accepts to choose it: the series number, with ``/2`` and so on when one
        series holds several stacks (contrast phases), or the UID when there is no number.
    uid : str
        SeriesInstanceUID (0020,000E).
    description : str
        SeriesDescription (0008,103E).
    modality : str
        Modality (0008,0060), for example ``"CT"``.
    slice_count : int
        Number of images.
    phase : str
        Contrast phase if the headers tell, else empty.
    remark : str
        Why it was not chosen.
    spacing_mm : tuple of float
        Of columns, rows and slices; empty for what is no stack of slices.
    kernel : str
        ConvolutionKernel (0018,1210).
    """

    name: str
    uid: str
    description: str
    modality: str
    slice_count: int
    phase: str = ""
    remark: str = ""
    spacing_mm: tuple[float, ...] = ()
    kernel: str = ""

    @property
    def described(self) -> str:
        """All that helps to choose: number, description, slices, spacing, phase, kernel."""
        words = f"series {self.name}"
        if self.description:
            words += f" '{self.description}'"
        facts = [self.modality or "no modality", f"{self.slice_count} images"]
        if self.spacing_mm:
            facts[1] = f"{self.slice_count} slices of {millimeters(self.spacing_mm)}"
        facts += [self.phase] if self.phase else []
        facts += [f"kernel {self.kernel}"] if self.kernel else []
        words += f" ({', '.join(facts)})"
        return f"{words}: {self.remark}" if self.remark else words

    def __str__(self) -> str:
        words = f"series {self.name}"
        if self.description:
            words += f" '{self.description}'"
        words += f" ({self.modality or 'no modality'}, {self.slice_count} images)"
        return f"{words}: {self.remark}" if self.remark else words


@dataclass(frozen=True)
class ScanSource:
    """Where a scan lies, and what is known about it without decoding its voxels.

    Parameters
    ----------
    case_id : str
        Name for result folders; from the name of the file, folder or zip, never from a header.
    path : Path
        The NIfTI file, DICOM folder, DICOM file or zip.
    kind : str
        ``"nifti"``, ``"itk"`` (MetaImage or NRRD), ``"dicom"``, or ``"unreadable"``.
    modality : str
        (0008,0060); empty for formats that do not say.
    series : SeriesSummary or None
        The DICOM series that is read.
    others : tuple of SeriesSummary
        The series in the same place that are not read.
    slices : tuple of SourceSlice
        The stored images, in the order of the volume's last axis.
    study_uid : str
        StudyInstanceUID (0020,000D); empty for NIfTI.
    nifti_header : bytes or None
        The NIfTI header as stored, filled in by ``read_scan``; lets label maps be written with
        exactly the same qform and sform.
    problem : str
        For ``kind="unreadable"``: the sentence that ``read_scan`` raises as InputError.
    headers : object
        DICOM headers as listed, so that ``read_scan`` need not read them again; only the names of
        the study's files when there are too many scans to keep them all; None when not known.
    group : str
        For DICOM: a hash that tells apart studies with the same UID or without one, of the
        PatientID and, without a study UID, of the folder. Empty takes all with the UID.
    owner : str
        For DICOM: a short hash of the PatientID, equal for all studies of a patient; empty where
        there is none.
    state : str
        A hash of the names, sizes and times of a study's files in a folder, or of the file that
        holds the voxels of a header; empty for files that are whole by themselves.
    place : str
        Where it lies below the input that was searched, with ``/`` between folders: the file
        itself, the folder of all files of the study, or the zip and the folder in it. The input's
        own name where it is the scan itself. Never absolute.
    rank : tuple of float
        For DICOM: how well the series suits, larger is better; compares studies of one place.
    """

    case_id: str
    path: Path
    kind: str
    modality: str = ""
    series: SeriesSummary | None = None
    others: tuple[SeriesSummary, ...] = ()
    slices: tuple[SourceSlice, ...] = ()
    study_uid: str = ""
    nifti_header: bytes | None = field(default=None, repr=False)
    problem: str = ""
    headers: object = field(default=None, repr=False, compare=False)
    group: str = field(default="", repr=False)
    owner: str = field(default="", repr=False)
    state: str = field(default="", repr=False, compare=False)
    place: str = ""
    rank: tuple[float, ...] = field(default=(), repr=False, compare=False)

    @property
    def slice_count(self) -> int:
        """Number of stored DICOM images; 0 for NIfTI."""
        return len(self.slices) or (self.series.slice_count if self.series else 0)

    @property
    def series_description(self) -> str:
        """SeriesDescription (0008,103E) or an empty string."""
        return self.series.description if self.series else ""

    @property
    def series_number(self) -> str:
        """What ``series=`` accepts to choose this series again."""
        return self.series.name if self.series else ""

    @property
    def phase(self) -> str:
        """Contrast phase if the headers tell, else an empty string."""
        return self.series.phase if self.series else ""


@dataclass(frozen=True)
class Scan:
    """A CT scan in memory.

    Parameters
    ----------
    case_id : str
        See `ScanSource`.
    volume : Volume
        HU as int16, no voxel below -1024, on the grid and with the axis order of the file.
        DICOM: (column, row, slice), slices along the normal, so ``reoriented()`` of an ordinary
        axial scan is a C-contiguous view.
    source : ScanSource
        Where it came from.
    warnings : tuple of str
        Sentences that whoever uses the result should know. They name the case and never a path,
        since they are kept with the result and folders are named after patients.
    """

    case_id: str
    volume: Volume
    source: ScanSource
    warnings: tuple[str, ...] = ()


def case_id_from(name: str) -> str:
    """A safe file name for a case, from the name of its file, folder or zip.

    >>> case_id_from("case_00210.nii.gz")
    'case_00210'
    >>> case_id_from("../my scan.zip")
    'my_scan'
    """
    # Composed, since a letter's mark alone would be replaced.
    name = unicodedata.normalize("NFC", name)
    stem = re.split(r"[\\/]", name.rstrip("\\/"))[-1]
    stem = re.sub(
        r"(\.nii\.gz|\.nii|\.zip|\.dcm|\.hdr|\.mha|\.mhd|\.nrrd|\.nhdr)$",
        "",
        stem,
        flags=re.IGNORECASE,
    )
    stem = re.sub(r"[^\w.-]+", "_", stem).strip("._")
    return stem[:80] or "scan"


def state_of(file: Path | None) -> str:
    """A hash that changes when a file is written anew; empty without one."""
    if file is None:
        return ""
    status = file.stat()
    words = f"{file.name}/{status.st_size}/{status.st_mtime_ns}"
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()


def millimeters(spacing: Iterable[float]) -> str:
    """Spacing as people write it.

    >>> millimeters((0.703125, 0.703125, 3.0))
    '0.703 × 0.703 × 3 mm'
    """
    return f"{' × '.join(f'{mm:.3g}' for mm in spacing)} mm"


def shown(name: object, limit: int = 120) -> str:
    """A name from outside as it may appear in a message: one line, printable, not too long."""
    text = "".join(c if c.isprintable() else "?" for c in str(name)).strip()
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
