"""Result folders in a store: known by their provenance.json, which is written last."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from renalis.io.scan import shown
from renalis.remote.attempts import attempted
from renalis.remote.listing import folder_at
from renalis.remote.locations import Location

__all__ = ["check_writable", "file_names", "is_begun", "put_file", "put_folder", "read_bytes"]

PART = ".renalis-partial"
"""Below an output, what is being written."""


def check_writable(output: Location) -> None:
    """Find out at once whether results can be written.

    Raises
    ------
    OutputError
        If they cannot.
    UnreachableError
        If the store does not answer.
    """
    trial = output / f".renalis-{secrets.token_hex(4)}"

    def write() -> None:
        if not output.flat:
            output.filesystem.makedirs(output.path, exist_ok=True)
        trial.filesystem.pipe_file(trial.path, b"")
        trial.filesystem.rm_file(trial.path)

    attempted(write, shown(output.url, 300), writing=True)


def file_names(place: Location) -> list[str]:
    """Names of the files in a folder, hidden ones left out; none if there is no such folder.

    Raises
    ------
    InputError, UnreachableError
        If the store does not let it be listed.
    """
    if not attempted(lambda: place.filesystem.exists(place.path), place.url):
        return []
    return [file.name for file in folder_at(place).files]


def is_begun(output: Location, name: str) -> bool:
    """Whether a killed run was writing a folder: what it had put in place by then is ours.

    Raises
    ------
    InputError, UnreachableError
        If the store does not answer.
    """
    at = output / PART / name
    return bool(attempted(lambda: at.filesystem.exists(at.path), at.url))


def read_bytes(at: Location) -> bytes | None:
    """A file's content; None if it is not there.

    Raises
    ------
    InputError, UnreachableError
        If the store does not let it be read.
    """

    def read() -> bytes | None:
        try:
            return bytes(at.filesystem.cat_file(at.path))
        except FileNotFoundError:
            return None

    return attempted(read, at.url)


def put_file(output: Location, name: str, content: bytes) -> None:
    """Write one file, which appears whole.

    Raises
    ------
    OutputError, UnreachableError
        If it cannot be written.
    """
    at, part = output / name, output / PART / secrets.token_hex(4)

    def write() -> None:
        if at.flat:  # objects appear whole
            at.filesystem.pipe_file(at.path, content)
            return
        for one in (part, at):
            one.filesystem.makedirs(one.parent.path, exist_ok=True)
        part.filesystem.pipe_file(part.path, content)
        _move(part, at)

    attempted(write, shown(at.url, 300), writing=True)
    with contextlib.suppress(Exception):
        if not at.flat:
            output.filesystem.rmdir((output / PART).path)


def put_folder(
    folder: Path, output: Location, name: str, last: str, stale: Sequence[str] = ()
) -> None:
    """Copy a folder of this machine into a store, so that it is whole when its last file is there.

    The files are copied under other names first; only when all are there and as long as here they
    get their own. What was there before is replaced in that moment.

    Parameters
    ----------
    folder : Path
        Files, without folders in it.
    output : Location
        Where it becomes the folder ``name``.
    last : str
        The file without which nothing is taken for finished.
    stale : sequence of str
        Files of an older result, removed unless there are new ones of their names.

    Raises
    ------
    OutputError
        If the store does not take it.
    UnreachableError
        If it does not answer; nothing is taken for finished then.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != last)
    files += [folder / last]
    target = output / name
    part = output / PART / name / secrets.token_hex(4)
    store, shown_url = output.filesystem, shown(target.url, 300)

    def copy(file: Path) -> None:
        at = part / file.name
        if not output.flat:
            store.makedirs(part.path, exist_ok=True)
        store.put_file(str(file), at.path)
        if int(store.info(at.path)["size"]) != file.stat().st_size:
            raise EOFError  # cut off: tried again

    def place() -> None:
        if not output.flat:
            store.makedirs(target.path, exist_ok=True)
        # Until the new one is in its place, nothing here is finished.
        _remove(target / last)
        for old in {*stale} - {file.name for file in files}:
            _remove(target / old)
        for file in files:
            _move(part / file.name, target / file.name)

    for file in files:
        attempted(partial(copy, file), shown_url, writing=True)
    attempted(place, shown_url, writing=True)
    _clear(output, name)


def _move(part: Location, at: Location) -> None:
    """Give a file its name; one that has it already, since this is tried again, is left."""
    store = at.filesystem
    try:
        if at.flat:
            store.cp_file(part.path, at.path)
            store.rm_file(part.path)
        else:
            store.mv(part.path, at.path)
    except FileNotFoundError:
        if not store.exists(at.path):
            raise


def _remove(at: Location) -> None:
    with contextlib.suppress(FileNotFoundError):
        at.filesystem.rm_file(at.path)


def _clear(output: Location, name: str) -> None:
    """Remove what this and killed runs left of a folder that is now whole."""
    with contextlib.suppress(Exception):  # what stays looks finished to nobody
        output.filesystem.rm((output / PART / name).path, recursive=True)
        if not output.flat:
            output.filesystem.rmdir((output / PART).path)  # refused while others are written
