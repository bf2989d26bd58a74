"""What `real_scans.py` keeps of each case, what it calls wrong, and its table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from renalis.pipeline import CaseResult

MOST_DIFFERENCE = 0.15
"""Largest difference of a whole kidney's volume from that in the whole scan, as a share of it."""
SAME_MM = 30.0
"""Centers farther apart than this are not the same kidney's."""


@dataclass(frozen=True)
class Kidney:
    """One kidney of one case.

    Attributes
    ----------
    id, doubtful
        As in ``measurements.json``.
    ml : float
        With its lesions.
    slices : tuple of int
        First and last slice of the whole scan that shows it.
    centroid_mm : tuple of float
        In patient coordinates.
    cut : bool
        Whether the upper or lower border of the case cuts it.
    """

    id: str
    doubtful: bool
    ml: float
    slices: tuple[int, int]
    centroid_mm: tuple[float, ...]
    cut: bool


@dataclass(frozen=True)
class Outcome:
    """How one case ended.

    Attributes
    ----------
    scan, variant : str
        Which scan, and what was done to it.
    problem : str
        Why it failed, if it did.
    kidneys : tuple of Kidney
        What was found.
    differences : dict
        For every kidney that this copy has whole: its volume's difference from the whole scan's,
        as a share.
    wrong, remarks : tuple of str
        Everything that counts as wrong, and what is worth a look, in words.
    """

    scan: str
    variant: str
    problem: str = ""
    kidneys: tuple[Kidney, ...] = ()
    differences: dict[str, float] | None = None
    wrong: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for whoever waits."""
        found = ", ".join(
            f"{k.id} {k.ml:.0f} ml{' (doubtful)' if k.doubtful else ''}" for k in self.kidneys
        )
        return "; ".join([found or "no kidney", *self.wrong, *self.remarks])


def scored(
    scan: str,
    variant: str,
    result: CaseResult,
    part: slice,
    whole: Outcome | None,
    reported: bool = True,
) -> Outcome:
    """Compare a case with the whole scan.

    ``part`` are the slices of it that the case has, ``reported`` whether a report was asked for.
    """
    if result.folder is None or result.problem:
        return Outcome(scan, variant, result.problem, wrong=(f"failed: {result.problem}",))
    report = result.folder / "report.html"
    wrong = ["there is no report"] if reported and not report.is_file() else []
    content = json.loads((result.folder / "measurements.json").read_text("utf-8"))
    kidneys = tuple(_kidney(entry, part) for entry in content["kidneys"])
    differences: dict[str, float] = {}
    for mine in whole.kidneys if whole is not None else ():
        if mine.doubtful or not _shown_whole(mine, part):
            continue
        same = [other for other in kidneys if _apart_mm(mine, other) <= SAME_MM]
        if not same:
            wrong.append(f"{mine.id} kidney of {mine.ml:.0f} ml is missing")
            continue
        nearest = min(same, key=lambda other: _apart_mm(mine, other))
        differences[mine.id] = nearest.ml / mine.ml - 1
        if abs(differences[mine.id]) > MOST_DIFFERENCE:
            wrong.append(
                f"{mine.id} kidney has {nearest.ml:.0f} ml instead of {mine.ml:.0f} ml "
                f"({100 * differences[mine.id]:+.0f} %)"
            )
        if nearest.id != mine.id:
            wrong.append(f"{mine.id} kidney is called {nearest.id}")
    remarks = []
    for kidney in kidneys if whole is not None else ():
        if not kidney.doubtful and not any(_overlap(kidney, mine) for mine in whole.kidneys):
            words = f"{kidney.id} kidney of {kidney.ml:.0f} ml is not in the whole scan"
            (remarks if kidney.cut else wrong).append(words)
    return Outcome(scan, variant, "", kidneys, differences, tuple(wrong), tuple(remarks))


def _kidney(entry: dict[str, Any], part: slice) -> Kidney:
    """A kidney of ``measurements.json``, its slices counted in the whole scan."""
    place = entry["location"]
    low, high = (part.start + (part.step or 1) * int(n) for n in place["slices"])
    doubtful = entry["is_kidney"]["answer"] in ("doubtful", "no")
    cut = not {"superior", "inferior"}.isdisjoint(place["borders"])
    return Kidney(
        entry["id"], doubtful, entry["volume_ml"], (low, high), tuple(place["centroid_mm"]), cut
    )


def _shown_whole(kidney: Kidney, part: slice) -> bool:
    """Whether the copy has the kidney and a slice beyond it at either side that it is cut at."""
    first_cut = part.start > 0
    stop = np.inf if part.stop is None else part.stop
    return kidney.slices[0] - first_cut >= part.start and kidney.slices[1] + 1 < stop


def _apart_mm(one: Kidney, other: Kidney) -> float:
    return float(np.linalg.norm(np.subtract(one.centroid_mm, other.centroid_mm)))


def _overlap(one: Kidney, other: Kidney) -> bool:
    """Whether two finds may be the same kidney, of which one copy shows less."""
    across = np.subtract(one.centroid_mm, other.centroid_mm)[:2]
    common = min(one.slices[1], other.slices[1]) - max(one.slices[0], other.slices[0])
    return common >= 0 and float(np.linalg.norm(across)) <= 2 * SAME_MM


class Store:
    """Outcomes in a folder, written after every case."""

    def __init__(self, folder: Path, resume: bool) -> None:
        self.cases = folder / "cases"
        self.cases.mkdir(parents=True, exist_ok=True)
        self._json, self._page = folder / "real_scans.json", folder / "real_scans.md"
        self._known: dict[tuple[str, str], Outcome] = {}
        if resume and self._json.is_file():
            for entry in json.loads(self._json.read_text("utf-8"))["cases"]:
                kidneys = tuple(
                    Kidney(**k | {name: tuple(k[name]) for name in ("slices", "centroid_mm")})
                    for k in entry["kidneys"]
                )
                kept = entry | {"kidneys": kidneys}
                kept |= {name: tuple(entry[name]) for name in ("wrong", "remarks")}
                self._known[entry["scan"], entry["variant"]] = Outcome(**kept)

    def get(self, scan: str, variant: str) -> Outcome | None:
        """What is known of a case."""
        return self._known.get((scan, variant))

    def keep(self, outcome: Outcome) -> None:
        """Add a case, and write all of them."""
        self._known[outcome.scan, outcome.variant] = outcome
        outcomes = self.outcomes()
        content = {"cases": [asdict(one) for one in outcomes]}
        self._json.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        self._page.write_text(table(outcomes) + "\n", "utf-8")

    def outcomes(self) -> list[Outcome]:
        """All that are known, in order."""
        return list(self._known.values())


def table(outcomes: Sequence[Outcome]) -> str:
    """A row for each scan, and a line for everything that is wrong."""
    lines = ["| scan | cases | failed | wrong | kidneys whole in a copy | largest difference |"]
    lines += ["|---|---|---|---|---|---|"]
    for scan in dict.fromkeys(one.scan for one in outcomes):
        own = [one for one in outcomes if one.scan == scan]
        shares = [s for one in own for s in (one.differences or {}).values()]
        largest = f"{100 * max(shares, key=abs):+.1f} %" if shares else "–"
        failed = sum(bool(one.problem) for one in own)
        wrong = sum(bool(one.wrong) for one in own)
        lines.append(f"| {scan} | {len(own)} | {failed} | {wrong} | {len(shares)} | {largest} |")
    for one in outcomes:
        lines += [f"* wrong: {one.scan} {one.variant}: {words}" for words in one.wrong]
    for one in outcomes:
        lines += [f"* remark: {one.scan} {one.variant}: {words}" for words in one.remarks]
    return "\n".join(lines)
