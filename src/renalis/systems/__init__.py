"""The published systems, from a recipe to a run and from a run to label maps.

Every part that a recipe names is implemented elsewhere and takes plain numbers; here the
recipe's fields are handed to them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from renalis.systems.predict import predict_scan
    from renalis.systems.runs import open_run
    from renalis.systems.segmenter_kinds import open_segmenter
    from renalis.systems.train import train_system

__all__ = ["open_run", "open_segmenter", "predict_scan", "train_system"]

_LATE = {
    "open_run": "runs",
    "open_segmenter": "segmenter_kinds",
    "predict_scan": "predict",
    "train_system": "train",
}


def __getattr__(name: str) -> object:
    """Import what needs torch when it is first asked for."""
    if name in _LATE:
        return getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
