"""How large a folder of prepared cases may grow: those used longest ago go first.

The limit lies in the folder, so that all who share it obey it. A process notes in a file of its
own, which it keeps locked, which cases it uses: these are never removed, and what a killed process
noted counts no more, for the system has taken its lock away. On drives without locks nothing is
removed that anybody has noted.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from renalis.disk_failures import check_not_gone
from renalis.errors import CacheWarning, OutputError
from renalis.io import write_text
from renalis.io.lock import Lock, locked

__all__ = ["INDEX", "CacheUse", "make_room", "set_limit", "take_away"]

INDEX = "prepared.json"
"""Of a prepared case; written last, and touched when it is used."""

_LIMIT, _TURN, _NOTES = "limit.json", "turn.lock", ".use"


class CacheUse:
    """The cases that one reader uses, for as long as this object lives.

    Parameters
    ----------
    root : Path
        Folder of prepared cases.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file: IO[str] | None = None
        # Of a folder that may only be read nobody here removes anything.
        with contextlib.suppress(OSError):
            notes = root / _NOTES
            notes.mkdir(parents=True, exist_ok=True)
            with _turn(root):
                self._file = (notes / secrets.token_hex(8)).open("a", encoding="utf-8")
                locked(self._file.fileno())
                weakref.finalize(self, _forget, self._file, os.getpid())

    def add(self, name: str) -> None:
        """Note a case before it is looked for."""
        with contextlib.suppress(OSError):
            if self._file is not None:
                with _turn(self._root):
                    self._file.write(f"{name}\n")
                    self._file.flush()
            os.utime(self._root / name / INDEX)

    def check_there(self) -> None:
        """Refuse to go on if the folder was there and is gone; see `check_not_gone`."""
        if self._file is not None:
            check_not_gone(self._root / _NOTES)


def _forget(file: IO[str], process: int) -> None:
    """Take a note away; a forked process has its parent's, which goes on."""
    if os.getpid() == process:
        with contextlib.suppress(OSError):
            file.close()
            os.unlink(file.name)


def set_limit(root: Path, most_bytes: int) -> None:
    """Say how large a folder of prepared cases may be, from now on and for all who share it.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{root} cannot be made ({error.strerror}); choose another") from error
    write_text(root / _LIMIT, json.dumps({"most_bytes": most_bytes}) + "\n")


def make_room(root: Path, needed: int) -> None:
    """Remove the cases that were used longest ago, until so many more bytes fit.

    Warns
    -----
    CacheWarning
        Of what was removed, or if those in use leave no room.
    """
    most = _most_bytes(root)
    if most is None:
        return
    removed = freed = 0
    with contextlib.suppress(OSError), _turn(root):
        sizes = {folder: _bytes(folder) for folder in _cases(root)}
        over = sum(sizes.values()) + needed - most
        used = _used(root) if over > 0 else set()
        for folder in sorted(sizes, key=_last_use):
            if freed >= over:
                break
            if folder.name not in used:
                take_away(folder)
                removed, freed = removed + 1, freed + sizes[folder]
        if removed:
            _warn(
                f"{removed} prepared case{'s' * (removed > 1)} of {freed / 1e9:.2f} GB, used "
                f"longest ago, went out of {root} for its limit of {most / 1e9:g} GB"
            )
        if freed < over:
            _warn(
                f"prepared cases that are in use fill {root} beyond its limit of {most / 1e9:g} GB "
                "(--cache-limit)"
            )


def take_away(folder: Path) -> None:
    """Remove a case at once for all who look for it, then its files."""
    aside = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.part"
    # Gone already: another process found the same
    with contextlib.suppress(FileNotFoundError):
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _warn(text: str) -> None:
    warnings.warn(text, CacheWarning, stacklevel=3)


def _most_bytes(root: Path) -> int | None:
    try:
        return int(json.loads((root / _LIMIT).read_text(encoding="utf-8"))["most_bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _cases(root: Path) -> Iterator[Path]:
    return (path.parent for path in root.glob(f"[!.]*/{INDEX}"))


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _last_use(folder: Path) -> tuple[float, str]:
    try:
        return (folder / INDEX).stat().st_mtime, folder.name
    except OSError:
        return 0.0, folder.name


def _used(root: Path) -> set[str]:
    """Names of cases that living processes have noted; notes of others are cleared away."""
    used: set[str] = set()
    for path in sorted({*(root / _NOTES).iterdir()} - {root / _NOTES / _TURN}):
        with contextlib.suppress(FileNotFoundError), path.open("a+", encoding="utf-8") as file:
            if locked(file.fileno()) is Lock.OURS:
                path.unlink()
                continue
            file.seek(0)
            used |= set(file.read().split())
    return used


@contextlib.contextmanager
def _turn(root: Path) -> Iterator[None]:
    """One process at a time notes what it uses, or removes."""
    with (root / _NOTES / _TURN).open("a") as file:
        locked(file.fileno(), wait=True)
        yield
