"""Write measurements as a DICOM Structured Report (TID 1500, Measurement Report).

Written with highdicom, an optional extra. One group for each kidney and lesion: its codes and
place, the algorithm, and numbers with their units. Where a segmentation was written as well, a
group refers to its segment; else to the image on which the structure is shown best.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from renalis.io.segments.codes import CATEGORIES, KIDNEY, REPORT, SIDES, TYPES
from renalis.io.segments.dicom_seg_out import SegKind, seg_reference
from renalis.io.segments.facts import SegmentFacts
from renalis.io.segments.seg_sources import refused_headers
from renalis.io.segments.segmented_study import LONGEST, SegmentedStudy, of_patient, write_object

if TYPE_CHECKING:
    from highdicom import sr

__all__ = ["MeasuredSegment", "Quantity", "write_sr"]

_PROCEDURE = Code("25045-6", "LN", "CT unspecified body region")
_PLACE = 2


@dataclass(frozen=True)
class Quantity:
    """One number.

    Attributes
    ----------
    what, unit : Code
        What was measured, in which unit (UCUM).
    value : float
        Finite.
    derivation : Code or None
        Such as mean or maximum.
    """

    what: Code
    unit: Code
    value: float
    derivation: Code | None = None


@dataclass(frozen=True)
class MeasuredSegment:
    """All numbers of one structure.

    Attributes
    ----------
    number : int
        Its segment, from 1: the place in `SegmentedStudy.facts`, plus 1.
    quantities : tuple of Quantity
        At least one.
    slice_index : int or None
        Index along the scan's last axis of the slice that shows it best.
    """

    number: int
    quantities: tuple[Quantity, ...]
    slice_index: int | None = None


def write_sr(
    path: Path,
    study: SegmentedStudy,
    measured: Sequence[MeasuredSegment],
    segmentation: SegKind | None = None,
) -> None:
    """Write a measurement report (Comprehensive SR), whole or not at all.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    study : SegmentedStudy
        Patient, study and structures.
    measured : sequence of MeasuredSegment
        At least one.
    segmentation : SegKind, optional
        The segmentation that was written of the same study, to whose segments groups refer.

    Raises
    ------
    NoStudyError
        If the headers of the scan's images do not allow such an object.
    OutputError
        If the file cannot be written.
    """
    with warnings.catch_warnings(), refused_headers():
        warnings.simplefilter("ignore")  # highdicom's remarks on values quote the patient's name
        made = _report(study, measured, segmentation)
    write_object(path, made)


def _report(
    study: SegmentedStudy, measured: Sequence[MeasuredSegment], segmentation: SegKind | None
) -> Dataset:
    from highdicom import sr

    maker = study.maker
    device = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=study.uid("observer"),
            name="renalis (research software, not for diagnosis)",
            manufacturer_name="renalis",
            model_name=f"{maker.version}, model {maker.model}"[:LONGEST],
        ),
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=_PROCEDURE,
        imaging_measurements=[_group(study, one, segmentation) for one in measured],
        title=REPORT,
    )
    made: Dataset = sr.ComprehensiveSR(
        evidence=_evidence(study, segmentation),
        content=content[0],
        is_complete=True,
        is_final=False,
        is_verified=False,
        **study.fields(f"report {segmentation or ''}", _PLACE, "measurements"),
    )
    return made


def _group(study: SegmentedStudy, measured: MeasuredSegment, segmentation: SegKind | None) -> Any:
    """The numbers of one structure (TID 1411 with a segment, TID 1501 without)."""
    from highdicom import sr

    facts = study.facts[measured.number - 1]
    shared: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(
            uid=study.tracking_uid(facts), identifier=facts.id
        ),
        "finding_category": CATEGORIES[facts.label],
        "finding_type": TYPES[facts.label],
        "finding_sites": [_site(facts)],
        "algorithm_id": sr.AlgorithmIdentification(
            "renalis", study.maker.version, parameters=[f"model: {study.maker.model}"]
        ),
        "measurements": [
            sr.Measurement(name=q.what, value=q.value, unit=q.unit, derivation=q.derivation)
            for q in measured.quantities
        ],
    }
    if segmentation is None:
        images = _shown_on(study, measured)
        return sr.MeasurementsAndQualitativeEvaluations(source_images=images, **shared)
    sop_class, instance, _ = seg_reference(study, segmentation)
    segment = sr.ReferencedSegment(
        sop_class,
        instance,
        measured.number,
        source_series=sr.SourceSeriesForSegmentation(study.sources.series[0]),
    )
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=segment, **shared
    )


def _site(facts: SegmentFacts) -> sr.FindingSite:
    from highdicom import sr

    site: sr.FindingSite = sr.FindingSite(KIDNEY, laterality=SIDES.get(facts.side))
    return site


def _shown_on(
    study: SegmentedStudy, measured: MeasuredSegment
) -> list[sr.SourceImageForMeasurementGroup] | None:
    """The image of its slice; None where that slice is of no single image."""
    from highdicom import sr

    slices = study.sources.slices
    if measured.slice_index is None or not slices:
        return None
    source = min(slices, key=lambda one: abs(one.place - (measured.slice_index or 0)))
    if abs(source.place - measured.slice_index) > 0.5:
        return None
    image = study.image(source)
    frame = image.get("ReferencedFrameNumber")
    return [
        sr.SourceImageForMeasurementGroup(
            source.sop_class_uid,
            source.sop_instance_uid,
            referenced_frame_numbers=None if frame is None else [int(frame)],
        )
    ]


def _evidence(study: SegmentedStudy, segmentation: SegKind | None) -> list[Dataset]:
    """All images, and the segmentation, as far as references need them."""
    slices = zip(study.sources.slices, study.sources.series, strict=True)
    named = {one.sop_instance_uid: (one.sop_class_uid, series) for one, series in slices}
    if segmentation is not None:
        sop_class, instance, own_series = seg_reference(study, segmentation)
        named[instance] = sop_class, own_series
    found = []
    for uid, (kind, series) in named.items():
        item = of_patient(study)
        item.SOPClassUID, item.SOPInstanceUID, item.SeriesInstanceUID = kind, uid, series
        found.append(item)
    return found
