"""Write DICOM RT Structure Sets (PS3.3 A.19): outlines of each structure on the scan's images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from renalis.conventions import Label
from renalis.io.segments.codes import TYPES, coded
from renalis.io.segments.facts import COLORS, SegmentFacts
from renalis.io.segments.outlines import outlines
from renalis.io.segments.seg_sources import image_planes
from renalis.io.segments.segmented_study import LONGEST, SegmentedStudy, new_object, write_object

__all__ = ["write_rtstruct"]

_PLACE = 4
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management, which structure sets go on naming."""
_SHORT = 16  # characters of a short string (SH)
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


def write_rtstruct(path: Path, study: SegmentedStudy) -> None:
    """Write a structure set with one region for each structure, whole or not at all.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    study : SegmentedStudy
        At least one structure.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    made = new_object(study, RTStructureSetStorage, "structure set", _PLACE)
    sources = study.sources
    made.Modality = "RTSTRUCT"
    made.SeriesDescription = study.series_description("outlines")
    made.OperatorsName = ""
    made.StructureSetLabel = "RENALIS"
    made.StructureSetName = "Research software, not for diagnosis"
    made.StructureSetDate, made.StructureSetTime = sources.date, sources.time
    made.FrameOfReferenceUID = sources.header.FrameOfReferenceUID
    made.PositionReferenceIndicator = ""
    made.ReferencedFrameOfReferenceSequence = [_frame_of_reference(study)]
    made.StructureSetROISequence, made.ROIContourSequence = [], []
    made.RTROIObservationsSequence = []
    drawn = _contours(study)
    for number, facts in enumerate(study.facts, 1):
        made.StructureSetROISequence.append(_region(study, number, facts))
        contours = Dataset()
        contours.ROIDisplayColor = list(COLORS[facts.label])
        contours.ContourSequence = drawn[number - 1]
        contours.ReferencedROINumber = number
        made.ROIContourSequence.append(contours)
        made.RTROIObservationsSequence.append(_observation(number, facts))
    made.ApprovalStatus = "UNAPPROVED"
    write_object(path, made)


def _frame_of_reference(study: SegmentedStudy) -> Dataset:
    """The images that are drawn on, by their series."""
    header = study.sources.header
    item, referenced = Dataset(), Dataset()
    item.FrameOfReferenceUID = header.FrameOfReferenceUID
    referenced.ReferencedSOPClassUID = _STUDY_CLASS
    referenced.ReferencedSOPInstanceUID = header.StudyInstanceUID
    referenced.RTReferencedSeriesSequence = []
    for series, images in study.images().items():
        entry = Dataset()
        entry.SeriesInstanceUID = series
        entry.ContourImageSequence = images
        referenced.RTReferencedSeriesSequence.append(entry)
    item.RTReferencedStudySequence = [referenced]
    return item


def _region(study: SegmentedStudy, number: int, facts: SegmentFacts) -> Dataset:
    item = Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = study.sources.header.FrameOfReferenceUID
    item.ROIName = facts.name[:LONGEST]
    item.ROIGenerationAlgorithm = study.maker.algorithm_type
    item.ROIGenerationDescription = f"renalis {study.maker.version}, {study.maker.model}"[:LONGEST]
    return item


def _observation(number: int, facts: SegmentFacts) -> Dataset:
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = number
    item.ROIObservationLabel = facts.id[:_SHORT]
    item.RTROIIdentificationCodeSequence = [coded(TYPES[facts.label])]
    # Not a target volume: that is a physician's decision.
    item.RTROIInterpretedType = "ORGAN" if facts.label == Label.KIDNEY else ""
    item.ROIInterpreter = ""
    return item


def _contours(study: SegmentedStudy) -> list[list[Dataset]]:
    """The contours of each structure, plane by plane."""
    numbers = study.numbers
    steps = numbers.affine[:3, :2] * _LPS_TO_RAS[:, None]
    found: list[list[Dataset]] = [[] for _ in study.facts]
    for position, source, index in image_planes(numbers, study.sources.slices):
        plane = numbers.array[:, :, index]
        images = [] if source is None else [study.image(source)]
        for number in np.unique(plane[plane > 0]).tolist():
            for outline in outlines(plane == number):
                points = np.asarray(position) + outline @ steps.T
                found[number - 1].append(_contour(points, images, len(found[number - 1]) + 1))
    return found


def _contour(points: NDArray[np.float64], images: list[Dataset], number: int) -> Dataset:
    """One closed line in a plane, in mm (LPS+)."""
    item = Dataset()
    item.ContourNumber = number
    if images:
        item.ContourImageSequence = images
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{value + 0.0:.4f}" for value in points.ravel()]
    return item
