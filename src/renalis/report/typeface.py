"""Names from outside in pictures: in letters that the typefaces have, never as empty boxes."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from importlib import resources
from io import BytesIO

from PIL import ImageFont

from renalis.report.raster import font

__all__ = ["Typeface", "fitted", "legible"]

Typeface = ImageFont.FreeTypeFont | ImageFont.ImageFont

_NO_CHARACTER = "\U0010ffff"
"""No typeface has it, so what is drawn for it is drawn for all that the typeface lacks."""
_FROM_THE_RIGHT = frozenset({"R", "AL", "AN", "RLE", "RLO", "RLI"})
"""Bidirectional classes; Pillow orders and joins these letters only where libraqm is installed."""


def legible(text: str, size: int) -> tuple[str, Typeface]:
    """A text as it can be drawn, and the typeface for it.

    Pillow's own typeface has hardly more than ASCII. DejaVu Sans, which comes with renalis, has
    Latin, Greek, Cyrillic, Armenian, Georgian and more. What neither has (as Chinese, Japanese,
    Korean), and what is written from right to left, is shown escaped.

    Parameters
    ----------
    text : str
        Any text, such as a case's name.
    size : int
        Height of the letters in pixels.

    Returns
    -------
    text : str
        The same, with ``\\u60a3`` and so on for each character that cannot be drawn.
    typeface : Typeface
        Has all that is left.

    Examples
    --------
    >>> legible("Пациент_1", 20)[0], legible("患者_1", 20)[0]
    ('Пациент_1', '\\\\u60a3\\\\u8005_1')
    """
    own = font(size)
    if all(_has(own, character) for character in text):
        return text, own
    wide = _dejavu(size)
    shown = "".join(
        c if _has(wide, c) else c.encode("ascii", "backslashreplace").decode() for c in text
    )
    return shown, own if shown.isascii() else wide


def fitted(text: str, typeface: Typeface, width: float) -> str:
    """The text, cut with an ellipsis where it is wider than ``width`` pixels."""
    if typeface.getlength(text) <= width:
        return text
    while text and typeface.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


@lru_cache(maxsize=4)
def _dejavu(size: int) -> ImageFont.FreeTypeFont:
    content = resources.files("renalis.report").joinpath("fonts", "DejaVuSans.ttf").read_bytes()
    # The basic layout is the same on every machine, with and without libraqm.
    return ImageFont.truetype(BytesIO(content), size, layout_engine=ImageFont.Layout.BASIC)


def _has(typeface: Typeface, character: str) -> bool:
    """Whether a character is drawn as itself by its own glyph, left to right."""
    if character.isspace():
        return True
    if unicodedata.bidirectional(character) in _FROM_THE_RIGHT:
        return False
    drawn, missing = typeface.getmask(character), typeface.getmask(_NO_CHARACTER)
    return (drawn.size, bytes(drawn)) != (missing.size, bytes(missing))
