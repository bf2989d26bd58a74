"""Read DICOM headers: one `Frame` per stored slice, single- and multi-frame files alike."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from renalis.io.dicom_meta import check_unpacked_size
from renalis.io.patient import identifiers, owner_of
from renalis.io.scan import FARTHEST_MM

__all__ = ["COMPUTED", "PROJECTION", "Frame", "SeriesTags", "frames_of"]

PROJECTION = "a projection, not slices"
COMPUTED = "a map computed from two energies, so its values may not be HU"

_CT = "1.2.840.10008.5.1.4.1.1.2"
_ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
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

_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber",
    "SeriesDescription", "Modality", "BodyPartExamined", "ProtocolName", "StudyDescription",
    "ContrastBolusAgent", "ImageType", "AcquisitionNumber", "AcquisitionTime", "ContentTime",
    "InstanceNumber", "TemporalPositionIdentifier", "ConvolutionKernel", "Rows", "Columns",
    "SamplesPerPixel", "NumberOfFrames", "PixelSpacing", "ImagePositionPatient",
    "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "PatientName", "PatientID", "PatientBirthDate", "PatientIdentityRemoved",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip


@dataclass(frozen=True)
class SeriesTags:
    """What all files of a series share.

    ``patient`` holds only hashes of the patient's identifiers, ``owner`` a short one of the ID.
    """

    uid: str
    study: str
    number: str = ""
    description: str = ""
    modality: str = ""
    about: str = ""
    agent: str = ""
    patient: frozenset[str] = field(default=frozenset(), repr=False)
    owner: str = field(default="", repr=False)


@dataclass(frozen=True)
class Frame:
    """One stored image.

    ``position`` and ``orientation`` are ImagePositionPatient and ImageOrientationPatient (mm,
    LPS+), ``spacing`` is PixelSpacing (between rows, between columns; mm). ``barred`` says why
    the frame cannot be part of a volume, ``doubt`` why it should not be when there is a choice.
    ``frames_in_file`` counts what the file has headers for, whatever NumberOfFrames claims.
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
    doubt: str = ""
    frames_in_file: int = 1


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
        None if the file is not DICOM or is a DICOMDIR. A DICOM object without images gives one
        barred frame, so that its series can be listed.

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
    if _text(header, "SOPClassUID") == _DICOMDIR:
        return None
    if "SOPClassUID" not in header and "Modality" not in header:
        if bare:
            return None
        raise EOFError("it ends within its header")
    # pydicom stops in front of the pixel data; a slice that ends there has lost part of its header.
    syntax = header.file_meta.get("TransferSyntaxUID")
    packed = syntax == DeflatedExplicitVRLittleEndian
    sliced = _text(header, "SOPClassUID") in (_CT, *_ENHANCED_CT)
    if sliced and ("Rows" not in header or not (packed or stream.read(1))):
        raise EOFError("it ends within its header")
    series = _series_tags(header)
    if "PerFrameFunctionalGroupsSequence" in header:
        return _enhanced_frames(header, series, name)
    return [_frame(header, [header], series, name, 0)]


def _series_tags(header: Dataset) -> SeriesTags:
    about = ("BodyPartExamined", "SeriesDescription", "ProtocolName", "StudyDescription")
    sop_class = _text(header, "SOPClassUID")
    modality = _text(header, "Modality").upper()
    if not modality and sop_class in (_CT, *_ENHANCED_CT):
        modality = "CT"
    person = [_text(header, tag) for tag in ("PatientName", "PatientID", "PatientBirthDate")]
    removed = _text(header, "PatientIdentityRemoved").upper() == "YES"
    return SeriesTags(
        uid=_text(header, "SeriesInstanceUID"),
        study=_text(header, "StudyInstanceUID"),
        number=_text(header, "SeriesNumber"),
        description=_text(header, "SeriesDescription"),
        modality=modality,
        about=" | ".join(_text(header, tag) for tag in about),
        agent=_text(header, "ContrastBolusAgent"),
        patient=frozenset() if removed else identifiers(*person),
        owner=owner_of(person[1]),
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


def _frame(
    header: Dataset, places: Sequence[Dataset], series: SeriesTags, name: str, index: int
) -> Frame:
    """One frame; each value comes from the first of ``places`` that has it."""

    def numbers(tag: str, count: int) -> tuple[float, ...]:
        for place in places:
            values = _numbers(place, tag)
            if len(values) == count and all(math.isfinite(v) for v in values):
                return values
        return ()

    def text(*tags: str) -> str:
        return next((t for tag in tags for p in places if (t := _text(p, tag))), "")

    slope, intercept = numbers("RescaleSlope", 1), numbers("RescaleIntercept", 1)
    kinds = {
        t.strip().upper()
        for tag in ("ImageType", "FrameType")
        for p in places
        for t in _text(p, tag).split("\\")
    }
    whole = numbers("InstanceNumber", 1)
    frame = Frame(
        series=series,
        file=name,
        frame=index,
        sop_class=_text(header, "SOPClassUID"),
        sop_instance=_text(header, "SOPInstanceUID"),
        rows=int((_numbers(header, "Rows") or (0,))[0]),
        columns=int((_numbers(header, "Columns") or (0,))[0]),
        spacing=numbers("PixelSpacing", 2),
        position=numbers("ImagePositionPatient", 3),
        orientation=numbers("ImageOrientationPatient", 6),
        slope=slope[0] if slope else 1.0,
        intercept=intercept[0] if intercept else 0.0,
        has_intercept=bool(intercept),
        instance=int(whole[0]) if whole else 0,
        acquisition=text("AcquisitionNumber", "FrameAcquisitionNumber"),
        temporal=text("TemporalPositionIdentifier", "TemporalPositionIndex"),
        time=text("FrameAcquisitionDateTime", "AcquisitionTime", "ContentTime"),
        kernel=text("ConvolutionKernel"),
        image_type=tuple(sorted(kinds - {""})),
    )
    samples = _numbers(header, "SamplesPerPixel") or (1.0,)
    barred = _barred(frame, int(samples[0]), text("RescaleType").upper())
    return replace(frame, barred=barred, doubt=_doubt(kinds, series.description))


def _doubt(kinds: set[str], description: str) -> str:
    """Why a frame should not be part of a CT volume if there are others; empty if it may."""
    if kinds & _PROJECTIONS:
        return PROJECTION
    return COMPUTED if any(_COMPUTED_WORDS.search(t) for t in (*kinds, description)) else ""


def _barred(frame: Frame, samples: int, unit: str) -> str:
    """Why a frame cannot be part of a CT volume; empty if it can."""
    if frame.series.modality != "CT":
        return "not CT"
    if frame.sop_class and frame.sop_class not in (_CT, *_ENHANCED_CT):
        return "no CT slices"
    if "LOCALIZER" in frame.image_type:
        return "localizer"
    if samples != 1:
        return "color pictures"
    if unit not in ("", "HU", "US"):
        return f"values are {unit}, not HU"
    return _damage(frame) or _misplaced(frame)


def _damage(frame: Frame) -> str:
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
    return ""


def _misplaced(frame: Frame) -> str:
    """Why a frame has no place in a volume; empty if it has."""
    if max(frame.rows, frame.columns) > _LARGEST_SIDE:
        return f"larger than {_LARGEST_SIDE} pixels"
    if not frame.position or not frame.orientation:
        return "no position in the patient"
    if not all(frame.spacing) or not frame.spacing:
        return "no pixel spacing"
    one, two = np.array(frame.orientation[:3]), np.array(frame.orientation[3:])
    if abs(one @ one - 1) > 0.05 or abs(two @ two - 1) > 0.05 or abs(one @ two) > 0.02:
        return "directions that are not at right angles"
    return ""


def _text(place: Dataset, tag: str) -> str:
    """A value as text, empty if absent; several values joined with backslashes."""
    value = place.get(tag)
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Sequence):
        return "\\".join(str(v) for v in value)
    return str(value).strip()


def _numbers(place: Dataset, tag: str) -> tuple[float, ...]:
    """A value as floats; empty if absent or no number."""
    try:
        value = place.get(tag)
        if value is None or value == "":
            return ()
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        return tuple(float(v) for v in values)
    except (TypeError, ValueError):
        return ()
