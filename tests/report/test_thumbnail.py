"""A thumbnail shows the first pictures of a preview, and nothing of its heading."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from renalis.report.sheet import COLUMNS, GAP, HEADER, LARGE
from renalis.report.thumbnail import thumbnail


def test_the_heading_with_the_name_is_left_out(tmp_path: Path) -> None:
    width = COLUMNS * (LARGE.width + GAP) + GAP
    sheet = np.zeros((HEADER + 2 * LARGE.height, width, 3), np.uint8)
    sheet[:HEADER] = (255, 0, 0)
    sheet[HEADER : HEADER + LARGE.height, GAP : GAP + LARGE.width] = (0, 255, 0)
    Image.fromarray(sheet).save(tmp_path / "preview.png")
    small = thumbnail(tmp_path / "preview.png")
    assert small is not None
    with Image.open(io.BytesIO(small), formats=("WEBP",)) as picture:
        colors = np.asarray(picture.convert("RGB")).astype(int)
    assert colors.shape == (122, 480, 3)
    assert colors[..., 0].max() < 60, "no red of the heading"
    assert (colors[60, 10:140, 1] > 180).all(), "the first tile on the left"
    assert colors[60, 200:, 1].max() < 60


def test_what_is_no_picture_has_no_thumbnail(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_bytes(b"text")
    Image.new("RGB", (4, 4)).save(tmp_path / "other.png", "GIF")
    Image.new("1", (9000, 9000)).save(tmp_path / "vast.png")
    for name in ("text.png", "other.png", "vast.png", "absent.png"):
        assert thumbnail(tmp_path / name) is None
