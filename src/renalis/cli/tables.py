"""Show a table on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from renalis.evaluation.page import Table

__all__ = ["print_table"]


def print_table(table: Table) -> None:
    """A table in aligned columns."""
    rows: list[Sequence[str]] = [table.header, *table.rows]
    widths = [max(len(row[k]) for row in rows) for k in range(len(table.header))]
    print(f"\n{table.title}")
    for row in rows:
        print(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )
