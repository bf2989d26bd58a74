"""Write DICOM Segmentation objects (PS3.3 A.51) of a scan that was read from DICOM.

Written with highdicom, an optional extra: binary, one segment per structure, empty frames left
out. Every UID that is made up is a hash of the scan's UIDs, the model and the voxels, so that the
same input gives the same object, byte by byte.
"""

from __future__ import annotations

import hashlib
import uuid
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID

from renalis.conventions import Label
from renalis.errors import InputError
from renalis.io.scan import Scan, SourceSlice
from renalis.io.segments.seg_sources import Sources, plane_places, read_sources
from renalis.io.write import whole_file
from renalis.volume import Volume

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

__all__ = ["Maker", "SegmentFacts", "write_dicom_seg"]

_KIDNEY = codes.SCT.Kidney
_ANATOMY, _ABNORMAL = codes.SCT.AnatomicalStructure, codes.SCT.MorphologicallyAbnormalStructure
_TYPES = {
    Label.KIDNEY: (_ANATOMY, _KIDNEY),
    Label.TUMOR: (_ABNORMAL, codes.SCT.Neoplasm),
    Label.CYST: (_ABNORMAL, codes.SCT.Cyst),
}
_SIDES = {"left": codes.SCT.Left, "right": codes.SCT.Right}
_Plane = tuple[tuple[float, float, float], SourceSlice | None]
_COLORS = {Label.KIDNEY: (70, 140, 220), Label.TUMOR: (220, 60, 50), Label.CYST: (60, 180, 110)}
_INTELLIGENCE = codes.DCM.ArtificialIntelligence
_DERIVED = Code("113076", "DCM", "Segmentation")  # codes.DCM.Segmentation is the modality
_SOURCE = codes.DCM.SourceImageForImageProcessingOperation
_LONGEST = 64  # characters of a long string (LO)
_FIRST_SERIES = 9000
"""Added to the number of the scan's series."""


@dataclass(frozen=True)
class SegmentFacts:
    """What one number of the map stands for.

    Attributes
    ----------
    id : str
        Tracking id, such as ``tumor-1``.
    name : str
        Shown by viewers.
    label : Label
        Decides the code.
    side : str
        ``"left"``, ``"right"``, or anything else for neither.
    """

    id: str
    name: str
    label: Label
    side: str = ""


@dataclass(frozen=True)
class Maker:
    """What made the segmentation: version of renalis, name and version of the model."""

    version: str
    model: str


def write_dicom_seg(
    path: Path, numbers: Volume, facts: Sequence[SegmentFacts], scan: Scan, maker: Maker
) -> None:
    """Write a DICOM Segmentation, whole or not at all.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    numbers : Volume
        Whole numbers, on the scan's grid, axes (column, row, slice): 0 outside, else 1 plus the
        place in ``facts``. Each must occur.
    facts : sequence of SegmentFacts
        At least one.
    scan : Scan
        Read from DICOM.
    maker : Maker
        Named in the object.

    Raises
    ------
    InputError
        If the scan is no DICOM, or its headers do not allow such an object.
    OutputError
        If the file cannot be written.
    ValueError
        If the numbers do not lie on the scan's grid.
    """
    if not numbers.same_grid(scan.volume):
        raise ValueError("the segments are not on the scan's grid")
    sources = read_sources(scan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # highdicom's remarks on values quote the patient's name
        made = _segmentation(numbers, facts, sources, maker)
    with whole_file(path) as file:
        made.save_as(file)


def _segmentation(
    numbers: Volume, facts: Sequence[SegmentFacts], sources: Sources, maker: Maker
) -> Dataset:
    from highdicom.content import PlanePositionSequence
    from highdicom.seg import Segmentation

    kept = [k for k in range(numbers.shape[2]) if numbers.array[:, :, k].any()]
    frames = np.stack([numbers.array[:, :, k].T for k in kept])
    frames = frames.astype(np.uint8 if len(facts) < 256 else np.uint16, copy=False)
    places = plane_places(numbers, sources.slices)
    seed = _seed(frames, kept, facts, sources, maker)
    try:
        made: Dataset = Segmentation(
            source_images=[sources.header],
            pixel_array=frames,
            segmentation_type="BINARY",
            segment_descriptions=[_description(n, f, maker, seed) for n, f in enumerate(facts, 1)],
            plane_positions=[PlanePositionSequence("PATIENT", places[k][0]) for k in kept],
            series_instance_uid=_uid(seed, "series"),
            series_number=_FIRST_SERIES + _series_number(sources.header),
            series_description="renalis: kidneys, tumors, cysts (research only)",
            sop_instance_uid=_uid(seed, "instance"),
            instance_number=1,
            manufacturer="renalis",
            manufacturer_model_name=maker.model[:_LONGEST],
            software_versions=maker.version[:_LONGEST],
            device_serial_number="none",
            content_label="RENALIS",
            content_description="Research software, not for clinical use",
            content_date=sources.date,
            content_time=sources.time,
            specific_character_set="ISO_IR 192",
            omit_empty_frames=True,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the headers of the scan's images do not allow a DICOM Segmentation ({error}); export "
            "the series again"
        ) from error
    _refer(made, sources)
    _derive(made, places)
    # Of this run, and not of the object: the same input gives the same bytes.
    del made.InstanceCreationDate, made.InstanceCreationTime
    for item in made.get("ContributingEquipmentSequence", []):
        if "ContributionDateTime" in item:
            del item.ContributionDateTime
    organization = _uid(seed, "dimensions")
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    return made


def _description(number: int, facts: SegmentFacts, maker: Maker, seed: str) -> SegmentDescription:
    """Name, codes and maker of a segment."""
    from highdicom.color import CIELabColor
    from highdicom.content import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription

    category, kind = _TYPES[facts.label]
    lesion = facts.label != Label.KIDNEY
    item = SegmentDescription(
        segment_number=number,
        segment_label=facts.name[:_LONGEST],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            "renalis", _INTELLIGENCE, maker.version[:_LONGEST], parameters={"model": maker.model}
        ),
        tracking_id=facts.id,
        tracking_uid=_uid(seed, f"segment {facts.id}"),
        anatomic_regions=[_KIDNEY] if lesion else None,
        display_color=CIELabColor.from_rgb(*_COLORS[facts.label]),
    )
    side = _SIDES.get(facts.side)
    if side is not None and lesion:
        item.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [_coded(side)]
    elif side is not None:
        kinds = item.SegmentedPropertyTypeCodeSequence
        kinds[0].SegmentedPropertyTypeModifierCodeSequence = [_coded(side)]
    return item


