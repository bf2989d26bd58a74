"""Write DICOM Segmentation objects (PS3.3 A.51) of a scan that was read from DICOM.

Written with highdicom, an optional extra: binary or as a label map, one segment per structure,
empty frames left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless, SegmentationStorage

from renalis.conventions import Label
from renalis.io.scan import SourceSlice
from renalis.io.segments.codes import CATEGORIES, KIDNEY, SIDES, TYPES, coded
from renalis.io.segments.facts import COLORS, SegmentFacts
from renalis.io.segments.seg_sources import plane_places, refused_headers
from renalis.io.segments.segmented_study import LONGEST, SegmentedStudy, write_object

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

__all__ = ["SegKind", "seg_reference", "write_dicom_seg"]

_Plane = tuple[tuple[float, float, float], SourceSlice | None]
_INTELLIGENCE = codes.DCM.ArtificialIntelligence
_DERIVED = Code("113076", "DCM", "Segmentation")  # codes.DCM.Segmentation is the modality
_SOURCE = codes.DCM.SourceImageForImageProcessingOperation


class SegKind(StrEnum):
    """How voxels are stored."""

    BINARY = "BINARY"
    """One frame of bits for each segment and slice: what nearly all programs read."""
    LABELMAP = "LABELMAP"
    """One frame of numbers for each slice, run-length encoded (Label Map Segmentation, DICOM
    2024d): smaller, and read by few programs yet."""


_SYNTAXES = {SegKind.BINARY: ExplicitVRLittleEndian, SegKind.LABELMAP: RLELossless}
_CLASSES = {
    SegKind.BINARY: ("segmentation", SegmentationStorage, 0),
    SegKind.LABELMAP: ("label map", UID("1.2.840.10008.5.1.4.1.1.66.7"), 1),
}


def seg_reference(study: SegmentedStudy, kind: SegKind) -> tuple[UID, UID, UID]:
    """SOP class, instance and series UID of the segmentation that `write_dicom_seg` writes."""
    name, sop_class, _ = _CLASSES[kind]
    return sop_class, study.uid(f"{name} instance"), study.uid(f"{name} series")


def write_dicom_seg(path: Path, study: SegmentedStudy, kind: SegKind = SegKind.BINARY) -> None:
    """Write a DICOM Segmentation, whole or not at all.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    study : SegmentedStudy
        At least one segment.
    kind : SegKind
        How voxels are stored.

    Raises
    ------
    NoStudyError
        If the headers of the scan's images do not allow such an object.
    OutputError
        If the file cannot be written.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # highdicom's remarks on values quote the patient's name
        made = _segmentation(study, kind)
    write_object(path, made)


def _segmentation(study: SegmentedStudy, kind: SegKind) -> Dataset:
    from highdicom.content import PlanePositionSequence
    from highdicom.seg import Segmentation

    numbers, facts, sources = study.numbers, study.facts, study.sources
    kept = study.kept
    frames = np.stack([numbers.array[:, :, k].T for k in kept])
    frames = frames.astype(np.uint8 if len(facts) < 256 else np.uint16, copy=False)
    places = plane_places(numbers, sources.slices)
    name, _, place = _CLASSES[kind]
    with refused_headers():
        made: Dataset = Segmentation(
            source_images=[sources.header],
            pixel_array=frames,
            segmentation_type=str(kind),
            segment_descriptions=[_description(n, f, study) for n, f in enumerate(facts, 1)],
            plane_positions=[PlanePositionSequence("PATIENT", places[k][0]) for k in kept],
            content_label="RENALIS",
            content_description="Research software, not for clinical use",
            omit_empty_frames=True,
            transfer_syntax_uid=_SYNTAXES[kind],
            **study.fields(name, place, "kidneys, tumors, cysts"),
        )
    _refer(study, made)
    _derive(study, made, places)
    organization = study.uid(f"{name} dimensions")
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    return made


def _description(number: int, facts: SegmentFacts, study: SegmentedStudy) -> SegmentDescription:
    """Name, codes and maker of a segment."""
    from highdicom.color import CIELabColor
    from highdicom.content import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription

    lesion = facts.label != Label.KIDNEY
    maker = study.maker
    item = SegmentDescription(
        segment_number=number,
        segment_label=facts.name[:LONGEST],
        segmented_property_category=CATEGORIES[facts.label],
        segmented_property_type=TYPES[facts.label],
        algorithm_type=maker.algorithm_type,
        algorithm_identification=AlgorithmIdentificationSequence(
            "renalis", _INTELLIGENCE, maker.version[:LONGEST], parameters={"model": maker.model}
        ),
        tracking_id=facts.id,
        tracking_uid=study.tracking_uid(facts),
        anatomic_regions=[KIDNEY] if lesion else None,
        display_color=CIELabColor.from_rgb(*COLORS[facts.label]),
    )
    side = SIDES.get(facts.side)
    if side is not None and lesion:
        item.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [coded(side)]
    elif side is not None:
        kinds = item.SegmentedPropertyTypeCodeSequence
        kinds[0].SegmentedPropertyTypeModifierCodeSequence = [coded(side)]
    return item


def _refer(study: SegmentedStudy, made: Dataset) -> None:
    """Name all images of the scan, by their own series."""
    made.SourceImageSequence, made.ReferencedSeriesSequence = [], []
    for series, items in study.images().items():
        made.SourceImageSequence.extend(items)
        entry = Dataset()
        entry.SeriesInstanceUID = series
        entry.ReferencedInstanceSequence = items
        made.ReferencedSeriesSequence.append(entry)


def _derive(study: SegmentedStudy, made: Dataset, planes: Sequence[_Plane]) -> None:
    """Name in each frame the one image that it was made of, where there is one."""
    positions = np.array([position for position, _ in planes])
    for frame in made.PerFrameFunctionalGroupsSequence:
        at = np.array([float(v) for v in frame.PlanePositionSequence[0].ImagePositionPatient])
        source = planes[int(np.argmin(((positions - at) ** 2).sum(axis=1)))][1]
        frame.DerivationImageSequence = []
        if source is None:
            continue
        image = study.image(source)
        image.PurposeOfReferenceCodeSequence = [coded(_SOURCE)]
        image.SpatialLocationsPreserved = "YES"
        derivation = Dataset()
        derivation.DerivationCodeSequence = [coded(_DERIVED)]
        derivation.SourceImageSequence = [image]
        frame.DerivationImageSequence = [derivation]
