"""From scans to result folders: everything that ``renalis segment`` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from renalis.pipeline.options import CaseResult, Listener, SegmentOptions, Status

if TYPE_CHECKING:
    from renalis.pipeline.run import segment

__all__ = ["CaseResult", "Listener", "SegmentOptions", "Status", "segment"]


def __getattr__(name: str) -> object:
    """Import what needs torch when it is first asked for."""
    if name == "segment":
        from renalis.pipeline.run import segment

        return segment
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
