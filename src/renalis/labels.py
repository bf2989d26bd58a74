"""Label conventions and the regions that scores are given for."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["KITS19", "KITS23", "RADBOUD", "TOTALSEGMENTATOR", "Label"]


class Label(IntEnum):
    """Voxel values that renalis writes: the KiTS23 convention."""

    BACKGROUND = 0
    KIDNEY = 1
    TUMOR = 2
    CYST = 3


KITS19 = {"kidney": 1, "tumor": 2}
"""KiTS 2019: cysts are part of the kidney."""

KITS23 = {"kidney": 1, "tumor": 2, "cyst": 3}
"""KiTS 2021 and 2023."""

RADBOUD = {"parenchyma": 1, "abnormality": 2}
"""Radboud kidney abnormality data: tumors and cysts are one class."""

TOTALSEGMENTATOR = {
    "kidney_right": 2,
    "kidney_left": 3,
    "kidney_cyst_left": 23,
    "kidney_cyst_right": 24,
}
"""What is renal of the 117 labels of the task ``total`` of TotalSegmentator 2; in version 1 cysts
are kidney, and 23 and 24 are vertebrae."""
