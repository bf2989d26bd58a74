"""Keep a second process out of a folder; one that was killed lets go of it by itself."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path
from typing import IO

from renalis.errors import InputError, OutputError

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

__all__ = ["Lock", "check_there", "held", "locked"]

_NAME = ".lock"


class Lock(Enum):
    """What became of asking for a lock."""

    OURS = auto()
    TAKEN = auto()
    """Another process holds it."""
    NONE = auto()
    """This system, or this drive, has no locks."""


def locked(descriptor: int, wait: bool = False) -> Lock:
    """Ask for the lock of an open file; it is let go when the file is closed.

    Parameters
    ----------
    descriptor : int
        Of the file.
    wait : bool
        Until whoever holds it lets go.
    """
    if fcntl is None:
        return Lock.NONE
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return Lock.TAKEN
    except OSError:
        return Lock.NONE
    return Lock.OURS


@contextmanager
def held(folder: Path, busy: str, patience_s: float = 0.0) -> Iterator[tuple[int, ...]]:
    """Hold a folder's lock.

    The system ties it to the process, however that ends, so a lock is never left behind: a file
    ``.lock`` that stays after a kill says nothing. Drives without locks hold nothing back.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    busy : str
        What to say when another process holds it.
    patience_s : float
        Seconds to wait for it to let go, as the processes of a killed program soon do.

    Yields
    ------
    tuple of int
        Open files of the lock: a process that inherits them holds it as well.

    Raises
    ------
    InputError
        If another process holds it, and still does when patience ends.
    OutputError
        If the folder cannot be written.
    """
    end = time.monotonic() + patience_s
    file = _opened(folder)
    ours = False
    try:
        while not ours:
            answer = locked(file.fileno())
            if answer is Lock.NONE:
                break
            if answer is Lock.TAKEN:
                if time.monotonic() > end:
                    raise InputError(busy)
                time.sleep(0.1)
                continue
            ours = _is_there(file)
            if not ours:  # the one before has removed it
                file.close()
                file = _opened(folder)
        yield (file.fileno(),)
    finally:
        if ours and _is_there(file):  # and not one that another process made there since
            with suppress(OSError):
                (folder / _NAME).unlink()
        file.close()


def check_there(folder: Path, lock: Sequence[int]) -> None:
    """Refuse to go on in a folder that is no longer the one whose lock is held.

    Where a drive was unmounted there is an empty folder left, on another drive, that may well be
    written. The lock's file is looked for, and on which drive it lies; not which file it is, since
    there are network drives whose files are numbered anew.

    Parameters
    ----------
    folder : Path
        That was given to `held`.
    lock : sequence of int
        What that gave.

    Raises
    ------
    OutputError
        If it is another one, or gone.
    """
    try:
        there = (folder / _NAME).stat().st_dev
        if any(os.fstat(descriptor).st_dev == there for descriptor in lock):
            return
    except OSError:
        pass
    raise OutputError(
        f"{folder} is no longer the folder that this run began in: its drive was unmounted or "
        "cannot be reached, or it was moved or removed; bring it back and repeat the command, "
        "which keeps what is finished"
    )


def _opened(folder: Path) -> IO[bytes]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / _NAME).open("ab")
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be written ({error.strerror}); choose another one"
        ) from error


def _is_there(file: IO[bytes]) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), Path(file.name).stat())
    except OSError:
        return False
