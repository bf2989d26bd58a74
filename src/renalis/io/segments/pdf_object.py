"""Put a PDF into a study: DICOM Encapsulated PDF (PS3.3 A.45.1)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydicom.uid import EncapsulatedPDFStorage

from renalis.io.segments.codes import REPORT, coded
from renalis.io.segments.segmented_study import SegmentedStudy, new_object, write_object

__all__ = ["write_pdf_object"]

_PLACE = 3


def write_pdf_object(path: Path, pdf: bytes, study: SegmentedStudy) -> None:
    """Write a PDF as an object of the patient and study, whole or not at all.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    pdf : bytes
        The document.
    study : SegmentedStudy
        That it is about.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    kind = f"document {hashlib.sha256(pdf).hexdigest()}"
    made = new_object(study, EncapsulatedPDFStorage, kind, _PLACE)
    made.Modality = "DOC"
    made.SeriesDescription = study.series_description("report")
    made.ConversionType = "WSD"
    made.ContentDate, made.ContentTime = study.sources.date, study.sources.time
    made.AcquisitionDateTime = None
    # The case's name on the page may be the patient's, where a folder is named so.
    made.BurnedInAnnotation = "YES"
    made.DocumentTitle = "renalis: kidneys, tumors, cysts (research only)"
    made.ConceptNameCodeSequence = [coded(REPORT)]
    made.VerificationFlag = "UNVERIFIED"
    made.SourceInstanceSequence = [one for items in study.images().values() for one in items]
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocumentLength = len(pdf)
    made.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    write_object(path, made)
