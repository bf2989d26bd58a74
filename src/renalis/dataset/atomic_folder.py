"""A folder of many files appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from renalis.errors import OutputError
from renalis.io.scan import shown

__all__ = ["new_folder", "put_in_place"]


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A hidden folder next to the target, gone when the block ends unless it was put in place.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise _not_written(target, error) from error
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def put_in_place(part: Path, target: Path, stale: Sequence[Path], last: str) -> None:
    """Rename the finished folder, or its files into the folder of an earlier export.

    Files of others next to an earlier export stay, so that folder is not replaced as a whole; all
    that can fail (reading, a full disk) has been done by then.

    Parameters
    ----------
    part, target : Path
        The finished folder, and what it becomes.
    stale : sequence of Path
        Files of the earlier export that have no successor.
    last : str
        The file whose presence says that all else is there: removed first, put in place last.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    try:
        if not target.exists() or not any(target.iterdir()):
            if target.exists():  # Windows renames onto nothing that is there
                target.rmdir()
            os.replace(part, target)
            return
        (target / last).unlink(missing_ok=True)
        for file in stale:
            file.unlink()
        for file in sorted(p for p in part.rglob("*") if p.is_file() and p.name != last):
            place = target / file.relative_to(part)
            place.parent.mkdir(exist_ok=True)
            os.replace(file, place)
        os.replace(part / last, target / last)
    except OSError as error:
        raise _not_written(target, error) from error


def _not_written(target: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"{shown(target)} cannot be written ({reason}); choose another folder")
