"""What lies below a place in a store: names and sizes, folder by folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from renalis.io.natural_order import by_number
from renalis.remote.attempts import attempted
from renalis.remote.locations import Location

__all__ = ["StoredFile", "StoredFolder", "at_once", "folder_at", "folders_below", "state_of_files"]

_AT_ONCE = 16
_DEEPEST = 32
"""Folders in folders; more are links that lead back to themselves."""
_STATES = ("ETag", "etag", "md5Hash", "md5", "checksum", "contentHash", "LastModified",
           "last_modified", "updated", "mtime", "modified", "created")  # fmt: skip
"""Where stores keep what changes when a file is written anew; the first that is there counts."""

_One = TypeVar("_One")
_Other = TypeVar("_Other")


@dataclass(frozen=True)
class StoredFile:
    """A file in a store.

    Attributes
    ----------
    path : str
        As the store names it.
    name : str
        Below the place that was listed, with ``/`` between folders.
    size : int
        Bytes.
    state : str
        Changes when it is written anew.
    """

    path: str
    name: str
    size: int
    state: str


@dataclass(frozen=True)
class StoredFolder:
    """A folder in a store.

    Attributes
    ----------
    name : str
        Below the place that was listed; empty for the place itself.
    files : tuple of StoredFile
        In the order of numbers in their names, without hidden ones.
    folders : tuple of str
        Names of the folders in it, as ``name``, hidden ones included.
    odd : tuple of str
        What has a name that no folder of this machine may hold.
    """

    name: str
    files: tuple[StoredFile, ...]
    folders: tuple[str, ...]
    odd: tuple[str, ...]


def folder_at(place: Location, name: str = "") -> StoredFolder:
    """List one folder.

    Parameters
    ----------
    place : Location
        The place that is searched.
    name : str
        The folder below it.

    Raises
    ------
    InputError, UnreachableError
        If it cannot be listed.
    """
    at = place / name if name else place
    infos = attempted(lambda: _listed(at), at.url)
    files, folders, odd = [], [], []
    for info in infos:
        path = str(info["name"])
        last = path.rstrip("/").rpartition("/")[2]
        if path.strip("/") == at.path.strip("/"):
            continue  # object stores list what stands for the folder itself
        below = f"{name}/{last}" if name else last
        if not _usual(last) or (info["type"] == "file" and path.endswith("/")):
            odd.append(below)
        elif info["type"] == "directory":
            folders.append(below)
        elif not last.startswith("."):
            files.append(StoredFile(path, below, int(info.get("size") or 0), _state(info)))
    return StoredFolder(
        name,
        tuple(sorted(files, key=lambda file: by_number(file.name))),
        tuple(sorted(folders, key=by_number)),
        tuple(odd),
    )


def folders_below(place: Location) -> Iterator[StoredFolder]:
    """List a place to any depth, several folders at once; hidden folders are left out.

    Folders come level by level, each as soon as it is listed: thousands of scans may have millions
    of files, of which only what is needed should be kept.

    Raises
    ------
    InputError, UnreachableError
        If one cannot be listed.
    """
    level = [""]
    for _ in range(_DEEPEST):
        below: list[str] = []
        for folder in at_once(place, lambda name: folder_at(place, name), level):
            below += [f for f in folder.folders if not _hidden(f)]
            yield folder
        level = below


def at_once(
    place: Location, ask: Callable[[_One], _Other], what: Iterable[_One]
) -> Iterator[_Other]:
    """Ask a store several things at the same time, where its driver can; answers in order."""
    together = _AT_ONCE if getattr(place.filesystem, "async_impl", False) else 1
    with ThreadPoolExecutor(together) as pool:
        yield from pool.map(ask, what)


def state_of_files(files: Iterable[StoredFile]) -> str:
    """A hash of names, sizes and states, which changes when one of the files does."""
    words = "\n".join(f"{file.name}/{file.size}/{file.state}" for file in files)
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()


def _listed(at: Location) -> list[dict[str, Any]]:
    """One folder as its store describes it; drivers' memories are emptied before and after."""
    at.filesystem.invalidate_cache(at.path)
    infos: list[dict[str, Any]] = at.filesystem.ls(at.path, detail=True)
    at.filesystem.invalidate_cache(at.path)
    return infos


def _hidden(folder: str) -> bool:
    last = folder.rpartition("/")[2]
    return last.startswith(".") or last == "__MACOSX"


def _usual(name: str) -> bool:
    """Whether a key's part can be a file's name here: keys may hold anything, ``..`` included."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return False
    return name not in ("", ".", "..") and length <= 255 and not {*name} & {*'\\:\0*?"<>|'}


def _state(info: dict[str, Any]) -> str:
    for key in _STATES:
        value = info.get(key)
        if value not in (None, ""):
            return value.isoformat() if isinstance(value, datetime) else str(value)
    return ""
