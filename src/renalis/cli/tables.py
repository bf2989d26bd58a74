"""Show tables and values on a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from renalis.evaluation.page import Table

__all__ = ["print_table", "value_text"]


def print_table(table: Table) -> None:
    """A table in aligned columns."""
    rows: list[Sequence[str]] = [table.header, *table.rows]
    widths = [max(len(row[k]) for row in rows) for k in range(len(table.header))]
    print(f"\n{table.title}")
    for row in rows:
        print(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def value_text(value: object) -> str:
    """A value as people write it: words as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
