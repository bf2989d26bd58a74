"""All cases of a cohort as columns of numbers: little memory for each, whatever its files hold."""

from __future__ import annotations

import math
import os
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.cohort.manifest import lines_of, newest_lines
from renalis.cohort.report.case_facts import CaseFacts, read_case
from renalis.cohort.report.quantities import QUANTITIES
from renalis.cohort.report.run_facts import RunFacts
from renalis.io.natural_order import by_number

__all__ = ["CohortFacts", "Trouble", "gather"]


@dataclass(frozen=True)
class Trouble:
    """A case that failed, or that lacks files.

    Attributes
    ----------
    case : str
        Its name.
    status : {"failed", "incomplete"}
        Whether there are labels of this attempt.
    cause : str
        Of `renalis.pipeline.failures.Cause`, empty where no line says so.
    problem : str
        What is wrong, as a sentence.
    """

    case: str
    status: str
    cause: str
    problem: str


@dataclass
class CohortFacts:
    """A cohort, gathered case by case; all columns are equally long.

    Attributes
    ----------
    names : list of str
        Of the cases.
    statuses : list of str
        ``done``, ``incomplete`` or ``failed``.
    values : dict of str to array
        By key of a quantity.
    confidence, agreement : array
        NaN without one.
    kidneys, doubtful, notes : array
        Counts; see `renalis.cohort.report.case_facts.CaseFacts`.
    measured, report, preview : bytearray
        Whether there are such files.
    lesion_mm : array
        Of all lesions of all cases.
    troubles : list of Trouble
        In the order of the cases.
    run : RunFacts
        How it went.
    """

    names: list[str] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    values: dict[str, array[float]] = field(
        default_factory=lambda: {one.key: array("d") for one in QUANTITIES}
    )
    confidence: array[float] = field(default_factory=lambda: array("d"))
    agreement: array[float] = field(default_factory=lambda: array("d"))
    kidneys: array[int] = field(default_factory=lambda: array("l"))
    doubtful: array[int] = field(default_factory=lambda: array("l"))
    notes: array[int] = field(default_factory=lambda: array("l"))
    measured: bytearray = field(default_factory=bytearray)
    report: bytearray = field(default_factory=bytearray)
    preview: bytearray = field(default_factory=bytearray)
    lesion_mm: array[float] = field(default_factory=lambda: array("d"))
    troubles: list[Trouble] = field(default_factory=list)
    run: RunFacts = field(default_factory=RunFacts)

    def __len__(self) -> int:
        return len(self.names)

    def add(self, case: CaseFacts, trouble: Trouble | None) -> None:
        """Count a case."""
        self.names.append(case.name)
        self.statuses.append("done" if trouble is None else trouble.status)
        for key, column in self.values.items():
            column.append(case.values.get(key, math.nan))
        self.confidence.append(case.confidence)
        self.agreement.append(case.agreement)
        self.kidneys.append(case.kidneys)
        self.doubtful.append(case.doubtful)
        self.notes.append(case.notes)
        self.measured.append(case.measured)
        self.report.append(case.report)
        self.preview.append(case.preview)
        self.lesion_mm.extend(case.lesion_mm)
        if trouble is not None:
            self.troubles.append(trouble)

    def column(self, key: str) -> NDArray[np.float64]:
        """A quantity of all cases, NaN where they have none."""
        return np.array(self.values[key], dtype=np.float64)

    @property
    def counts(self) -> Counter[str]:
        """How many cases ended how."""
        return Counter(self.statuses)


def gather(output: Path) -> CohortFacts:
    """Read what became of all cases of an output folder; one case at a time in memory.

    Parameters
    ----------
    output : Path
        Folder of ``renalis segment``, with or without a manifest. Cases of the manifest come
        first, then folders of results that it does not list.
    """
    cohort = CohortFacts()
    for line in lines_of(output):
        cohort.run.add_attempt(line)
    listed: set[str] = set()
    for newest, _ in newest_lines(output):
        name = str(newest["case"])
        listed.add(name)
        found = read_case(output, name)
        _add(cohort, found or CaseFacts(name), _trouble(newest, found))
    for name in _folders(output):
        if name not in listed:
            found = read_case(output, name)
            if found is not None:
                _add(cohort, found, _trouble({}, found))
    return cohort


def _add(cohort: CohortFacts, case: CaseFacts, trouble: Trouble | None) -> None:
    cohort.add(case, trouble)
    if case.versions:
        cohort.run.add(case)


def _trouble(line: dict[str, Any], case: CaseFacts | None) -> Trouble | None:
    """What is wrong with a case; None if nothing is."""
    name = str(line["case"]) if case is None else case.name
    cause, problem = str(line.get("cause") or ""), str(line.get("problem") or "")
    if line.get("status") == "failed":
        return Trouble(name, "failed", cause, problem)
    if case is None:
        gone = f"{name}: its results are no longer there; the same command makes them anew"
        return Trouble(name, "failed", "", gone)
    if case.missing:
        lost = f"{name}: {', '.join(case.missing)} missing; the same command makes only these"
        return Trouble(name, "incomplete", cause, problem or lost)
    return None


def _folders(output: Path) -> Iterator[str]:
    with os.scandir(output) as entries:
        names = [one.name for one in entries if one.is_dir() and not one.name.startswith(".")]
    return iter(sorted(names, key=by_number))
