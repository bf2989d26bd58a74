"""The sheet that the preview's pictures are laid out on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from renalis.measurement import Measurements
from renalis.report.picture import ABDOMEN
from renalis.report.picture_choice import Tile
from renalis.report.raster import dashed, font
from renalis.report.style import STYLES
from renalis.report.tables import doubted_name, right_first
from renalis.report.typeface import fitted, legible

__all__ = ["COLUMNS", "LARGE", "SMALL", "SMALL_COLUMNS", "Block", "captioned", "numbers", "sheet"]

COLUMNS, SMALL_COLUMNS, GAP, CAPTION, HEADER = 4, 8, 8, 20, 92
LARGE = Tile(width=400, height=310)
SMALL = Tile(width=196, height=150)
PAPER, INK, QUIET, AMBER = (11, 15, 20), (230, 237, 243), (159, 176, 191), (255, 213, 145)
LEGEND_LINE = np.array([[0.0, 0.0], [34.0, 0.0]])


@dataclass(frozen=True)
class Block:
    """Rows of tiles of one size, captions included."""

    tiles: Sequence[Image.Image]
    columns: int
    tile: Tile

    @property
    def height(self) -> int:
        """Height of all rows in pixels."""
        return -(-len(self.tiles) // self.columns) * (self.tile.height + CAPTION + GAP)


def sheet(blocks: Sequence[Block], measurements: Measurements, case_id: str) -> Image.Image:
    """Lay blocks out one below the other, under a header with numbers and legend."""
    width = COLUMNS * (LARGE.width + GAP) + GAP
    height = HEADER + sum(block.height for block in blocks) + GAP
    drawn = Image.new("RGB", (width, height), PAPER)
    _header(drawn, measurements, case_id)
    top = HEADER
    for block in blocks:
        for number, tile in enumerate(block.tiles):
            row, column = divmod(number, block.columns)
            left = GAP + column * (block.tile.width + GAP)
            drawn.paste(tile, (left, top + row * (block.tile.height + CAPTION + GAP)))
        top += block.height
    return drawn


def captioned(drawn: Image.Image, title: str, place: str, tile: Tile) -> Image.Image:
    """A tile: the picture in the middle of black, a line of words under it."""
    framed = Image.new("RGB", (tile.width, tile.height + CAPTION), PAPER)
    framed.paste((0, 0, 0), (0, 0, tile.width, tile.height))
    framed.paste(drawn, ((tile.width - drawn.width) // 2, (tile.height - drawn.height) // 2))
    pen = ImageDraw.Draw(framed)
    x = 2.0
    if title:
        pen.text((x, tile.height + 3), title, INK, font(13))
        x += pen.textlength(title, font(13)) + 10
    pen.text((x, tile.height + 4), place, QUIET, font(12 if title else 11))
    return framed


def _header(drawn: Image.Image, measurements: Measurements, case_id: str) -> None:
    """What it is, the numbers, the legend, the warning."""
    pen = ImageDraw.Draw(drawn)
    right = drawn.width - GAP - 2
    warning = "Research software. Not for diagnosis."
    pen.text((right, 12), warning, AMBER, font(16), anchor="ra")
    name, typeface = legible(case_id or "renalis", 21)
    room = right - pen.textlength(warning, font(16)) - 2 * GAP - GAP
    pen.text((GAP + 2, 10), fitted(name, typeface, room), INK, typeface)
    pen.text((GAP + 2, 40), numbers(measurements), INK, font(15))
    words = f"Window {ABDOMEN}. Patient's right on the left; sagittal: front on the left."
    pen.text((right, 42), words, QUIET, font(13), anchor="ra")
    x = GAP + 2.0
    for style in STYLES.values():
        for piece in dashed(LEGEND_LINE, style.dashes):
            ends = [(x + float(px), 76 + float(py)) for px, py in piece]
            pen.line(ends, fill=style.rgb, width=2)
        label = f"{style.name} ({style.pattern})"
        pen.text((x + 42, 68), label, QUIET, font(13))
        x += 42 + pen.textlength(label, font(13)) + 24


def numbers(measurements: Measurements) -> str:
    """The numbers that are looked for first, in one line."""
    parts = [
        f"{doubted_name(kidney)} {kidney.parenchyma_ml:.0f} ml"
        for kidney in right_first(measurements.kidneys)
    ]
    for kind, total in (
        ("tumor", measurements.totals.tumor_ml),
        ("cyst", measurements.totals.cyst_ml),
    ):
        count = sum(1 for lesion in measurements.lesions if lesion.kind == kind)
        if count:
            parts.append(f"{count} {kind}{'s' if count > 1 else ''} {total:.1f} ml")
    return "   ".join(parts) if parts else "No kidney, no tumor and no cyst was found in this scan."
