"""Check a dataset before a training is wasted on it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from renalis.child_processes import map_cases
from renalis.dataset.case_facts import HU_LOW, CaseFacts, examine
from renalis.dataset.cases import Case, Dataset, listed
from renalis.dataset.findings import Finding, Level

__all__ = ["CheckReport", "check_dataset", "findings_of"]

_FAULTY = "its labels of 2019 are faulty, and were replaced in later releases (nnU-Net issue 2519)"
_SUSPECTED = "its labels of 2019 are suspected of faults, and nnU-Net left it out (issue 2519)"
_STACKED = "two contrast phases are stacked in its scan (KiTS19 issue 6)"
_KITS19_KNOWN = {
    15: f"{_FAULTY}; {_STACKED}",
    37: _FAULTY,
    23: _SUSPECTED,
    68: _SUSPECTED,
    125: _SUSPECTED,
    133: _SUSPECTED,
    25: _STACKED,
    61: _STACKED,
    117: _STACKED,
}
_PLAUSIBLE_HU = (0, 400)
"""Median of a kidney: unenhanced 30, nephrographic 100 to 200; fat is -100, bone above 400."""
_OBLIQUE_DEG = 5.0


@dataclass(frozen=True)
class CheckReport:
    """Everything that a check found.

    Parameters
    ----------
    dataset : str
        Kind of dataset.
    convention : str
        What the label values mean.
    cases, labelled : int
        How many there are, and how many of them have labels.
    notes : tuple of str
        About the dataset as a whole.
    findings : tuple of Finding
        By case, in the order of the cases.
    """

    dataset: str
    convention: str
    cases: int
    labelled: int
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]

    def count(self, level: Level) -> int:
        """Number of findings of a level."""
        return sum(f.level is level for f in self.findings)

    @property
    def faulty(self) -> tuple[str, ...]:
        """Ids of the cases with an error, in order."""
        return tuple(dict.fromkeys(f.case for f in self.findings if f.level is Level.ERROR))

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {"format": "renalis dataset check", "version": 1, **dataclasses.asdict(self)}


def check_dataset(
    dataset: Dataset,
    *,
    quick: bool = False,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> CheckReport:
    """Read every case and report what is wrong.

    Parameters
    ----------
    dataset : Dataset
        What to check.
    quick : bool
        Read of NIfTI scans only the headers (label maps are read whole): duplicates are then
        found by their files, and HU are not looked at.
    jobs : int
        Processes; each holds one scan (int16) and its labels.
    progress : callable
        Called after each case with how many are done and how many there are.

    Returns
    -------
    CheckReport
        Faulty cases are findings; nothing is raised for them.
    """
    work = partial(examine, convention=dataset.convention, quick=quick)
    facts = map_cases(work, dataset.cases, jobs, progress)
    return CheckReport(
        dataset=dataset.name,
        convention=dataset.convention.value,
        cases=len(dataset.cases),
        labelled=len(dataset.labelled),
        notes=dataset.notes,
        findings=findings_of(dataset, facts),
    )


def findings_of(dataset: Dataset, facts: Sequence[CaseFacts]) -> tuple[Finding, ...]:
    """All findings about cases that have been read, in the order of the cases."""
    together = [*_duplicates(dataset.cases, facts), *_known(dataset)]
    found: list[Finding] = []
    for fact in facts:
        found += [*fact.findings, *_unusual(fact, dataset.name.startswith("kits"))]
        found += [f for f in together if f.case == fact.case]
    return tuple(found)


def _unusual(facts: CaseFacts, kits: bool) -> list[Finding]:
    """What one case has that most do not."""
    found: list[Finding] = []

    def add(level: Level, code: str, sentence: str) -> None:
        found.append(Finding(facts.case, level, code, sentence))

    if facts.orientation and facts.orientation[0] in "SI":
        add(
            Level.NOTE,
            "slices-first",
            f"the slice axis comes first in the file ({facts.orientation}), as in all of KiTS; "
            "renalis goes by the header, programs that expect it last do not work",
        )
    if facts.oblique_deg > _OBLIQUE_DEG:
        add(
            Level.WARNING,
            "oblique",
            f"the axes are {facts.oblique_deg:.0f}° off the patient's; slices are not axial",
        )
    z, y, x = facts.size_mm
    if facts.orientation and z < 0.99 * max(x, y) and max(x, y) > 1.5 * min(x, y):
        add(
            Level.WARNING,
            "not-axial",
            f"voxels are {z:.2f} × {y:.2f} × {x:.2f} mm (Z, Y, X), so the scan looks like a "
            "coronal or sagittal reformat; 2D recipes train on axial slices",
        )
    if facts.size[1] != facts.size[2]:
        add(
            Level.NOTE,
            "not-square",
            f"slices have {facts.size[1]} × {facts.size[2]} pixels; they are padded, not squeezed",
        )
    median = _median_hu(facts)
    if median is not None and not _PLAUSIBLE_HU[0] <= median <= _PLAUSIBLE_HU[1]:
        add(
            Level.WARNING,
            "kidney-hu",
            f"half of the labelled voxels lie below {median} HU, which no kidney does: the labels "
            "may be shifted or mirrored, or the scan not in HU; look at the case",
        )
    if kits and any(facts.values) and 2 not in facts.values:
        add(
            Level.WARNING,
            "no-tumor",
            "there is no tumor in the label map, and every KiTS case has one",
        )
    return found


def _median_hu(facts: CaseFacts) -> int | None:
    """Median HU of everything labelled; None where nothing is."""
    if not facts.hu:
        return None
    counts = np.sum(list(facts.hu.values()), axis=0)
    total = int(counts.sum())
    if not total:
        return None
    return int(np.searchsorted(np.cumsum(counts), (total + 1) // 2)) + HU_LOW


def _duplicates(cases: Sequence[Case], facts: Sequence[CaseFacts]) -> list[Finding]:
    """Scans and label maps that occur more than once."""
    owner = {case.id: case.patient for case in cases}
    found: list[Finding] = []
    kinds = (
        ("scan", "image_voxels", "image_file"),
        ("label map", "label_voxels", "label_voxels"),
    )
    for word, voxels, file in kinds:
        keys = {f.case: getattr(f, voxels) or getattr(f, file) for f in facts}
        if word == "label map":  # empty ones are all alike
            keys = {f.case: keys[f.case] for f in facts if any(f.values)}
        counts = Counter(keys.values())
        for case, key in keys.items():
            if not key or counts[key] < 2:
                continue
            others = [c for c, k in keys.items() if k == key and c != case]
            torn = any(owner[c] != owner[case] for c in others)
            level = Level.ERROR if word == "scan" and torn else Level.WARNING
            found.append(
                Finding(
                    case,
                    level,
                    "duplicate",
                    f"its {word} has exactly the voxels of {listed(others)}; keep one of them, or "
                    "a split will train and test with the same data",
                )
            )
    return found


def _known(dataset: Dataset) -> list[Finding]:
    """Cases of KiTS19 of which others have reported faults."""
    if dataset.name != "kits19":
        return []
    found = []
    for case in dataset.cases:
        number = case.id.rsplit("_", 1)[-1]
        reason = _KITS19_KNOWN.get(int(number)) if number.isdecimal() else None
        if reason:
            sentence = f"{reason}; look at it, or leave it out with --exclude {case.id}"
            found.append(Finding(case.id, Level.WARNING, "known-case", sentence))
    return found
