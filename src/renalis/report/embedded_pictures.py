"""Pictures and data in the form in which they travel inside a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from renalis.report.picture import Outline, Picture
from renalis.report.planes import Edges
from renalis.report.style import POSSIBLE_STYLE, STYLES

__all__ = ["EmbeddedPicture", "data_url", "path_data", "shown"]


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture in the words of the template; lengths in picture pixels."""

    image: str
    width: int
    height: int
    paths: dict[str, str]
    """SVG path data per class, every class present."""
    tags: tuple[dict[str, object], ...]
    edges: Edges
    bar: float
    bar_mm: int
    title: str
    place: str
    words: str
    """What the picture shows, for those who cannot see it."""
    frame: tuple[float, ...] | None


def shown(picture: Picture, quality: int = 84) -> EmbeddedPicture:
    """Prepare a picture for the template."""
    kinds = sorted({line.style.name for line in picture.outlines} - {POSSIBLE_STYLE.name})
    outlined = f"outlined: {', '.join(kinds)}" if kinds else "nothing outlined"
    names = ", ".join(tag.text for tag in picture.tags)
    return EmbeddedPicture(
        image=data_url(Image.fromarray(picture.pixels), quality),
        width=picture.width,
        height=picture.height,
        paths=path_data(picture.outlines),
        tags=tuple(
            {
                "text": tag.text,
                "kind": STYLES[tag.label].name,
                "x": round(tag.x + 5 * tag.side, 1),
                "y": round(tag.y, 1),
                "side": tag.side,
            }
            for tag in picture.tags
        ),
        edges=picture.edges,
        bar=round(picture.bar_mm / picture.mm, 2),
        bar_mm=picture.bar_mm,
        title=picture.title,
        place=picture.place,
        words=f"{picture.title}, {picture.place}; {outlined}" + (f"; {names}" if names else ""),
        frame=picture.frame,
    )


def path_data(outlines: Sequence[Outline]) -> dict[str, str]:
    """SVG path data of all outlines of each class, kidneys first, tumors last."""
    paths = dict.fromkeys(("possible", "kidney", "cyst", "tumor"), "")
    for outline in outlines:
        paths[outline.style.name] += _path(outline.points)
    return paths


def _path(points: NDArray[np.float64]) -> str:
    """A closed path in tenths of a pixel, relative steps."""
    tenths = np.round(points[:-1] * 10).astype(int)
    steps = np.diff(tenths, axis=0)
    steps = steps[(steps != 0).any(axis=1)]
    numbers = [_in_pixels(n) for n in (*tenths[0].tolist(), *steps.ravel().tolist())]
    return f"M{numbers[0]} {numbers[1]}l{' '.join(numbers[2:])}z"


@lru_cache(maxsize=4096)
def _in_pixels(tenths: int) -> str:
    """A length in as few letters as it takes; the same few occur again and again."""
    return f"{tenths / 10:g}"


def data_url(image: Image.Image, quality: int = 84) -> str:
    """A JPEG as a ``data:`` address."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
