"""One table of all cases in an output folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from renalis.io import ScanSource, whole_file
from renalis.io.natural_order import by_number
from renalis.measurement.export import CSV_HEADER
from renalis.pipeline.folder import MEASUREMENTS, provenance
from renalis.pipeline.origin import ORIGIN_COLUMNS

__all__ = ["MANIFEST", "TABLE", "next_to_the_table", "table_text", "write_table"]

TABLE = "measurements.csv"
"""In the output folder, next to the cases' folders."""

MANIFEST = "manifest.jsonl"
"""There as well: what became of each case of a cohort; see `renalis.cohort.manifest`."""


def next_to_the_table(source: ScanSource) -> ScanSource:
    """A case whose folder would take the name of a file of all cases gets another name."""
    taken = source.case_id in (TABLE, MANIFEST)
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
    rows = []
    visible = (path for path in output.iterdir() if not path.name.startswith("."))
    for folder in sorted(visible, key=lambda path: by_number(path.name)):
        content = provenance(folder) if folder.is_dir() else None
        measured = content is not None and (folder / MEASUREMENTS).is_file()
        if content is not None and measured and isinstance(content.get("row"), dict):
            rows.append(content["row"])
    if not rows:
        return None
    path = output / TABLE
    with whole_file(path) as file:
        file.write(table_text(rows).encode())
    return path


def table_text(rows: Iterable[Mapping[str, str]]) -> str:
    """The table as it is written: a line for each case, in the order given."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, (*CSV_HEADER, *ORIGIN_COLUMNS), restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
