"""How a cohort's run went: what made the results, how long each step took, how much memory."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from renalis.cohort.report.case_facts import CaseFacts

__all__ = ["RunFacts", "Step"]


@dataclass(frozen=True)
class Step:
    """One step of the work.

    Attributes
    ----------
    name : str
        As in ``provenance.json``.
    cases : int
        That took it.
    median_s, most_s, sum_s : float
        Seconds of a case, of the slowest one, and of all.
    """

    name: str
    cases: int
    median_s: float
    most_s: float
    sum_s: float


@dataclass
class RunFacts:
    """Gathered case by case.

    Attributes
    ----------
    versions : dict of str to Counter
        For each kind of thing that made results, how many cases each one made.
    seconds : dict of str to array
        By step, one number for each case.
    peak_mb : array
        Of each case.
    """

    versions: dict[str, Counter[str]] = field(default_factory=dict)
    seconds: dict[str, array[float]] = field(default_factory=dict)
    peak_mb: array[float] = field(default_factory=lambda: array("d"))
    _begins: array[float] = field(default_factory=lambda: array("d"))
    _ends: array[float] = field(default_factory=lambda: array("d"))
    _done: int = 0

    def add(self, case: CaseFacts) -> None:
        """Count a case with results."""
        for kind, version in case.versions.items():
            self.versions.setdefault(kind, Counter())[version] += 1
        for step, seconds in case.seconds.items():
            self.seconds.setdefault(step, array("d")).append(seconds)
        if case.peak_mb > 0:
            self.peak_mb.append(case.peak_mb)

    def add_attempt(self, line: Mapping[str, Any]) -> None:
        """Count a line of the manifest that is an attempt, whatever came of it."""
        try:
            begin = datetime.fromisoformat(str(line["started"])).timestamp()
            # Its end counts by the clock that does not jump.
            end = begin + float(line["elapsed"])
        except (KeyError, TypeError, ValueError, OverflowError):
            return
        if line["status"] != "skipped" and math.isfinite(end) and end >= begin:
            self._begins.append(begin)
            self._ends.append(end)
            self._done += line["status"] == "done"
            if line.get("status") == "failed" and line.get("peak_mb"):
                self.peak_mb.append(float(line["peak_mb"]))

    @property
    def steps(self) -> list[Step]:
        """The steps in the order in which cases took them."""
        return [
            Step(name, len(s), float(np.median(s)), float(np.max(s)), float(np.sum(s)))
            for name, s in self.seconds.items()
        ]

    @property
    def busy_s(self) -> float:
        """Seconds in which any case was worked on; pauses between runs do not count."""
        return _covered(self._begins, self._ends)

    @property
    def cases_per_hour(self) -> float:
        """Finished cases for an hour of work; NaN where no attempt says when it was."""
        busy = self.busy_s
        return 3600.0 * self._done / busy if busy > 0 else math.nan

    @property
    def mixed(self) -> list[tuple[str, Counter[str]]]:
        """Kinds of things of which more than one made results."""
        return [(kind, found) for kind, found in self.versions.items() if len(found) > 1]


def _covered(begins: Iterable[float], ends: Iterable[float]) -> float:
    """Length of the union of intervals.

    >>> _covered([0, 5, 20], [10, 12, 21])
    13.0
    """
    total, until = 0.0, -math.inf
    for begin, end in sorted(zip(begins, ends, strict=True)):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total
