"""How each class is drawn: one color and one line pattern, the same in every picture."""

from __future__ import annotations

from dataclasses import dataclass

from renalis.conventions import Label
from renalis.io.label_names import LABEL_NAMES

__all__ = ["POSSIBLE_STYLE", "STYLES", "Style"]


@dataclass(frozen=True)
class Style:
    """Line style of one class.

    Parameters
    ----------
    name : str
        Name of the class, in the singular.
    letter : str
        Prefix of the numbers by which its lesions are called in pictures and tables.
    color : str
        ``#RRGGBB``.
    dashes : tuple of float
        Lengths of dash and gap in pixels of the shown picture; empty for a solid line.
    pattern : str
        The pattern in words, for the legend.
    """

    name: str
    letter: str
    color: str
    dashes: tuple[float, ...]
    pattern: str

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The color as 0..255 per channel."""
        value = int(self.color[1:], 16)
        return value >> 16, value >> 8 & 255, value & 255


STYLES = {
    Label.KIDNEY: Style(LABEL_NAMES[Label.KIDNEY], "K", "#4fc3f7", (), "solid"),
    Label.TUMOR: Style(LABEL_NAMES[Label.TUMOR], "T", "#ff5330", (7.0, 2.5), "dashed"),
    Label.CYST: Style(LABEL_NAMES[Label.CYST], "C", "#fff27a", (2.0, 2.0), "dotted"),
}
"""The three colors differ in lightness as well as in hue, so that they stay apart for the color
blind (the tests simulate protanopia, deuteranopia and tritanopia) and on a gray printer. They are
light, to be seen on a dark scan; for any ground files have `renalis.io.label_names.COLORS`."""

POSSIBLE_STYLE = Style("possible", "", "#ffffff", (1.0, 3.0), "fine dots")
"""For how far a kidney or lesion might reach."""