def _refer(made: Dataset, sources: Sources) -> None:
    """Name all images of the scan, by their own series."""
    by_series: dict[str, list[Dataset]] = defaultdict(list)
    seen = set()
    for one, series in zip(sources.slices, sources.series, strict=True):
        if one.sop_instance_uid not in seen:
            seen.add(one.sop_instance_uid)
            by_series[series].append(_reference(one))
    made.SourceImageSequence = [item for items in by_series.values() for item in items]
    made.ReferencedSeriesSequence = []
    for series, items in by_series.items():
        entry = Dataset()
        entry.SeriesInstanceUID = series
        entry.ReferencedInstanceSequence = items
        made.ReferencedSeriesSequence.append(entry)


def _derive(made: Dataset, planes: Sequence[_Plane]) -> None:
    """Name in each frame the one image that it was made of, where there is one."""
    of_file = Counter(source.sop_instance_uid for _, source in planes if source is not None)
    positions = np.array([position for position, _ in planes])
    for frame in made.PerFrameFunctionalGroupsSequence:
        at = np.array([float(v) for v in frame.PlanePositionSequence[0].ImagePositionPatient])
        source = planes[int(np.argmin(((positions - at) ** 2).sum(axis=1)))][1]
        frame.DerivationImageSequence = []
        if source is None:
            continue
        image = _reference(source)
        if source.frame or of_file[source.sop_instance_uid] > 1:
            image.ReferencedFrameNumber = source.frame + 1
        image.PurposeOfReferenceCodeSequence = [_coded(_SOURCE)]
        image.SpatialLocationsPreserved = "YES"
        derivation = Dataset()
        derivation.DerivationCodeSequence = [_coded(_DERIVED)]
        derivation.SourceImageSequence = [image]
        frame.DerivationImageSequence = [derivation]


def _reference(source: SourceSlice) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.sop_class_uid
    item.ReferencedSOPInstanceUID = source.sop_instance_uid
    return item


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def _series_number(header: Dataset) -> int:
    number: Any = header.get("SeriesNumber")
    return int(number) if isinstance(number, int) and 0 <= number < 1_000_000 else 0


def _seed(
    frames: np.ndarray[Any, Any],
    kept: Sequence[int],
    facts: Sequence[SegmentFacts],
    sources: Sources,
    maker: Maker,
) -> str:
    """A hash of all that makes one object another one; no name of a patient enters."""
    words = [repr(maker), repr(tuple(facts)), repr(tuple(kept)), repr(frames.shape)]
    words += [*sources.series, *(one.sop_instance_uid for one in sources.slices)]
    digest = hashlib.sha256("\n".join(words).encode())
    digest.update(np.ascontiguousarray(frames).data)
    return digest.hexdigest()


def _uid(seed: str, what: str) -> str:
    """A UID made of a UUID (PS3.5 B.2)."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'renalis {what} {seed}').int}")
