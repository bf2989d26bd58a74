"""What DICOM objects take from the images that they were made of: patient, study, references.

Headers are read up to the pixels, which may be large. What a header lacks, or says in a way that
the standard forbids, is left empty, as the standard allows; the place comes from the grid that was
read, so that what was mended while reading (`renalis.io.dicom_repair`) is right here as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from renalis.errors import InputError
from renalis.io.archive import FileSet, opened_files
from renalis.io.dicom_values import text_of
from renalis.io.scan import Scan, SourceSlice
from renalis.io.segments.facts import NoStudyError
from renalis.volume import Volume

__all__ = [
    "Sources",
    "image_planes",
    "plane_places",
    "read_sources",
    "refused_headers",
]

_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID")
_DATE, _TIME = re.compile(r"\d{8}"), re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?")
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_ON_PLACE = 1e-6


@contextmanager
def refused_headers() -> Iterator[None]:
    """What highdicom raises about a scan's headers, as one sentence.

    Raises
    ------
    NoStudyError
        If the headers do not allow the object that is made within.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NoStudyError(
            f"the headers of the scan's images do not allow it ({error}); export the series again"
        ) from error


@dataclass(frozen=True, eq=False)
class Sources:
    """The images of a scan, as objects refer to them.

    Attributes
    ----------
    header : Dataset
        Of the first image, without pixels and frames, its place as in the grid; text decoded.
    slices : tuple of SourceSlice
        All images whose voxels the scan has, in the order of its slices.
    series : tuple of str
        SeriesInstanceUID of each, as stored.
    date, time : str
        When the images were made (DA and TM); the standard's oldest usual date where they are
        silent.
    """

    header: Dataset
    slices: tuple[SourceSlice, ...]
    series: tuple[str, ...]
    date: str
    time: str


def read_sources(scan: Scan) -> Sources:
    """Read the headers of a scan's images.

    Raises
    ------
    NoStudyError
        If the scan is no DICOM, or its images do not say which study and frame of reference they
        belong to.
    InputError
        If its files are gone.
    """
    slices = scan.source.slices
    if scan.source.kind != "dicom" or not slices:
        raise NoStudyError("the scan is no DICOM, so there is no study that they could belong to")
    with opened_files(scan.source.path) as files:
        names = list(dict.fromkeys(one.file for one in slices))
        found = {name: _header(files, name, list(_UIDS)) for name in names}
        header = _header(files, slices[0].file)
    for tag, what in (("StudyInstanceUID", "study"), ("FrameOfReferenceUID", "frame of reference")):
        values = {text_of(one, tag) for one in found.values()}
        if len(values) > 1 or not all(values):
            how = "different ones" if len(values) > 1 else "none"
            raise NoStudyError(
                f"they belong to one {what}, and the scan's images name {how} ({tag}); export the "
                "series again"
            )
    series = tuple(text_of(found[one.file], "SeriesInstanceUID") for one in slices)
    if not all(series) or not all(one.sop_instance_uid for one in slices):
        raise NoStudyError(
            "they refer to images by their UIDs, which images of the scan lack; export the series "
            "again"
        )
    _made_plain(header, scan.volume, slices[0])
    dates = (text_of(header, f"{name}Date") for name in ("Content", "Series", "Study"))
    date = next((d for d in dates if _DATE.fullmatch(d)), "19000101")
    time = text_of(header, "StudyTime") or "000000"
    return Sources(header, slices, series, date, time)


def plane_places(
    grid: Volume, slices: Sequence[SourceSlice]
) -> list[tuple[tuple[float, float, float], SourceSlice | None]]:
    """ImagePositionPatient of each slice of a grid, and the image that it was read from.

    A slice that was read from one image lies where that image says, also along a tilted gantry.
    One that was interpolated, because it is missing or all are spaced unevenly, lies where the
    grid has it and comes from no single image.

    Parameters
    ----------
    grid : Volume
        Axes (column, row, slice).
    slices : sequence of SourceSlice
        Of that grid.
    """
    at = {} if _uneven(slices) else {round(one.place): one for one in slices}
    affine = _TO_LPS @ grid.affine
    planes: list[tuple[tuple[float, float, float], SourceSlice | None]] = []
    for index in range(grid.shape[2]):
        source = at.get(index)
        x, y, z = (affine @ (0, 0, index, 1))[:3] if source is None else source.position
        planes.append(((float(x), float(y), float(z)), source))
    return planes


