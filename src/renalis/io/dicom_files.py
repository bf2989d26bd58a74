"""Read DICOM headers: one `Frame` per stored slice, single- and multi-frame files alike."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from renalis.io.dicom_meta import check_unpacked_size
from renalis.io.dicom_values import numbers_of, text_of
from renalis.io.patient import identifiers, is_child, owner_of
from renalis.io.scan import FARTHEST_MM, shown

__all__ = ["COMPUTED", "PROJECTION", "Frame", "SeriesTags", "frames_of"]

PROJECTION = "a projection, not slices"
COMPUTED = "a map computed from two energies, so its values may not be HU"

_CT = "1.2.840.10008.5.1.4.1.1.2"
_ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
_SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
_DICOMDIR = "1.2.840.10008.1.3.10"
_LARGEST_SIDE = 4096
_PROJECTIONS = {
    "MIP", "MINIP", "MAX_IP", "MIN_IP", "MAXIMUM", "MINIMUM", "MPVR", "VRT", "VOLREN",
    "PROJECTION IMAGE", "SCREEN SAVE",
}  # fmt: skip
_COMPUTED_WORDS = re.compile(
    r"iodine|(?<![a-z])vnc|(?<![a-z])z.?eff|overlay|mono.?e", re.IGNORECASE
)
_PIXEL_SPACING = (1e-3, 50.0)  # mm
_NEEDED = (
    "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope",
    "RescaleIntercept",
)  # fmt: skip

_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber",
    "SeriesDescription", "Modality", "BodyPartExamined", "ProtocolName", "StudyDescription",
    "ContrastBolusAgent", "ImageType", "AcquisitionNumber", "AcquisitionTime", "ContentTime",
    "InstanceNumber", "TemporalPositionIdentifier", "ConvolutionKernel", "Rows", "Columns",
    "SamplesPerPixel", "NumberOfFrames", "PixelSpacing", "ImagePositionPatient",
    "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "PatientName", "PatientID", "PatientBirthDate", "PatientAge", "PatientIdentityRemoved",
    "PatientPosition", "SliceLocation", "SliceLocationVector", "SpacingBetweenSlices",
    "SliceThickness",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip


@dataclass(frozen=True)
class SeriesTags:
    """What all files of a series share.

    ``patient`` holds only hashes of the patient's identifiers, ``owner`` a short one of the ID,
    ``child`` whether PatientAge is below 16 years; the age itself is not kept.
    """

    uid: str
    study: str
    number: str = ""
    description: str = ""
    modality: str = ""
    descriptions: str = ""
    agent: str = ""
    patient: frozenset[str] = field(default=frozenset(), repr=False)
    owner: str = field(default="", repr=False)
    child: bool = field(default=False, repr=False)


@dataclass(frozen=True)
class Frame:
    """One stored image.

    ``position`` and ``orientation`` are ImagePositionPatient and ImageOrientationPatient (mm,
    LPS+), ``spacing`` is PixelSpacing (between rows, between columns; mm). ``barred`` says why
    the frame cannot be part of a volume (``lost``: although it is a slice of a CT), ``doubt`` why
    it should not be when there is a choice. ``frames_in_file`` counts what the file has headers
    for, whatever NumberOfFrames claims. ``location`` is SliceLocation, ``step``
    SpacingBetweenSlices and ``thickness`` SliceThickness (mm; None if absent). ``copies`` counts
    further files that hold the same image, ``mended`` says in sentences what was not as the
    standard has it and was read all the same.
    """

    series: SeriesTags
    file: str
    frame: int
    sop_class: str
    sop_instance: str
    rows: int = 0
    columns: int = 0
    spacing: tuple[float, ...] = ()
    position: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    slope: float = 1.0
    intercept: float = 0.0
    has_intercept: bool = True
    instance: int = 0
    acquisition: str = ""
    temporal: str = ""
    time: str = ""
    kernel: str = ""
    image_type: tuple[str, ...] = ()
    barred: str = ""
    lost: bool = False
    doubt: str = ""
    frames_in_file: int = 1
    location: float | None = None
    step: float | None = None
    thickness: float | None = None
    patient_position: str = ""
    copies: int = 0
    mended: tuple[str, ...] = ()


def frames_of(stream: BinaryIO, name: str) -> list[Frame] | None:
    """Headers of the images in one file; nothing is decoded.

    Parameters
    ----------
    stream : BinaryIO
        The file, at its start.
    name : str
        Stored in the frames as ``file``.

    Returns
    -------
    list of Frame or None
        None if the file is not DICOM, none if it is a DICOMDIR. A DICOM object without images
        gives one barred frame, so that its series can be listed.

    Raises
    ------
    EOFError, ValueError, and what else pydicom raises
        If it begins as DICOM and is damaged.
    """
    start = stream.read(1024)
    bare = start[:4] in (b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00")
    if start[128:132] != b"DICM" and not bare:
        return None
    if start[128:132] == b"DICM":
        check_unpacked_size(stream)
    stream.seek(0)
    tags: Any = _TAGS
    header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=tags, force=bare)
    if _DICOMDIR in (
        text_of(header, "SOPClassUID"),
        text_of(header.file_meta, "MediaStorageSOPClassUID"),  # where the standard has it
    ):
        return []
    if "SOPClassUID" not in header and "Modality" not in header:
        if bare:
            return None
        raise EOFError("it ends within its header")
    # pydicom stops in front of the pixel data; a slice that ends there has lost part of its header.
    syntax = header.file_meta.get("TransferSyntaxUID")
    packed = syntax == DeflatedExplicitVRLittleEndian
    stated = text_of(header.file_meta, "MediaStorageSOPClassUID")  # whole where the other is cut
    sliced = any(u in (_CT, *_ENHANCED_CT) for u in (stated, text_of(header, "SOPClassUID")))
    if sliced and ("Rows" not in header or not (packed or stream.read(1))):
        raise EOFError("it ends within its header")
    series = _series_tags(header)
    if "PerFrameFunctionalGroupsSequence" in header:
        return _enhanced_frames(header, series, name)
    if (numbers_of(header, "NumberOfFrames")[0] or (1.0,))[0] > 1:
        return _plain_frames(header, series, name)
    return [_frame(header, [header], series, name, 0)]


def _series_tags(header: Dataset) -> SeriesTags:
    described = ("BodyPartExamined", "SeriesDescription", "ProtocolName", "StudyDescription")
    sop_class = text_of(header, "SOPClassUID")
    modality = text_of(header, "Modality").upper()
    if not modality and sop_class in (_CT, *_ENHANCED_CT):
        modality = "CT"
    person = [text_of(header, tag) for tag in ("PatientName", "PatientID", "PatientBirthDate")]
    removed = text_of(header, "PatientIdentityRemoved").upper() == "YES"
    return SeriesTags(
        uid=text_of(header, "SeriesInstanceUID"),
        study=text_of(header, "StudyInstanceUID"),
        number=text_of(header, "SeriesNumber"),
        description=text_of(header, "SeriesDescription"),
        modality=modality,
        descriptions=" | ".join(text_of(header, tag) for tag in described),
        agent=text_of(header, "ContrastBolusAgent"),
        patient=frozenset() if removed else identifiers(*person),
        owner=owner_of(person[1]),
        child=is_child(text_of(header, "PatientAge")),
    )


def _enhanced_frames(header: Dataset, series: SeriesTags, name: str) -> list[Frame]:
    """Frames of an enhanced multi-frame object (DICOM PS3.3 A.38 and C.7.6.16)."""
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])[:1]
    frames = []
    for index, own in enumerate(header.PerFrameFunctionalGroupsSequence):
        groups = [
            item
            for functional in [own, *shared]
            for element in functional
            if element.VR == "SQ"
            for item in list(element.value)[:1]
        ]
        frames.append(_frame(header, [*groups, header], series, name, index))
    return [replace(frame, frames_in_file=len(frames)) for frame in frames]


def _plain_frames(header: Dataset, series: SeriesTags, name: str) -> list[Frame]:
    """Frames of a multi-frame object without functional groups, which has one position for all.

    A SliceLocationVector tells them apart (PS3.3 C.8.6.4); without one there is nothing to do.
    """
    first = _frame(header, [header], series, name, 0)
    count = int(numbers_of(header, "NumberOfFrames")[0][0])
    locations, _ = numbers_of(header, "SliceLocationVector")
    if len(locations) != count:
        reason = f"one file of {count} frames that have no positions of their own"
        return [first if first.barred else replace(first, barred=reason, lost=True)]
    return [
        replace(first, frame=i, instance=i + 1, location=along, frames_in_file=count)
        for i, along in enumerate(locations)
    ]


def _frame(
    header: Dataset, places: Sequence[Dataset], series: SeriesTags, name: str, index: int
) -> Frame:
    """One frame; each value comes from the first of ``places`` that has it."""

    commas: set[str] = set()
    unread: set[str] = set()

    def numbers(tag: str, count: int) -> tuple[float, ...]:
        for place in places:
            values, comma = numbers_of(place, tag)
            if len(values) == count:
                if comma:
                    commas.add(tag)
                return values
        if any(text_of(place, tag) for place in places):
            unread.add(tag)
        return ()

    def number(tag: str) -> float | None:
        return next(iter(numbers(tag, 1)), None)

    def text(*tags: str) -> str:
        return next((t for tag in tags for p in places if (t := text_of(p, tag))), "")

    slope, intercept = number("RescaleSlope"), number("RescaleIntercept")
    kinds = {
        t.strip().upper()
        for tag in ("ImageType", "FrameType")
        for p in places
        for t in text_of(p, tag).split("\\")
    }
    frame = Frame(
        series=series,
        file=name,
        frame=index,
        sop_class=text_of(header, "SOPClassUID"),
        sop_instance=text_of(header, "SOPInstanceUID"),
        rows=int(number("Rows") or 0),
        columns=int(number("Columns") or 0),
        spacing=numbers("PixelSpacing", 2),
        position=numbers("ImagePositionPatient", 3),
        orientation=numbers("ImageOrientationPatient", 6),
        slope=1.0 if slope is None else slope,
        intercept=intercept or 0.0,
        has_intercept=intercept is not None,
        instance=int(number("InstanceNumber") or 0),
        acquisition=text("AcquisitionNumber", "FrameAcquisitionNumber"),
        temporal=text("TemporalPositionIdentifier", "TemporalPositionIndex"),
        time=text("FrameAcquisitionDateTime", "AcquisitionTime", "ContentTime"),
        kernel=text("ConvolutionKernel"),
        image_type=tuple(sorted(kinds - {""})),
        location=number("SliceLocation"),
        step=number("SpacingBetweenSlices"),
        thickness=number("SliceThickness"),
        patient_position=text("PatientPosition").upper(),
    )
    samples = int(number("SamplesPerPixel") or 1)
    unsuited = _unsuited(frame, samples, text("RescaleType").upper())
    lost = "" if unsuited else _damage(frame, unread) or _misplaced(frame)
    mended = (f"decimal commas in {', '.join(sorted(commas))} were read as points",)
    return replace(
        frame,
        barred=unsuited or lost,
        lost=bool(lost),
        doubt=_doubt(kinds, series.description),
        mended=mended if commas else (),
    )


def _doubt(kinds: set[str], description: str) -> str:
    """Why a frame should not be part of a CT volume if there are others; empty if it may."""
    if kinds & _PROJECTIONS:
        return PROJECTION
    return COMPUTED if any(_COMPUTED_WORDS.search(t) for t in (*kinds, description)) else ""


def _unsuited(frame: Frame, samples: int, unit: str) -> str:
    """Why a frame is no slice of a CT; empty if it is one."""
    secondary = frame.sop_class == _SECONDARY or frame.sop_class.startswith(f"{_SECONDARY}.")
    foreign = bool(frame.sop_class) and frame.sop_class not in (_CT, *_ENHANCED_CT)
    reasons = (
        (frame.series.modality != "CT", "not CT"),
        (secondary, "secondary captures, not CT slices"),
        (foreign, "no CT slices"),
        ("LOCALIZER" in frame.image_type, "localizer"),
        (samples != 1, "color pictures"),
        (unit not in ("", "HU", "US"), f"values are {shown(unit, 20)}, not HU"),
    )
    return next((reason for wrong, reason in reasons if wrong), "")


def _damage(frame: Frame, unread: Collection[str]) -> str:
    """Values that no scanner writes; empty if there are none."""
    low, high = _PIXEL_SPACING
    if frame.rows < 1 or frame.columns < 1:
        return "damaged: no image size"
    if frame.slope == 0:
        return "damaged: a rescale slope of 0"
    if any(abs(v) > FARTHEST_MM for v in frame.position):
        return "damaged: a position far outside any scanner"
    if any(not low <= v <= high for v in frame.spacing if v):
        return "damaged: a pixel spacing that no CT has"
    for tag in _NEEDED:
        if tag in unread:
            return f"damaged: {tag} holds no numbers that can be used"
    return ""


def _misplaced(frame: Frame) -> str:
    """Why a frame has no place in a volume; empty if it has."""
    if max(frame.rows, frame.columns) > _LARGEST_SIDE:
        return f"larger than {_LARGEST_SIDE} pixels"
    if not frame.position:
        return "no position in the patient"
    if not frame.orientation:
        return "no orientation in the patient"
    if not all(frame.spacing) or not frame.spacing:
        return "no pixel spacing"
    one, two = np.array(frame.orientation[:3]), np.array(frame.orientation[3:])
    if abs(one @ one - 1) > 0.05 or abs(two @ two - 1) > 0.05 or abs(one @ two) > 0.02:
        return "directions that are not at right angles"
    return ""
