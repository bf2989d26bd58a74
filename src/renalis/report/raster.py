"""Paint pictures: anti-aliased lines and words over gray pixels, with Pillow alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from renalis.report.picture import Picture
from renalis.report.style import STYLES

__all__ = ["SHARPNESS", "averaged", "dashed", "font", "paint"]

SHARPNESS = 3
"""Lines are drawn this many times larger and averaged down, which makes them smooth."""

WHITE, DIM, SHADOW = (255, 255, 255, 255), (214, 222, 230, 255), (0, 0, 0, 200)


@lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own typeface, so that pictures look the same on every machine."""
    return ImageFont.load_default(size)


def paint(shown: Picture, thickness: float = 1.3) -> Image.Image:
    """A picture with its outlines, letters, scale bar and words, as an RGB image.

    Parameters
    ----------
    shown : Picture
        Any picture.
    thickness : float
        Width of the outlines in pixels.
    """
    base = Image.fromarray(shown.pixels).convert("RGB")
    layer = Image.new("RGBA", (shown.width * SHARPNESS, shown.height * SHARPNESS), (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    for outline in shown.outlines:
        _stroke(pen, outline.points, (), (0, 0, 0, 150), thickness + 1.2)
        color = (*outline.style.rgb, 255)
        _stroke(pen, outline.points, outline.style.dashes, color, thickness)
    if shown.frame is not None:
        corners = [round(edge * SHARPNESS) for edge in shown.frame]
        pen.rectangle(corners, outline=(255, 255, 255, 150), width=SHARPNESS)
    lines = averaged(layer)
    if lines is not None:
        part, corner = lines
        base.paste(part, corner, part)
    pen = ImageDraw.Draw(base)
    for tag in shown.tags:
        place, color = (tag.x + 5 * tag.side, tag.y), (*STYLES[tag.label].rgb, 255)
        _words(pen, place, tag.text, "lm" if tag.side > 0 else "rm", size=13, color=color)
    _letters(pen, shown)
    _scale_bar(pen, shown)
    return base


def dashed(points: NDArray[np.float64], pattern: tuple[float, ...]) -> list[NDArray[np.float64]]:
    """The drawn parts of a line with a dash pattern.

    Parameters
    ----------
    points : ndarray, shape (N, 2)
        The line.
    pattern : tuple of float
        Lengths of dash and gap; the line itself is returned when empty.

    Returns
    -------
    list of ndarray, shape (M, 2)
    """
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    if not pattern or along[-1] <= 0:
        return [points]
    # A whole number of dashes goes round, so that a closed line has no stump at its end.
    period = along[-1] / max(1, round(along[-1] / sum(pattern)))
    share = pattern[0] / sum(pattern)
    pieces = []
    for start in np.arange(0.0, along[-1] - period / 2, period):
        inner = along[(along > start) & (along < start + share * period)]
        places = np.concatenate([[start], inner, [start + share * period]])
        pieces.append(np.stack([np.interp(places, along, points[:, i]) for i in (0, 1)], axis=1))
    return pieces


def _stroke(
    pen: ImageDraw.ImageDraw,
    points: NDArray[np.float64],
    pattern: tuple[float, ...],
    color: tuple[int, int, int, int],
    thickness: float,
) -> None:
    """Draw one line on the enlarged layer."""
    for piece in dashed(points, pattern):
        enlarged = [tuple(point) for point in (piece * SHARPNESS).tolist()]
        pen.line(enlarged, fill=color, width=max(1, round(thickness * SHARPNESS)), joint="curve")


def averaged(layer: Image.Image) -> tuple[Image.Image, tuple[int, int]] | None:
    """Average an enlarged layer down without dark fringes (averages premultiplied colors).

    Parameters
    ----------
    layer : RGBA image
        `SHARPNESS` times as large as the picture that it is for.

    Returns
    -------
    (RGBA image, (int, int)) or None
        What is drawn on the layer, and the place of its upper left corner in the picture: most of
        a picture has no line, and need not be averaged. None where nothing is drawn.
    """
    drawn = layer.getbbox()
    if drawn is None:
        return None
    left, top = drawn[0] // SHARPNESS, drawn[1] // SHARPNESS
    right, bottom = -(-drawn[2] // SHARPNESS), -(-drawn[3] // SHARPNESS)
    enlarged = left * SHARPNESS, top * SHARPNESS, right * SHARPNESS, bottom * SHARPNESS
    premultiplied = layer.crop(enlarged).convert("RGBa")
    return premultiplied.reduce(SHARPNESS).convert("RGBA"), (left, top)


def _words(
    pen: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    anchor: str,
    *,
    size: int = 14,
    color: tuple[int, int, int, int] = WHITE,
) -> None:
    """Write words with a dark rim, legible on any tissue."""
    pen.text(
        place, text, color, font(size), anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0, 255)
    )


def _letters(pen: ImageDraw.ImageDraw, shown: Picture) -> None:
    """The directions in the patient at the four edges."""
    width, height, size = shown.width, shown.height, 14 if shown.height > 200 else 10
    _words(pen, (5, height / 2), shown.edges.left, "lm", size=size)
    _words(pen, (width - 5, height / 2), shown.edges.right, "rm", size=size)
    _words(pen, (width / 2, 4), shown.edges.top, "ma", size=size)
    _words(pen, (width / 2, height - 4), shown.edges.bottom, "md", size=size)


def _scale_bar(pen: ImageDraw.ImageDraw, shown: Picture) -> None:
    """A bar of known length at the lower left."""
    length = shown.bar_mm / shown.mm
    y = shown.height - 9
    pen.rectangle((6, y - 2, 10 + length, y + 2), fill=(0, 0, 0))
    pen.line((8, y, 8 + length, y), fill=(255, 255, 255), width=2)
    _words(
        pen, (8, y - 5), f"{shown.bar_mm} mm", "ld", size=11 if shown.height > 200 else 9, color=DIM
    )
