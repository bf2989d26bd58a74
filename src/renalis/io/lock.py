"""Keep a second process out of a folder; one that was killed lets go of it by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from renalis.errors import InputError, OutputError

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

__all__ = ["held"]


@contextmanager
def held(folder: Path, busy: str, patience_s: float = 0.0) -> Iterator[tuple[int, ...]]:
    """Hold a folder's lock.

    The system ties it to the process, however that ends, so a lock is never left behind: the file
    ``.lock`` that stays says nothing. Drives without locks hold nothing back.

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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("ab")
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be written ({error.strerror}); choose another one"
        ) from error
    with file:
        end = time.monotonic() + patience_s
        while fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise InputError(busy) from None
                time.sleep(0.1)
                continue
            except OSError:
                pass  # a drive without locks
            break
        yield (file.fileno(),)
