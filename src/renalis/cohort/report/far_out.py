"""The cases of a cohort that lie far out, quantity by quantity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.cohort.report.cohort_facts import CohortFacts
from renalis.cohort.report.outliers import Limits, distances, limits
from renalis.cohort.report.quantities import QUANTITIES, Quantity

__all__ = ["FarOut", "far_out", "how_many"]


@dataclass(frozen=True)
class FarOut:
    """One quantity over a cohort.

    Attributes
    ----------
    quantity : Quantity
        Which.
    values : array
        One per case, NaN where it has none.
    usual : Limits or None
        None where the rule does not apply.
    cases : array of int
        Indices of the cases that lie far out, the farthest first.
    """

    quantity: Quantity
    values: NDArray[np.float64]
    usual: Limits | None
    cases: NDArray[np.int64]


def far_out(cohort: CohortFacts) -> list[FarOut]:
    """All quantities in their order, also those of which no case lies far out."""
    found = []
    for one in QUANTITIES:
        values = cohort.column(one.key)
        usual = limits(values, one.logarithmic, one.least) if one.watched else None
        far = distances(values, usual, one.logarithmic)
        order = np.argsort(-far, kind="stable")
        found.append(FarOut(one, values, usual, order[far[order] > 1]))
    return found


def how_many(found: Sequence[FarOut], cases: int) -> NDArray[np.int64]:
    """For each case, how many of its values lie far out."""
    counts = np.zeros(cases, np.int64)
    for one in found:
        counts[one.cases] += 1
    return counts
