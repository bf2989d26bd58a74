"""renalis: measured kidneys, tumors and cysts from CT.

Research software, not for diagnosis.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from renalis.io import read_scan
    from renalis.model import load_model
    from renalis.pipeline import SegmentOptions, segment
    from renalis.systems import open_segmenter
    from renalis.volume import Kind, Volume

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
    "Kind": "renalis.volume",
    "Volume": "renalis.volume",
    "read_scan": "renalis.io",
    "load_model": "renalis.model",
    "segment": "renalis.pipeline",
    "SegmentOptions": "renalis.pipeline",
    "open_segmenter": "renalis.systems",
}


def __getattr__(name: str) -> Any:
    """Import the public API when it is first used: a command that only says how it is used needs
    none of it, nor NumPy."""
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module 'renalis' has no attribute {name!r}")
