"""``manifest.jsonl``: what became of each case of a cohort, one line for each attempt.

Lines are only ever appended, each in one piece; what was done is on disk before the next case is
accounted for. A line that was cut short by the end of a process is no line. At the end of a run the
file is written anew without what later lines made superfluous.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from renalis.errors import OutputError
from renalis.io import whole_file
from renalis.pipeline.table import MANIFEST

__all__ = ["FIELDS", "Manifest", "lines_of", "newest_lines"]

FIELDS = (
    "case", "status", "attempt", "started", "ended", "elapsed", "seconds", "peak_mb", "worker",
    "problem", "cause", "input", "outputs", "versions", "key",
)  # fmt: skip
"""Of a line: the case's name; ``done``, ``skipped``, ``incomplete`` or ``failed``; which attempt on
it this was, from 1; begin and end (UTC) and the seconds between them by a clock that does not
jump; seconds of each step; largest memory of the worker so far in MB; the worker's number; what
went wrong, as a sentence, and its class (`renalis.pipeline.failures.Cause`); ``voxels_sha256``
(`renalis.voxel_hash.voxel_hash`, where the scan was read) and ``bytes`` of the input; SHA-256 of
each file of the result; versions of renalis, model, runtime and Python; and the key in
``provenance.json``."""


@dataclass
class _Known:
    """What is kept in memory of a case: little, since there may be very many."""

    attempts: int = 0
    last: int = 0
    """Offset of its last line with results."""


class Manifest:
    """The manifest of an output folder, open for one process.

    Parameters
    ----------
    output : Path
        The cohort's folder, whose lock is held.

    Raises
    ------
    OutputError
        If it cannot be written.
    """

    def __init__(self, output: Path) -> None:
        self._path = output / MANIFEST
        self._cases: dict[str, _Known] = {}
        for offset, line in _placed_lines(self._path):
            self._count(line, offset)
        try:
            self._file = self._path.open("ab")
            if _torn(self._path):
                self._file.write(b"\n")
        except OSError as error:
            raise _cannot(self._path, error) from error

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self._file.close()
        with contextlib.suppress(OSError):
            if not self._path.stat().st_size:  # no case was ever tried
                self._path.unlink()

    def attempts(self, case: str) -> int:
        """How often a case was tried so far."""
        return self._cases.get(case, _Known()).attempts

    def append(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Add a line for what became of a case, and see it on disk (not where it was skipped).

        A case that was skipped has the input, times and versions of when it was done, where an
        earlier line says so.

        Returns
        -------
        dict
            The line.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        line = {name: record[name] for name in FIELDS if name in record}
        skipped = line["status"] == "skipped"
        if skipped:
            line["attempt"] = max(1, self.attempts(str(line["case"])))
        earlier = self._earlier(line) if skipped else None
        if earlier is not None:
            line["input"] = earlier.get("input", {})
            line["outputs"] = line["outputs"] or earlier.get("outputs", {})
        try:
            self._file.seek(0, os.SEEK_END)
            offset = self._file.tell()
            self._file.write(_text(line))
            self._file.flush()
            if not skipped:  # which will be found out again
                os.fsync(self._file.fileno())
        except OSError as error:
            raise _cannot(self._path, error) from error
        self._count(line, offset)
        return line

    def compact(self) -> None:
        """Write the file anew: each attempt once, skipped cases only where it says news.

        That is where their results are not those of the last attempt that is listed.

        Raises
        ------
        OutputError
            If it cannot be written; the file stays as it was.
        """
        attempts: dict[tuple[str, int], int] = {}
        last: dict[str, tuple[str, str]] = {}
        skipped: dict[str, int] = {}
        for offset, line in _placed_lines(self._path):
            case, result = str(line["case"]), (str(line["status"]), str(line.get("key", "")))
            if line["status"] != "skipped":
                attempts[case, int(line["attempt"])] = offset
                last[case] = result
                skipped.pop(case, None)
            elif last.get(case) != ("done", result[1]):
                skipped[case] = offset
        wanted = {*attempts.values(), *skipped.values()}
        with whole_file(self._path) as file:
            for offset, line in _placed_lines(self._path):
                if offset in wanted:
                    file.write(_text(line))

    def _earlier(self, line: Mapping[str, Any]) -> dict[str, Any] | None:
        known = self._cases.get(str(line["case"]))
        if known is None:
            return None
        with self._path.open("rb") as file:
            found = _line_at(file, known.last)
        return found if found is not None and found.get("key") == line.get("key") else None

    def _count(self, line: Mapping[str, Any], offset: int) -> None:
        known = self._cases.setdefault(str(line["case"]), _Known(last=offset))
        if line["status"] != "skipped":
            known.attempts = max(known.attempts, int(line["attempt"]))
            known.last = offset


def lines_of(output: Path) -> Iterator[dict[str, Any]]:
    """All whole lines of a folder's manifest, in their order; one at a time in memory.

    Parameters
    ----------
    output : Path
        The cohort's folder; without a manifest there are no lines.
    """
    return (line for _, line in _placed_lines(output / MANIFEST))


def newest_lines(output: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """What is known of each case at last; few lines at a time in memory.

    Parameters
    ----------
    output : Path
        The cohort's folder.

    Yields
    ------
    newest, with_results : dict, dict or None
        The last line of a case, and the last one that lists files of it; often the same.
    """
    places: dict[str, tuple[int, int | None]] = {}
    for offset, line in _placed_lines(output / MANIFEST):
        case = str(line["case"])
        before = places.get(case, (offset, None))[1]
        places[case] = (offset, offset if line.get("outputs") else before)
    if not places:
        return
    with (output / MANIFEST).open("rb") as file:
        for newest, results in places.values():
            last = _line_at(file, newest)
            if last is not None:
                yield last, None if results is None else _line_at(file, results)


def _line_at(file: BinaryIO, offset: int) -> dict[str, Any] | None:
    file.seek(offset)
    return _parsed(file.readline())


def _placed_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        offset = 0
        for raw in file:
            line = _parsed(raw)
            if line is not None:
                yield offset, line
            offset += len(raw)


def _parsed(raw: bytes) -> dict[str, Any] | None:
    """A line; None for what is none, or only the beginning of one."""
    if not raw.endswith(b"\n"):
        return None
    try:
        line = json.loads(raw)
        if isinstance(line, dict) and {"case", "status"} <= line.keys():
            line["attempt"] = int(line.get("attempt", 1))
            return line
    except (ValueError, TypeError):
        pass
    return None


def _text(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line).encode() + b"\n"


def _torn(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
    return False


def _cannot(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be written ({error.strerror}); free some space or choose another output "
        "folder with -o"
    )
