"""Keep a second process out of a folder; one that was killed lets go of it by itself."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from renalis.errors import InputError, OutputError

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

__all__ = ["held"]

_NAME = ".lock"


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
        while fcntl is not None and not ours:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise InputError(busy) from None
                time.sleep(0.1)
                continue
            except OSError:
                break  # a drive without locks
            ours = _is_there(file)
            if not ours:  # the one before has removed it
                file.close()
                file = _opened(folder)
        yield (file.fileno(),)
    finally:
        if ours:
            with suppress(OSError):
                (folder / _NAME).unlink()
        file.close()


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
