"""Put a PDF into a study: DICOM Encapsulated PDF (PS3.3 A.45.1)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sr.coding import Code
from pydicom.uid import EncapsulatedPDFStorage

from renalis.io.segments.codes import coded
from renalis.io.segments.segmented_study import SegmentedStudy, new_object, warned
from renalis.io.write import whole_file

__all__ = ["write_pdf_object"]

_TITLE = Code("126000", "DCM", "Imaging Measurement Report")
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
    made.ConceptNameCodeSequence = [coded(_TITLE)]
    made.VerificationFlag = "UNVERIFIED"
    made.SourceInstanceSequence = _sources(study)
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocumentLength = len(pdf)
    made.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    with whole_file(path) as file:
        dcmwrite(file, warned(made), enforce_file_format=True)


def _sources(study: SegmentedStudy) -> list[Dataset]:
    return [item for items in study.images().values() for item in items]
