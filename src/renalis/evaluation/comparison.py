"""Compare systems case by case: tests, ranking, strata."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from renalis.conventions import Convention
from renalis.errors import InputError
from renalis.evaluation.evaluated_systems import System
from renalis.evaluation.ranking import Place, rank
from renalis.evaluation.records import limits
from renalis.evaluation.regions import regions
from renalis.evaluation.statistics import Difference, Summary, difference, holm, summary
from renalis.io.natural_order import by_number

__all__ = ["COMPARED", "Comparison", "Stratum", "Test", "compare", "strata"]

COMPARED = ("dice", "surface_dice", "hd95_mm", "mean_surface_mm", "absolute_volume_error_ml")
"""Metrics that are tested; Dice and surface Dice are better when high, the others when low."""

_SIZES = ((0.0, "no tumor"), (40.0, "up to 40 mm"), (70.0, "40 to 70 mm"), (math.inf, "over 70 mm"))
_SLICES = ((1.0, "up to 1 mm"), (3.0, "1 to 3 mm"), (math.inf, "over 3 mm"))
_MOST_GROUPS = 12


@dataclass(frozen=True)
class Test:
    """One metric of one region, second system against first.

    ``p_holm`` is Wilcoxon's p after Holm's correction over all tests of the comparison.
    """

    first: str
    second: str
    region: str
    metric: str
    difference: Difference
    p_holm: float


@dataclass(frozen=True)
class Stratum:
    """A group of cases: summaries by system, region and metric."""

    by: str
    group: str
    n: int
    summaries: dict[str, dict[str, dict[str, Summary]]]


@dataclass(frozen=True)
class Comparison:
    """Everything that is known about some systems.

    Parameters
    ----------
    cases : tuple of str
        Cases that were compared.
    overall : Stratum
        All cases together.
    tests : tuple of Test
        Every pair of systems.
    ranking : tuple of Place
        KiTS ranking; empty when headline scores are missing.
    strata : tuple of Stratum
        Groups of cases.
    seen : dict of str to dict
        By system: compared cases that it has seen in training, and what is known about that.
    """

    cases: tuple[str, ...]
    overall: Stratum
    tests: tuple[Test, ...]
    ranking: tuple[Place, ...]
    strata: tuple[Stratum, ...]
    seen: dict[str, dict[str, str]] = field(default_factory=dict)


def compare(
    systems: Sequence[System],
    cases: Sequence[str],
    groups: Mapping[str, Mapping[str, str]],
    seed: int = 0,
) -> Comparison:
    """Compare systems on the same cases.

    Parameters
    ----------
    systems : sequence of System
        The systems; the first is the baseline of every difference that it takes part in.
    cases : sequence of str
        Cases that all have.
    groups : mapping
        Group of each case, by name of the grouping; see `strata`.
    seed : int
        Of the bootstrap.
    """
    names = [
        r for r in systems[0].scores[cases[0]] if all(r in s.scores[cases[0]] for s in systems)
    ]
    if not names:
        raise InputError("the systems have no region in common")
    found = []
    for first, second in itertools.combinations(systems, 2):
        for region, metric in itertools.product(names, COMPARED):
            delta = difference(
                _values(first, cases, region, metric), _values(second, cases, region, metric), seed
            )
            if delta.n:
                found.append((first.name, second.name, region, metric, delta))
    corrected = holm([delta.p_wilcoxon for *_, delta in found])
    parts = []
    for by, members in groups.items():
        present = sorted({members[c] for c in cases if c in members}, key=by_number)
        order = [name for _, name in (*_SIZES, *_SLICES) if name in present]
        for group in (*order, *(name for name in present if name not in order)):
            inside = [c for c in cases if members.get(c) == group]
            parts.append(
                _stratum(by=by, group=group, systems=systems, cases=inside, names=names, seed=seed)
            )
    return Comparison(
        cases=tuple(cases),
        overall=_stratum(
            by="all", group="all cases", systems=systems, cases=cases, names=names, seed=seed
        ),
        tests=tuple(Test(*row, p_holm=p) for row, p in zip(found, corrected, strict=True)),
        ranking=tuple(_ranking(systems, cases)),
        strata=tuple(parts),
        seen={
            s.name: {c: s.seen[c] for c in cases if c in s.seen}
            for s in systems
            if not s.seen.keys().isdisjoint(cases)
        },
    )


def strata(
    systems: Sequence[System], cases: Sequence[str], columns: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """Group cases by tumor size, slice thickness, and whatever a table says of them.

    Tumor size is the diameter of the ball that has the volume of the reference's tumor (Radboud:
    abnormality); the limits of 40 and 70 mm are those of stages T1a, T1b and T2.

    Raises
    ------
    InputError
        If a column lacks a case or has more than 12 values.
    """
    groups: dict[str, dict[str, str]] = {}
    sizes, slices = {}, {}
    for case in cases:
        for region in ("tumor", "abnormality"):
            ml = systems[0].value(case, region, "reference_ml")
            if math.isfinite(ml):
                sizes[case] = _class((6000 * ml / math.pi) ** (1 / 3), _SIZES)
        if case in systems[0].thickness_mm:
            slices[case] = _class(round(systems[0].thickness_mm[case], 3), _SLICES)
    groups |= {"tumor size": sizes} if sizes else {}
    groups |= {"slice thickness": slices} if slices else {}
    for column, members in columns.items():
        absent = [c for c in cases if c not in members]
        if absent:
            raise InputError(
                f"the table of cases lacks {len(absent)} of {len(cases)} cases "
                f"({', '.join(absent[:5])})"
            )
        values = {members[c] for c in cases}
        if len(values) > _MOST_GROUPS:
            raise InputError(
                f"column {column!r} has {len(values)} different values; group them first, or "
                "choose columns with --by"
            )
        groups[column] = dict(members)
    return groups


def _class(value: float, limits: Sequence[tuple[float, str]]) -> str:
    return next(name for limit, name in limits if value <= limit)


def _values(system: System, cases: Sequence[str], region: str, metric: str) -> list[float]:
    if metric == "absolute_volume_error_ml":
        return [abs(system.value(c, region, "volume_error_ml")) for c in cases]
    return [system.value(c, region, metric) for c in cases]


def _stratum(
    *,
    by: str,
    group: str,
    systems: Sequence[System],
    cases: Sequence[str],
    names: Sequence[str],
    seed: int,
) -> Stratum:
    summaries = {
        s.name: {
            region: {m: summary(_values(s, cases, region, m), seed, limits(m)) for m in COMPARED}
            for region in names
        }
        for s in systems
    }
    return Stratum(by, group, len(cases), summaries)


def _ranking(systems: Sequence[System], cases: Sequence[str]) -> list[Place]:
    """KiTS ranking over the headline regions of the convention, if all systems have them."""
    labels = next((s.labels for s in systems if s.labels), "kits23")
    headline = [r.name for r in regions(Convention(labels)) if r.headline]
    means = {}
    for metric in ("dice", "surface_dice"):
        means[metric] = {
            s.name: [_mean(_values(s, cases, r, metric)) for r in headline] for s in systems
        }
    everything = [v for table in means.values() for row in table.values() for v in row]
    if not np.isfinite(everything).all():
        return []
    return rank(means["dice"], means["surface_dice"])


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if math.isfinite(v)]
    return float(np.mean(known)) if known else math.nan
