"""The scans of a cohort: found in folders, or named one by one in a list."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from renalis.errors import InputError
from renalis.io import Inventory, ScanSource, inventory
from renalis.io.case_names import distinct
from renalis.io.scan import case_id_from, shown
from renalis.pipeline.table import next_to_the_table

__all__ = ["LISTS", "Listed", "Listing", "is_list", "list_cohort"]

LISTS = (".csv", ".jsonl")
"""How the names of lists end."""

_PATH_COLUMNS = ("scan", "path")
_MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class Listed:
    """One case, its scan not yet looked at closely.

    Attributes
    ----------
    source : ScanSource
        With the case's name.
    series : str or None
        Series to read of this scan alone.
    stored : mapping or None
        Where scan or results lie in a store; see `renalis.cohort.stored_job.StoredCase.from_job`.
    """

    source: ScanSource
    series: str | None = None
    stored: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Listing:
    """All cases of a cohort.

    Attributes
    ----------
    total : int
        How many there are.
    cases : iterator of Listed
        Those of a list are looked at one after another, when their turn comes.
    remarks : tuple of str
        What was left out.
    found : Inventory or None
        The same as found in files and folders; None for a list.
    """

    total: int
    cases: Iterator[Listed]
    remarks: tuple[str, ...] = ()
    found: Inventory | None = None


@dataclass(frozen=True)
class _Row:
    place: str
    path: Path
    case: str
    series: str | None


def list_cohort(paths: Sequence[str | os.PathLike[str]], anonymous: bool = False) -> Listing:
    """List the cases of a cohort.

    Parameters
    ----------
    paths : sequence of path-like
        Scans and folders, as `renalis.io.inventory` takes them, or one list: a CSV with a column
        ``scan`` or ``path`` and, where wanted, ``case`` and ``series``, or a file ``.jsonl``
        with an object of these fields in each line. Paths in it count from the list's own folder.
    anonymous : bool
        Name cases after hashes, never after files or what a list calls them.

    Raises
    ------
    InputError
        If a list cannot be read, or stands beside other inputs.
    """
    lists = [path for path in map(Path, paths) if is_list(path)]
    if not lists:
        found = inventory(paths, anonymous)
        sources = map(next_to_the_table, found.scans)
        return Listing(len(found.scans), map(Listed, sources), found.remarks, found)
    if len(paths) > 1:
        raise InputError(f"{shown(lists[0])} is a list of scans; give it alone")
    rows = _rows(lists[0])
    return Listing(len(rows), _cases(rows, anonymous))


def is_list(path: Path) -> bool:
    """Whether a path names a list of scans."""
    return path.name.lower().endswith(LISTS) and not path.is_dir()


def _rows(path: Path) -> list[_Row]:
    """The rows of a list, nothing in them looked at."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{shown(path)} is too large for a list of scans; split it")
        with path.open(encoding="utf-8-sig", newline="") as file:
            fields = csv.DictReader(file) if path.suffix.lower() == ".csv" else _objects(file, path)
            rows = [
                _row(path, number, row)
                for number, row in enumerate(fields, 2 if path.suffix.lower() == ".csv" else 1)
                if any(row.values())
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{shown(path)} cannot be read as a list of scans ({shown(reason)}); write it as UTF-8 "
            "text"
        ) from error
    if not rows:
        raise InputError(f"{shown(path)} lists no scan; give it a column 'scan' with their paths")
    times = Counter(row.case.casefold() for row in rows if row.case)
    twice = next((row.case for row in rows if times[row.case.casefold()] > 1), None)
    if twice is not None:
        raise InputError(
            f"{shown(path)} has several rows for case {shown(twice)!r}; give each its own name"
        )
    return rows


def _objects(file: Iterable[str], path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise InputError(f"{shown(path)}, line {number} is no JSON object; mend it")
        yield content


def _row(path: Path, number: int, row: Mapping[str, Any]) -> _Row:
    place = next((str(row[name]) for name in _PATH_COLUMNS if row.get(name)), "")
    if not place:
        raise InputError(
            f"{shown(path)}, line {number} names no scan; give it a column 'scan' or 'path'"
        )
    case = str(row.get("case") or "").strip()
    if case and case_id_from(case) != case:
        raise InputError(
            f"{shown(path)}, line {number}: {shown(case)!r} cannot be a folder's name; use "
            "letters, digits, '-' and '_'"
        )
    series = str(row.get("series") or "").strip() or None
    return _Row(place, path.absolute().parent / place, case, series)


def _cases(rows: Sequence[_Row], anonymous: bool) -> Iterator[Listed]:
    """Each row's scan; what a row says wrong is that case's problem alone."""
    plain = [row.case or _plain_name(row.path) for row in rows]
    longer = ["" if r.case else case_id_from(f"{r.path.parent.name}_{n}")
              for r, n in zip(rows, plain, strict=True)]  # fmt: skip
    names = distinct(plain, longer)
    taken = {name.casefold() for name in names}
    for row, name in zip(rows, names, strict=True):
        found = inventory([row.path], anonymous).scans
        source = found[0] if len(found) == 1 else _several(row, found)
        # A folder named after the patient has another name than its path's; anonymous, all have.
        renamed = not row.case and source.case_id != _plain_name(row.path)
        case = _free(source.case_id, taken) if anonymous or renamed else name
        taken.add(case.casefold())
        source = replace(source, case_id=case, place=row.place if source.place else "")
        yield Listed(next_to_the_table(source), row.series)


def _plain_name(path: Path) -> str:
    name = case_id_from(path.name)
    return case_id_from(path.absolute().parent.name) if name == "imaging" else name


def _free(name: str, taken: set[str]) -> str:
    candidate, number = name, 1
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def _several(row: _Row, found: Sequence[ScanSource]) -> ScanSource:
    problem = (
        f"{shown(row.path)} holds {len(found)} scans, and a list has one in each line; name them"
    )
    source = ScanSource(_plain_name(row.path), row.path, "unreadable", problem=problem)
    return replace(source, place=row.path.name)
