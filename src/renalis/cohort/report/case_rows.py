"""The table of all cases, as data that the page's script shows in pages."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.cohort.report.cohort_facts import CohortFacts
from renalis.cohort.report.far_out import FarOut

__all__ = ["MOST_ROWS", "case_rows", "table_order"]

MOST_ROWS = 20_000
"""About 100 bytes each; of more cases the first of the order are shown."""

_COLUMNS = (
    ("left_ml", "left, ml", 1), ("right_ml", "right, ml", 1), ("left_hu", "left, HU", 0),
    ("right_hu", "right, HU", 0), ("lesions", "lesions", 0), ("largest_mm", "largest, mm", 1),
    ("tumor_ml", "tumor, ml", 1), ("cyst_ml", "cysts, ml", 1), ("slice_mm", "slices, mm", 2),
)  # fmt: skip
"""Keys of quantities, headings, decimals."""


def table_order(cohort: CohortFacts, doubtful_first: Sequence[int]) -> list[int]:
    """Cases that have no measurements, then the others as given."""
    return [*(index for index in range(len(cohort)) if not cohort.measured[index]), *doubtful_first]


def case_rows(
    cohort: CohortFacts,
    order: Sequence[int],
    tenth: Sequence[int],
    found: Sequence[FarOut],
    remarks: NDArray[np.int64],
) -> str:
    """JSON of headings and rows that may stand in a page.

    Parameters
    ----------
    cohort : CohortFacts
        All cases.
    order : sequence of int
        Indices in the order of the table; those beyond `MOST_ROWS` are left out.
    tenth : sequence of int
        Which belong to the doubtful tenth.
    found : sequence of FarOut
        Which values lie far out.
    remarks : array of int
        How many things speak for a look at each case.
    """
    shown = order[:MOST_ROWS]
    doubtful = set(tenth)
    far: dict[int, list[str]] = {}
    for one in found:
        for index in one.cases.tolist():
            far.setdefault(index, []).append(one.quantity.key)
    statuses = list(dict.fromkeys(cohort.statuses))
    keys = [key for key, _, _ in _COLUMNS]
    rows = []
    for index in shown:
        marked = far.get(index, ())
        marks = sum(1 << keys.index(key) for key in marked if key in keys)
        rows.append(
            [
                cohort.names[index],
                statuses.index(cohort.statuses[index]),
                _rounded(cohort.confidence[index], 3),
                int(remarks[index]) if cohort.measured[index] else None,
                *(_rounded(cohort.values[key][index], decimals) for key, _, decimals in _COLUMNS),
                marks,
                (index in doubtful) | bool(marked) << 1 | bool(cohort.report[index]) << 2,
            ]
        )
    content = {
        "headings": ["case", "status", "confidence", "remarks", *(h for _, h, _ in _COLUMNS)],
        "decimals": [decimals for _, _, decimals in _COLUMNS],
        "statuses": statuses,
        "rows": rows,
    }
    # No mark of HTML can stand in a script's text.
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def _rounded(value: float, decimals: int) -> Any:
    if math.isnan(value):
        return None
    short = round(value, decimals)
    return int(short) if short == int(short) else short