def image_planes(
    grid: Volume, slices: Sequence[SourceSlice]
) -> list[tuple[tuple[float, float, float], SourceSlice | None, int]]:
    """The planes that outlines are drawn in, each with the slice of the grid that it shows.

    As `plane_places`, but of images that are spaced unevenly these themselves, each with the slice
    of the grid that lies nearest: outlines that lie on no image are refused by many programs.
    """
    if not _uneven(slices):
        return [(*plane, index) for index, plane in enumerate(plane_places(grid, slices))]
    last = grid.shape[2] - 1
    return [(one.position, one, min(max(round(one.place), 0), last)) for one in slices]


def _uneven(slices: Sequence[SourceSlice]) -> bool:
    return any(abs(one.place - round(one.place)) > _ON_PLACE for one in slices)


def _header(files: FileSet, name: str, tags: list[str] | None = None) -> Dataset:
    """A file's header up to the pixels."""
    try:
        with files.open(name) as stream:
            return dcmread(stream, stop_before_pixels=True, force=True, specific_tags=tags)
    except OSError as error:
        raise InputError(
            f"{files.shown(name)} cannot be read any more ({error.strerror or error}); put it back"
        ) from error


def _made_plain(header: Dataset, grid: Volume, first: SourceSlice) -> None:
    """Make a header one of a single image in its place, with nothing that the standard forbids."""
    try:
        header.decode()
    except (LookupError, UnicodeError):
        header.SpecificCharacterSet = "ISO_IR 100"  # every byte is a letter there
    for tag in ("NumberOfFrames", "SharedFunctionalGroupsSequence",
                "PerFrameFunctionalGroupsSequence", "DimensionIndexSequence",
                "DimensionOrganizationSequence", "ImageType"):  # fmt: skip
        if tag in header:
            del header[tag]
    for tag in ("PatientName", "PatientID", "AccessionNumber", "StudyID", "ReferringPhysicianName"):
        if tag not in header or header[tag].value is None:
            setattr(header, tag, "")
    _keep(header, "PatientSex", re.compile("[MFO]"))
    _keep(header, "PatientBirthDate", _DATE)
    _keep(header, "StudyDate", _DATE)
    _keep(header, "StudyTime", _TIME)
    header.SOPClassUID = CTImageStorage
    header.SOPInstanceUID = first.sop_instance_uid
    header.Rows, header.Columns = grid.shape[1], grid.shape[0]
    steps = _TO_LPS[:3, :3] @ grid.affine[:3, :3]
    row, column = (steps[:, axis] / np.linalg.norm(steps[:, axis]) for axis in (0, 1))
    between = abs(float(np.cross(row, column) @ steps[:, 2]))
    header.ImageOrientationPatient = [_decimal(v) for v in (*row, *column)]
    header.ImagePositionPatient = [_decimal(v) for v in first.position]
    header.PixelSpacing = [_decimal(grid.spacing[1]), _decimal(grid.spacing[0])]
    header.SpacingBetweenSlices = header.SliceThickness = _decimal(between)


def _keep(header: Dataset, tag: str, form: re.Pattern[str]) -> None:
    """Keep a value of a form, and empty any other."""
    value = text_of(header, tag)
    setattr(header, tag, value if form.fullmatch(value) else "")


def _decimal(value: float) -> str:
    """A number as a decimal string (DS): at most 16 characters.

    >>> _decimal(-0.123456789012345), _decimal(-1e-20), _decimal(2.5)
    ('-0.123456789012', '0.0', '2.5')
    """
    digits = 13 - len(str(int(abs(value))))
    return str(round(float(value), digits) + 0.0) if abs(value) >= 1e-4 else "0.0"
