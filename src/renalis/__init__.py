"""renalis: measured kidneys, tumors and cysts from CT.

Research software, not for diagnosis.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from renalis.volume import Kind, Volume

if TYPE_CHECKING:
    from renalis.io import read_scan
    from renalis.model import load_model
    from renalis.pipeline import SegmentOptions, segment
    from renalis.systems import open_segmenter

__all__ = [
    "Kind",
    "SegmentOptions",
    "Volume",
    "load_model",
    "open_segmenter",
    "read_scan",
    "segment",
]

_LATE = {
    "read_scan": "renalis.io",
    "load_model": "renalis.model",
    "segment": "renalis.pipeline",
    "SegmentOptions": "renalis.pipeline",
    "open_segmenter": "renalis.systems",
}


def __getattr__(name: str) -> Any:
    """Import the heavier parts of the public API when they are first used."""
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module 'renalis' has no attribute {name!r}")
