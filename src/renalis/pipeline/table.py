"""One table of all cases in an output folder."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from renalis.io import ScanSource, whole_file
from renalis.io.natural_order import by_number
from renalis.measurement.export import CSV_HEADER
from renalis.pipeline.folder import MEASUREMENTS, provenance
from renalis.pipeline.origin import ORIGIN_COLUMNS

__all__ = ["COHORT_PAGE", "MANIFEST", "TABLE", "next_to_the_table", "table_bytes", "write_table"]

TABLE = "measurements.csv"
"""In the output folder, next to the cases' folders."""

MANIFEST = "manifest.jsonl"
"""There as well: what became of each case of a cohort; see `renalis.cohort.manifest`."""

COHORT_PAGE = "cohort.html"
"""And there: what is to be seen of a cohort as a whole; see `renalis.cohort.report`."""


def next_to_the_table(source: ScanSource) -> ScanSource:
    """A case whose folder would take the name of a file of all cases gets another name."""
    taken = source.case_id in (TABLE, MANIFEST, COHORT_PAGE)
    return replace(source, case_id=f"{source.case_id}_") if taken else source


def write_table(output: Path) -> Path | None:
    """Write ``measurements.csv`` anew from the measured cases of an output folder, counted.

    Returns
    -------
    Path or None
        The file; None when there is no measured case.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    rows = _rows(output)
    first = next(rows, None)
    if first is None:
        return None
    path = output / TABLE
    with whole_file(path) as file:
        _write(file, chain([first], rows))
    return path


def table_bytes(rows: Iterable[Mapping[str, str]]) -> bytes:
    """The table as it is written: a line for each case, in the order given."""
    file = io.BytesIO()
    _write(file, rows)
    return file.getvalue()


def _write(file: BinaryIO, rows: Iterable[Mapping[str, str]]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    columns = (*CSV_HEADER, *ORIGIN_COLUMNS)
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    text.detach()


def _rows(output: Path) -> Iterator[dict[str, str]]:
    """The row of each measured case, one at a time in memory: there may be very many."""
    names = (entry.name for entry in os.scandir(output) if not entry.name.startswith("."))
    for name in sorted(names, key=by_number):
        content = provenance(output / name)
        measured = content is not None and (output / name / MEASUREMENTS).is_file()
        if content is not None and measured and isinstance(content.get("row"), dict):
            yield content["row"]
