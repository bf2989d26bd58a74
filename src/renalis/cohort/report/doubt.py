"""Which cases to look at first.

Cases in which no kidney was found come first of all. Then, those with a ``case_confidence`` by it,
lowest first. A case without one (of an older version, or of a model that was not tested for it)
has its remarks to go by: how many there are, of its scan and measurements, of doubtful kidneys,
and of values far from the cohort's; of equally many, how far its looks, folds or members agree,
which is no measured confidence. Both kinds are put into one order by the place that a case has
among its own kind, so that the tenth that comes first holds a tenth of each.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from renalis.cohort.report.cohort_facts import CohortFacts
from renalis.io.natural_order import by_number

__all__ = ["doubtful_tenth", "most_doubtful_first", "remarks"]


def remarks(cohort: CohortFacts, far_out: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many things speak for a look at each case.

    Parameters
    ----------
    cohort : CohortFacts
        All cases.
    far_out : array of int
        For each case, how many of its values are far from the cohort's.
    """
    return np.asarray(
        np.array(cohort.notes, np.int64) + np.array(cohort.doubtful, np.int64) + far_out
    )


def most_doubtful_first(cohort: CohortFacts, far_out: NDArray[np.int64]) -> list[int]:
    """Indices of the measured cases in the order in which to look at them.

    Parameters
    ----------
    cohort : CohortFacts
        All cases.
    far_out : array of int
        For each case, how many of its values are far from the cohort's.
    """
    found = remarks(cohort, far_out)
    names = [by_number(name) for name in cohort.names]
    measured = [index for index in range(len(cohort)) if cohort.measured[index]]
    nothing = [index for index in measured if not cohort.kidneys[index]]
    others = [index for index in measured if cohort.kidneys[index]]
    sure = [index for index in others if math.isfinite(cohort.confidence[index])]
    unsaid = [index for index in others if not math.isfinite(cohort.confidence[index])]
    nothing.sort(key=lambda index: names[index])
    sure.sort(key=lambda index: (cohort.confidence[index], -found[index], names[index]))
    unsaid.sort(key=lambda index: (-found[index], _agreement(cohort, index), names[index]))
    placed = [
        (place / len(group), index)
        for group in (sure, unsaid)
        for place, index in enumerate(group)
    ]  # fmt: skip
    # By place alone, and stable: of equal places those with a confidence come first.
    placed.sort(key=lambda entry: entry[0])
    return [*nothing, *(index for _, index in placed)]


def _agreement(cohort: CohortFacts, index: int) -> float:
    """For an order in which the least agreement comes first, and none at all last."""
    agreement = cohort.agreement[index]
    return agreement if math.isfinite(agreement) else math.inf


def doubtful_tenth(measured: int) -> int:
    """How many cases the doubtful tenth holds; at least one, where there are any."""
    return math.ceil(measured / 10)
