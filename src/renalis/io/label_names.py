"""Names and colors of labels inside of a NIfTI file: an extension of its header.

The table of Connectome Workbench (extension code 30, XML), which TotalSegmentator writes, too, and
programs such as nibabel hand on; programs that do not know it read over it, as NIfTI has it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from html import escape

from renalis.conventions import Label

__all__ = ["COLORS", "LABEL_NAMES", "label_table"]

LABEL_NAMES = {
    Label.BACKGROUND: "background",
    Label.KIDNEY: "kidney",
    Label.TUMOR: "tumor",
    Label.CYST: "cyst",
}
COLORS = {Label.KIDNEY: (70, 140, 220), Label.TUMOR: (220, 60, 50), Label.CYST: (60, 180, 110)}
"""0 to 255 for red, green and blue: the same in every format that is written."""

_CODE, _STEP = 30, 16


def label_table(names: Mapping[Label, str] = LABEL_NAMES) -> bytes:
    """The extension with these names, as it stands in the file; its length is a multiple of 16.

    Parameters
    ----------
    names : mapping of Label to str
        What each value is called.
    """
    rows = "".join(_row(label, name) for label, name in names.items())
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><CaretExtension><VolumeInformation Index="0">'
        f"<LabelTable>{rows}</LabelTable><StudyMetaDataLinkSet></StudyMetaDataLinkSet>"
        "<VolumeType>Label</VolumeType></VolumeInformation></CaretExtension>"
    ).encode()
    length = -(-(len(xml) + 8) // _STEP) * _STEP
    return struct.pack("<ii", length, _CODE) + xml.ljust(length - 8, b" ")


def _row(label: Label, name: str) -> str:
    red, green, blue = (channel / 255 for channel in COLORS.get(label, (0, 0, 0)))
    alpha = 0 if label == Label.BACKGROUND else 1
    return (
        f'<Label Key="{int(label)}" Red="{red:.4g}" Green="{green:.4g}" Blue="{blue:.4g}" '
        f'Alpha="{alpha}">{escape(name, quote=False)}</Label>'
    )
