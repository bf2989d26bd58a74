"""Pictures: a windowed gray image with the lines and words that belong on it.

A ``Picture`` does not know how it will be drawn; ``raster`` paints it into a PNG, the HTML template
writes the same lines as SVG.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from renalis.conventions import Label
from renalis.report.outlines import outlines
from renalis.report.planes import Cut, Edges
from renalis.report.style import POSSIBLE_STYLE, STYLES, Style

__all__ = ["ABDOMEN", "Outline", "Picture", "Tag", "Window", "gray", "picture", "scale_bar_mm"]

BELOW_EVERYTHING = -1024.0


@dataclass(frozen=True)
class Window:
    """Range of HU that is shown between black and white."""

    width: float
    level: float

    def __str__(self) -> str:
        return f"W {self.width:.0f} L {self.level:.0f}"


ABDOMEN = Window(width=400.0, level=40.0)
"""The usual soft-tissue window for the abdomen."""


@dataclass(frozen=True, eq=False)
class Outline:
    """A closed line around a region, points (x, y) in picture pixels, shape (N, 2)."""

    style: Style
    points: NDArray[np.float64]


@dataclass(frozen=True)
class Tag:
    """The name of a lesion next to it; ``x`` and ``y`` in picture pixels, ``side`` -1 or 1."""

    text: str
    label: Label
    x: float
    y: float
    side: int


@dataclass(frozen=True, eq=False)
class Picture:
    """One gray picture and everything that is drawn on it.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width)
        Square pixels.
    mm : float
        Width of a pixel in mm.
    outlines : tuple of Outline
    tags : tuple of Tag
    edges : Edges
        Directions in the patient.
    title : str
        What is shown.
    place : str
        Position in mm and slice number.
    bar_mm : int
        Length of the scale bar.
    frame : tuple of float, optional
        Left, top, right, bottom of the region that other pictures show, in pixels.
    """

    pixels: NDArray[np.uint8]
    mm: float
    outlines: tuple[Outline, ...]
    tags: tuple[Tag, ...]
    edges: Edges
    title: str
    place: str
    bar_mm: int
    frame: tuple[float, float, float, float] | None = None

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])


def gray(hu: NDArray[np.generic], window: Window = ABDOMEN) -> NDArray[np.uint8]:
    """HU as gray values: the window's lower end and below is 0, its upper end and above is 255."""
    low = window.level - window.width / 2
    scaled = np.round((np.asarray(hu, np.float32) - low) * (255.0 / window.width))
    # NaN does not occur in a scan that was read, but black is what it would have to be: of it and
    # a number, `numpy.fmax` takes the number.
    return np.asarray(np.minimum(np.fmax(scaled, 0), 255), np.uint8)


def scale_bar_mm(width_mm: float) -> int:
    """A round length that takes up to a quarter of the picture's width."""
    lengths = [n for n in (1, 2, 5, 10, 20, 50, 100, 200) if n <= width_mm / 4]
    return lengths[-1] if lengths else 1


def picture(
    image: Cut,
    labels: NDArray[np.uint8],
    *,
    size: tuple[int, int],
    title: str,
    place: str,
    lesions: NDArray[np.uint16] | None = None,
    names: dict[int, str] | None = None,
    reach: Sequence[NDArray[np.bool_]] = (),
) -> Picture:
    """Show a cut with the outlines of its labels.

    Parameters
    ----------
    image : Cut
        A plane of the scan (HU), shape (rows, columns).
    labels : ndarray of uint8, shape (rows, columns)
        The same plane of the label map.
    size : (int, int)
        Largest height and width in pixels; the picture has square pixels and fills one of them.
    title, place : str
        What is shown, and where it lies.
    lesions : ndarray of uint16, shape (rows, columns), optional
        Number of the lesion in each pixel, 0 elsewhere.
    names : dict, optional
        The name of each lesion number.
    reach : sequence of ndarray of bool, shape (rows, columns)
        Where structures are possible.
    """
    rows, columns = image.array.shape
    extent = (rows * image.row_mm, columns * image.column_mm)
    mm = max(extent[0] / size[0], extent[1] / size[1])
    height, width = (max(1, round(length / mm)) for length in extent)
    scale = (height / rows, width / columns)
    return Picture(
        pixels=gray(_stretched(image.array, (height, width))),
        mm=mm,
        outlines=tuple(_all_outlines(labels, reach, scale)),
        tags=tuple(_tags(labels, lesions, names or {}, scale)),
        edges=image.edges,
        title=title,
        place=place,
        bar_mm=scale_bar_mm(width * mm),
    )


def _stretched(hu: NDArray[np.generic], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resample HU to a number of pixels; averages when there are fewer than before.

    Interpolated before windowing, so that edges towards air or bone are not widened, but after
    clipping to what any soft-tissue window can show, so that metal does not ring.
    """
    clipped = np.clip(np.asarray(hu, np.float32), BELOW_EVERYTHING, 1500.0)
    source = Image.fromarray(np.ascontiguousarray(clipped))
    resized = source.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(resized, np.float32)


def _all_outlines(
    labels: NDArray[np.uint8], reach: Sequence[NDArray[np.bool_]], scale: tuple[float, float]
) -> list[Outline]:
    """Outlines of every class; kidneys before lesions, which are drawn over them."""
    found = [Outline(POSSIBLE_STYLE, line) for mask in reach for line in outlines(mask, scale)]
    for label in (Label.KIDNEY, Label.CYST, Label.TUMOR):
        found += [Outline(STYLES[label], line) for line in outlines(labels == label, scale)]
    return found


def _tags(
    labels: NDArray[np.uint8],
    lesions: NDArray[np.uint16] | None,
    names: dict[int, str],
    scale: tuple[float, float],
) -> list[Tag]:
    """Names next to lesions, on the side where the picture's nearer edge is, never overlapping."""
    if lesions is None:
        return []
    tags: list[Tag] = []
    middle = labels.shape[1] / 2
    for number in np.unique(lesions[lesions > 0]):
        rows, columns = np.nonzero(lesions == number)
        if int(number) not in names:
            continue
        side = 1 if columns.mean() >= middle else -1
        column = columns.max() + 1 if side > 0 else columns.min()
        y = (float(rows.mean()) + 0.5) * scale[0]
        label = Label(int(labels[rows[0], columns[0]]))
        tag = Tag(names[int(number)], label, float(column) * scale[1], y, side)
        while any(abs(t.x - tag.x) < 30 and abs(t.y - tag.y) < 14 for t in tags):
            tag = Tag(tag.text, tag.label, tag.x, tag.y + 3, tag.side)
        tags.append(tag)
    return tags
