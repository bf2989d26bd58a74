"""What one segment stands for, in every format that is written: name, kind, color, maker."""

from __future__ import annotations

from dataclasses import dataclass

from renalis.conventions import Label
from renalis.errors import InputError
from renalis.io.label_names import COLORS

__all__ = ["COLORS", "Maker", "NoStudyError", "SegmentFacts"]


class NoStudyError(InputError):
    """No DICOM object can be written of a scan, however often it is tried."""


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
