"""Copies of one scan at a time on this machine, removed when they are no longer needed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from renalis.errors import InputError, OutputError
from renalis.io.scan import shown
from renalis.remote.attempts import attempted
from renalis.remote.listing import StoredFile, at_once
from renalis.remote.locations import Location
from renalis.remote.scans import StoredScan, files_of

__all__ = ["copied", "fetched", "staging_folder"]

_LARGEST = 32 << 30
"""Bytes of one scan, as of a zip's content."""
_SPARE = 1 << 30
"""Bytes left free on the disk, for the result and for others."""
_LEFT_OVER = re.compile(r"renalis-staging-[0-9a-f]{8}-(\d+)-.*")


@contextlib.contextmanager
def staging_folder(above: Path | None) -> Iterator[Path]:
    """An empty folder for copies, gone when the block ends; what killed runs left there goes, too.

    Parameters
    ----------
    above : Path or None
        Where it is made; the system's folder for temporary files if not given.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    where = Path(tempfile.gettempdir()) if above is None else above
    host = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
    try:
        where.mkdir(parents=True, exist_ok=True)
        _sweep(where, host)
        made = tempfile.mkdtemp(prefix=f"renalis-staging-{host}-{os.getpid()}-", dir=where)
    except OSError as error:
        raise OutputError(
            f"{where} cannot hold copies of scans ({error.strerror}); name another folder with "
            "--staging"
        ) from error
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def copied(scan: StoredScan, folder: Path) -> Path:
    """Copy a scan's files into a folder of this machine.

    Parameters
    ----------
    scan : StoredScan
        From `renalis.remote.scans.scans_below`.
    folder : Path
        An empty folder.

    Returns
    -------
    Path
        Folder with the files, below which they lie as below the place of the scan.

    Raises
    ------
    InputError
        If the scan is too large for the disk, or not what it was when it was listed.
    UnreachableError
        If the store does not answer.
    """
    name = shown(scan.url, 300)
    if scan.size > _LARGEST:
        raise InputError(
            f"{name} holds {_gigabytes(scan.size)}, more than a CT study can have; give the "
            "folder of one study"
        )
    free = shutil.disk_usage(folder).free
    if scan.size + _SPARE > free:
        raise InputError(
            f"{name} needs {_gigabytes(scan.size + _SPARE)} to be copied to, and "
            f"{_gigabytes(free)} are free; make room, or name another folder with --staging"
        )
    files = files_of(scan)
    place = scan.place
    for one in {(folder / file.name).parent for file in files}:
        one.mkdir(parents=True, exist_ok=True)
    for _ in at_once(place, lambda file: _copy(place, file, folder / file.name), files):
        pass
    return folder


def _copy(place: Location, file: StoredFile, target: Path) -> None:
    """Copy a file whole."""
    url = shown((place / file.name).url, 300)

    def copy() -> None:
        place.filesystem.get_file(file.path, str(target))
        if target.stat().st_size != file.size:
            raise EOFError  # cut off: tried again

    attempted(copy, url)
    # Times of copies say nothing; that the scan is another one, its state says.
    os.utime(target, (0, 0))


def fetched(place: Location, names: Sequence[str], folder: Path) -> None:
    """Copy files of a result into a folder."""
    folder.mkdir(parents=True, exist_ok=True)

    def fetch(name: str) -> None:
        at = place / name
        attempted(lambda: at.filesystem.get_file(at.path, str(folder / name)), at.url)

    for _ in at_once(place, fetch, names):
        pass


def _sweep(where: Path, host: str) -> None:
    """Remove what runs of this machine left that were killed."""
    if sys.platform == "win32":  # where asking whether a process lives would interrupt it
        return
    for path in where.glob(f"renalis-staging-{host}-*"):
        match = _LEFT_OVER.fullmatch(path.name)
        if match is None:
            continue
        try:
            os.kill(int(match[1]), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
