"""Files of a folder or of a zip, seen alike; an archive is never unpacked to disk."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from renalis.errors import InputError
from renalis.io.scan import shown

__all__ = [
    "FileSet",
    "FolderFiles",
    "Found",
    "ZipFiles",
    "folder_of",
    "opened_files",
    "opened_whole",
]

_SMALL = 1 << 16
_MOST_MEMBERS = 200_000
_LARGEST_MEMBER = 4 << 30
_LARGEST_TOTAL = 32 << 30


class FileSet(Protocol):
    """A number of files with one parent."""

    path: Path

    def names(self) -> list[str]:
        """Names below the parent, sorted, with ``/`` between folders."""

    def open(self, name: str) -> BinaryIO:
        """Open one of them; only the part that is read is unpacked."""

    def size(self, name: str) -> int:
        """Bytes of one of them, unpacked."""

    def shown(self, name: str) -> str:
        """The name as it may appear in a message."""


@dataclass(frozen=True)
class Found:
    """What lies below a folder, as names below it with ``/`` between folders, sorted.

    Attributes
    ----------
    files : list of str
        Regular files, without hidden ones.
    lost : list of str
        Links that lead nowhere.
    linked : list of str
        Links to folders, which are not followed, so that there are no cycles.
    closed : list of str
        Folders that may not be opened.
    """

    files: list[str]
    lost: list[str]
    linked: list[str]
    closed: list[str]


class FolderFiles:
    """All regular files below a folder (or one file alone), without hidden ones."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Names below the folder; links to folders are not followed, so there are no cycles."""
        return self.found().files

    def found(self) -> Found:
        """All that lies below the folder."""
        if self.path.is_file():
            return Found([""], [], [], [])
        found: list[Path] = []
        lost: list[Path] = []
        linked: list[Path] = []
        closed: list[Path] = []

        def refused(error: OSError) -> None:
            closed.append(Path(error.filename or self.path))

        for folder, folders, files in os.walk(self.path, onerror=refused):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            place = Path(folder)
            linked += [place / f for f in folders if (place / f).is_symlink()]
            for path in (place / file for file in files if not file.startswith(".")):
                if path.is_file():
                    found.append(path)
                elif path.is_symlink() and not path.exists():
                    lost.append(path)
        return Found(*(self._names(paths) for paths in (found, lost, linked, closed)))

    def _names(self, paths: list[Path]) -> list[str]:
        return sorted(path.relative_to(self.path).as_posix() for path in paths)

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading."""
        return opened_whole(self.path / name if name else self.path)

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return (self.path / name if name else self.path).stat().st_size

    def shown(self, name: str) -> str:
        """Path of the file."""
        return shown(self.path / name if name else self.path, 300)


class _Bounded(io.BufferedReader):
    """A file of which no more is asked for than is left.

    Python makes room for all that `read` asks for, and pydicom asks for what a header says: up to
    4 GB, of a file of a few bytes.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most ``size`` bytes; what is left without one."""
        if size is not None and size > _SMALL:
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


def opened_whole(path: Path) -> BinaryIO:
    """Open a file for reading, without room for more than it holds, whatever is asked for."""
    return _Bounded(io.FileIO(path))


class ZipFiles:
    """Members of a zip. Names never become paths; declared sizes are bounded beforehand.

    zipfile stops at the declared size and compares the checksum, so bounding declared sizes
    bounds what a hostile archive can unpack to.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self._archive = archive
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._lock = threading.Lock()
        total = 0
        members = archive.infolist()
        if len(members) > _MOST_MEMBERS:
            raise InputError(f"{shown(path)} holds {len(members)} files; give one study per zip")
        for member in members:
            last = member.filename.rsplit("/", 1)[-1]
            if not last or last.startswith("."):  # folders end with a slash
                continue
            if member.filename.startswith("__MACOSX/"):
                continue
            total += member.file_size
            if member.file_size > _LARGEST_MEMBER or total > _LARGEST_TOTAL:
                raise InputError(
                    f"{shown(path)} would unpack to more than a CT study can have; "
                    "check where it comes from, or unpack it and give the folder"
                )
            if member.flag_bits & 1:
                raise InputError(
                    f"{shown(path)} is protected by a password; unpack it and give the folder"
                )
            self._members[member.filename] = member

    def names(self) -> list[str]:
        """Names of the members."""
        return sorted(self._members)

    def open(self, name: str) -> BinaryIO:
        """Open a member as a stream that unpacks while it is read."""
        with self._lock:
            return self._archive.open(self._members[name])  # type: ignore[return-value]

    def size(self, name: str) -> int:
        """Declared size of a member, at which zipfile stops."""
        return self._members[name].file_size

    def shown(self, name: str) -> str:
        """Zip and member."""
        return f"{shown(self.path)} ({shown(name)})"


@contextlib.contextmanager
def opened_files(path: Path) -> Iterator[FileSet]:
    """The files of a folder, of a zip, or one file alone.

    Raises
    ------
    InputError
        If the path does not exist, may not be read, or is a zip that is damaged.
    """
    try:
        if path.is_file() and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield ZipFiles(path, archive)
        elif path.suffix.lower() == ".zip" and path.is_file():
            raise zipfile.BadZipFile("no directory at its end")
        else:
            os.stat(path)
            yield FolderFiles(path)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(
            f"{shown(path)} is a damaged zip ({shown(error)}); copy or download it again"
        ) from error
    except (NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"{shown(path)} cannot be unpacked ({shown(error)}); unpack it and give the folder"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{shown(path)} cannot be read ({reason}); check the path") from error


def folder_of(names: Iterable[str]) -> str:
    """The innermost folder that holds all files, with ``/`` between folders; empty: the top.

    >>> folder_of(["a/b/1.dcm", "a/c/2.dcm"])
    'a'
    """
    folders = {name.rpartition("/")[0] for name in names}
    return os.path.commonpath(folders).replace(os.sep, "/") if folders and all(folders) else ""
