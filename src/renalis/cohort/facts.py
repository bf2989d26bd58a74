"""Small facts about a case that need nothing to be decoded."""

from __future__ import annotations

from datetime import UTC, datetime

from renalis.io import ScanSource

__all__ = ["input_bytes", "utc_now"]


def input_bytes(source: ScanSource) -> int | None:
    """Size of a scan's file, or of its study's files where their names are known."""
    files = getattr(source.headers, "files", None)
    paths = [source.path / name for name in files] if files else [source.path]
    try:
        if source.path.is_dir() and not files:
            return None
        if source.path.is_file():
            paths = [source.path]
        return sum(path.stat().st_size for path in paths)
    except OSError:
        return None


def utc_now() -> str:
    """The time for people and other programs; durations come from a clock that never jumps."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
