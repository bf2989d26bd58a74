"""A CSV that names the files: ``case,image,label,patient`` and whatever else is known."""

from __future__ import annotations

import csv
from pathlib import Path

from renalis.conventions import Convention
from renalis.dataset.cases import Case, Dataset, listed
from renalis.errors import InputError
from renalis.io.natural_order import by_number
from renalis.io.scan import case_id_from, shown

__all__ = ["CASE_COLUMNS", "case_of", "columns", "open_csv", "table_rows"]

CASE_COLUMNS = ("case", "case_id", "caseid", "id")
"""Columns that may name the case."""


def open_csv(root: Path, convention: Convention | None = None) -> Dataset:
    """Cases that a CSV lists; paths are relative to its folder, or absolute.

    Parameters
    ----------
    root : Path
        The CSV: a column ``image``; ``case``, ``label`` and ``patient`` where known (an empty
        label means none); further columns become properties. Comma, semicolon or tab between
        columns.
    convention : Convention or None
        What the values in the label maps mean; needed.

    Raises
    ------
    InputError
        If a column or a file is missing (the line is named) or the convention is unknown.
    """
    name = shown(root)
    if convention is None:
        raise InputError(
            f"{name} does not say what the values of its label maps mean; "
            "add --labels kits19, kits23 or radboud"
        )
    names = columns(root)
    if "image" not in names:
        raise InputError(
            f"{name} has no column named image (it has: {shown(listed(names)) or 'nothing'}); "
            "the columns are case, image, label and patient"
        )
    rows = table_rows(root)
    if not rows:
        raise InputError(f"{name} lists no cases")
    cases = []
    for number, row in rows:
        image = _file(root, row.pop("image"), number)
        label = row.pop("label", "")
        case_id = case_id_from(case_of(row) or _own_name(image))
        patient = row.pop("patient", "") or case_id
        meta = {key: value for key, value in row.items() if key and value}
        cases.append(
            Case(case_id, image, _file(root, label, number) if label else None, patient, meta)
        )
    cases.sort(key=lambda case: by_number(case.id))
    unlabelled = [case.id for case in cases if case.label is None]
    notes = (
        (f"scans without label map ({len(unlabelled)}): {listed(unlabelled)}",)
        if unlabelled
        else ()
    )
    return Dataset("csv", convention, tuple(cases), root, notes)


def columns(file: Path) -> tuple[str, ...]:
    """Names of a CSV's columns in small letters; none if it cannot be read."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            head = stream.readline()
    except (OSError, ValueError):
        return ()
    return tuple(c.strip().strip('"').lower() for c in head.strip().split(_delimiter(head)))


def _delimiter(head: str) -> str:
    return max(",;\t", key=head.count)


def table_rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and values of each row of a CSV, by the names that `columns` gives.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    names = columns(file)
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            delimiter = _delimiter(stream.readline())
            reader = csv.DictReader(stream, names, delimiter=delimiter, restval="")
            return [
                (reader.line_num + 1, {k: v.strip() for k, v in row.items() if k is not None})
                for row in reader
                if any(v for k, v in row.items() if k is not None)
            ]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{shown(file)} cannot be read ({error}); correct it") from error


def case_of(row: dict[str, str]) -> str:
    """The case that a row names, taken out of it; empty if it names none.

    >>> case_of({"caseid": "case_00210", "age": "61"})
    'case_00210'
    """
    given = [row.pop(column) for column in CASE_COLUMNS if column in row]
    return next(filter(None, given), "")


def _file(table: Path, given: str, number: int) -> Path:
    """A path of the table, relative to it."""
    if not given:
        raise InputError(f"{shown(table)}, line {number}: there is no image; give its path")
    path = table.parent / given
    try:
        there = path.exists()
    except (OSError, ValueError):  # a name that no file can have
        there = False
    if not there:
        raise InputError(
            f"{shown(table)}, line {number}: {shown(given)} does not exist; "
            "paths are relative to the CSV"
        )
    return path


def _own_name(image: Path) -> str:
    """The name that tells a scan apart: its folder's where all files are called imaging."""
    generic = case_id_from(image.name) in ("imaging", "image", "ct")
    return image.absolute().parent.name if generic else image.name
