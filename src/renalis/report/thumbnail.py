"""A small picture of a case, cut out of its preview."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from renalis.report.sheet import COLUMNS, GAP, HEADER, LARGE

__all__ = ["thumbnail"]

_TILES = 3
_WIDTH = 480
_MOST_PIXELS = 40_000_000
"""Of a preview; ours have a few million."""


def thumbnail(preview: Path) -> bytes | None:
    """The first pictures of a preview as WebP, 480 pixels wide.

    Parameters
    ----------
    preview : Path
        From `renalis.report.write_preview`; of another picture, all of it is shown.

    Returns
    -------
    bytes or None
        None where there is no picture that can be read.
    """
    try:
        with Image.open(preview, formats=("PNG",)) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                return None
            drawn = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if drawn.width == COLUMNS * (LARGE.width + GAP) + GAP:
        right = GAP + _TILES * (LARGE.width + GAP) - GAP
        drawn = drawn.crop((GAP, HEADER, right, min(drawn.height, HEADER + LARGE.height)))
    height = max(1, round(drawn.height * _WIDTH / drawn.width))
    small = drawn.resize((_WIDTH, min(height, 2 * _WIDTH)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=55, method=4)
    return buffer.getvalue()
