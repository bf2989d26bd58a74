"""What one segment stands for, in every format that is written: name, codes, color, maker."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from renalis.conventions import Label
from renalis.io.label_names import COLORS

__all__ = ["CATEGORIES", "COLORS", "KIDNEY", "SIDES", "TYPES", "Maker", "SegmentFacts", "coded"]

KIDNEY: Code = codes.SCT.Kidney
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
        Decides code and color.
    side : str
        ``"left"``, ``"right"``, or anything else for neither.
    """

    id: str
    name: str
    label: Label
    side: str = ""


@dataclass(frozen=True)
class Maker:
    """What made the segmentation.

    Attributes
    ----------
    version : str
        Of renalis.
    model : str
        Name and version of the model.
    corrected : bool
        Whether a person changed what the model said.
    """

    version: str
    model: str
    corrected: bool = False

    @property
    def algorithm_type(self) -> str:
        """How DICOM calls that: ``AUTOMATIC`` or ``SEMIAUTOMATIC`` (PS3.3 C.8.20.2)."""
        return "SEMIAUTOMATIC" if self.corrected else "AUTOMATIC"


def coded(code: Code) -> Dataset:
    """A code as an item of a sequence."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item
