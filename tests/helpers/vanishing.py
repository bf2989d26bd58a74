"""A drive that is unmounted in the middle, and mounted again: its empty folder stays meanwhile."""

from __future__ import annotations

from pathlib import Path

__all__ = ["bring_back", "take_away"]


def take_away(folder: Path) -> None:
    """Move a folder aside, unless that was done, and leave an empty one in its place."""
    away = folder.with_name(f"{folder.name}-away")
    if not away.exists():
        folder.rename(away)
        folder.mkdir()


def bring_back(folder: Path) -> None:
    """Undo it; nothing may have been written in its place."""
    assert list(folder.iterdir()) == []
    folder.rmdir()
    folder.with_name(f"{folder.name}-away").rename(folder)
