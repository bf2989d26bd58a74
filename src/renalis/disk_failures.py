"""How disks and network drives fail through no fault of the program: full, not to be written, gone.

An unmounted drive leaves an empty folder behind that may well be written. Long work therefore
looks for a place that it has made, before it writes there again.
"""

from __future__ import annotations

import errno
from pathlib import Path

from renalis.errors import OutputError

__all__ = ["check_not_gone", "disk_sentence", "is_of_a_disk", "make_folder"]

_DISK = {
    getattr(errno, name)
    for name in (
        "ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "EIO", "ESTALE", "ENODEV", "ENXIO",
        "ENOTCONN", "EHOSTDOWN", "ETIMEDOUT", "ENAMETOOLONG", "EMFILE", "ENFILE", "EREMOTEIO",
    )
    if hasattr(errno, name)
}  # fmt: skip


def is_of_a_disk(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, is a disk's or a network drive's.

    A file that is not there is none: it may never have been.

    Examples
    --------
    >>> is_of_a_disk(OSError(errno.EIO, "Input/output error"))
    True
    >>> is_of_a_disk(FileNotFoundError(errno.ENOENT, "No such file"))
    False
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK:
            return True
        error = error.__cause__
    return False


def disk_sentence(error: OSError) -> str:
    """What to say about an error of which `is_of_a_disk` is true."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space is left to write to; free some, run again"
    place = error.filename2 or error.filename
    what = "a file" if place is None else str(place)
    return (
        f"{what} cannot be read or written ({error.strerror}); check that its disk is there and "
        "may be written to, and run again"
    )


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises
    ------
    OutputError
        If that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be made ({error.strerror}); choose another one"
        ) from error


def check_not_gone(place: Path) -> None:
    """Refuse to go on where a folder or file was, and is not any more.

    Its drive may have been unmounted in the middle of long work. Folders made anew in its place
    would lie on another drive, where nobody looks for them.

    Parameters
    ----------
    place : Path
        Below the folder that may be where a drive is mounted: that one itself stays.

    Raises
    ------
    OutputError
        If it is gone.
    OSError
        If its drive answers with an error.
    """
    if not place.exists():
        raise OutputError(
            f"{place} is gone: its drive was unmounted or cannot be reached, or it was moved or "
            "removed; bring it back and repeat the command (train, tune: with --resume)"
        )
