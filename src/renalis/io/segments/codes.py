"""What segments are called in DICOM's coded terms, in every format that is written."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from renalis.conventions import Label

__all__ = ["CATEGORIES", "KIDNEY", "REPORT", "SIDES", "TYPES", "coded"]

KIDNEY: Code = codes.SCT.Kidney
REPORT = Code("126000", "DCM", "Imaging Measurement Report")
TYPES: dict[Label, Code] = {
    Label.KIDNEY: KIDNEY,
    Label.TUMOR: codes.SCT.Neoplasm,
    Label.CYST: codes.SCT.Cyst,
}
CATEGORIES: dict[Label, Code] = {
    Label.KIDNEY: codes.SCT.AnatomicalStructure,
    Label.TUMOR: codes.SCT.MorphologicallyAbnormalStructure,
    Label.CYST: codes.SCT.MorphologicallyAbnormalStructure,
}
SIDES: dict[str, Code] = {"left": codes.SCT.Left, "right": codes.SCT.Right}


def coded(code: Code) -> Dataset:
    """A code as an item of a sequence."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item
