"""Show a comparison: tables for the terminal, CSV, JSON and a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from markupsafe import Markup

from renalis.charts.distributions import box_plot
from renalis.evaluation.comparison import Comparison, Stratum
from renalis.evaluation.evaluated_systems import System
from renalis.evaluation.page import Plot, Table, number, rendered, with_interval
from renalis.evaluation.records import plain
from renalis.evaluation.statistics import FEWEST, Difference
from renalis.evaluation.training_overlap import first_names, seen_sentences
from renalis.io.csv_text import csv_text

__all__ = ["comparison_csv", "comparison_json", "comparison_page", "tables"]


def tables(comparison: Comparison) -> list[Table]:
    """All tables of a comparison."""
    found = [_scores(comparison.overall)]
    if comparison.seen:
        rows = [
            [name, str(len(cases)), first_names(cases)] for name, cases in comparison.seen.items()
        ]
        note = "Scores of these cases are no test of the system: it learned from them, or was "
        note += "validated with them."
        found.append(Table("Seen in training", ("system", "cases", "which"), rows, note))
    if comparison.ranking:
        rows = [
            [str(p.place), p.system, f"{p.mean_rank:.1f}"]
            + [f"{v:.5f}" for v in (p.mean_dice, p.mean_surface_dice, p.tumor_dice)]
            for p in comparison.ranking
        ]
        header = ("place", "system", "mean rank", "mean Dice", "mean surface Dice", "tie breaker")
        note = "Ranked by mean Dice and by mean surface Dice, then by the mean of both ranks; ties "
        found.append(Table("KiTS ranking", header, rows, note + "go to the higher tumor Dice."))
    if comparison.tests:
        found.append(_tests(comparison))
    return found + [_scores(s) for s in comparison.strata]


def comparison_csv(comparison: Comparison) -> str:
    """The tests, one row each."""
    numbers = ("n", "mean", "median", "low", "high", "p_permutation", "p_wilcoxon")
    rows = []
    for test in comparison.tests:
        values = [getattr(test.difference, name) for name in numbers]
        row = [test.first, test.second, test.region, test.metric]
        cells = ["" if math.isnan(v) else f"{v:.8g}" for v in (*values, test.p_holm)]
        rows.append([*row, *cells])
    return csv_text(["first", "second", "region", "metric", *numbers, "p_holm"], rows)


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Everything as JSON."""
    return {
        "format": "renalis-comparison-1",
        "renalis": version("renalis"),
        **plain(comparison),
    }


def comparison_page(comparison: Comparison, systems: Sequence[System]) -> str:
    """The page of a comparison."""
    plots = []
    first = systems[0]
    for region in next(iter(comparison.overall.summaries.values())):
        groups = {s.name: [s.value(c, region, "dice") for c in comparison.cases] for s in systems}
        name = region.replace("_", " ")
        plots.append(Plot(f"Dice, {name}", Markup(box_plot(groups, "Dice"))))
        for other in systems[1:]:
            deltas = [
                other.value(c, region, "dice") - first.value(c, region, "dice")
                for c in comparison.cases
            ]
            title = f"Dice of {name}: {other.name} − {first.name}"
            plots.append(Plot(title, Markup(box_plot({other.name: deltas}, "difference", -1, 1))))
    return rendered(
        title="Systems compared",
        how=f"{len(comparison.cases)} cases that every system has: "
        + ", ".join(s.name for s in systems),
        warnings=[
            f"{name}, {sentence}"
            for name, cases in comparison.seen.items()
            for sentence in seen_sentences(cases, len(comparison.cases))
        ],
        tables=tables(comparison),
        plots=plots,
    )


def _scores(stratum: Stratum) -> Table:
    """Scores of all systems in one group of cases."""
    rows = []
    for system, found in stratum.summaries.items():
        for region, metrics in found.items():
            rows.append(
                [
                    system,
                    region.replace("_", " "),
                    str(metrics["dice"].n),
                    with_interval(metrics["dice"]),
                    with_interval(metrics["surface_dice"]),
                    with_interval(metrics["hd95_mm"], 1),
                    with_interval(metrics["absolute_volume_error_ml"], 1),
                ]
            )
    title = "All cases" if stratum.by == "all" else f"By {stratum.by}: {stratum.group}"
    header = ("system", "region", "n", "Dice", "surface Dice", "HD95 (mm)", "|volume error| (ml)")
    return Table(f"{title} ({stratum.n} cases)", header, rows)


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else number(value, 4)


def _with_interval(found: Difference) -> str:
    """Mean difference with its interval, if there are enough cases for one."""
    if math.isnan(found.low):
        return f"{found.mean:+.4f}"
    return f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


def _tests(comparison: Comparison) -> Table:
    """Differences with their tests."""
    rows = [
        [
            f"{t.second} − {t.first}",
            t.region.replace("_", " "),
            t.metric.replace("_", " "),
            str(t.difference.n),
            _with_interval(t.difference),
            *(_p(v) for v in (t.difference.p_permutation, t.difference.p_wilcoxon, t.p_holm)),
        ]
        for t in comparison.tests
    ]
    header = ("systems", "region", "metric", "n", "mean difference (95 % CI)")
    return Table(
        "Paired tests",
        (*header, "p permutation", "p Wilcoxon", "p Holm"),
        rows,
        "Studentized bootstrap of the mean difference; paired permutation test of it by changes of "
        "sign; Wilcoxon's signed-rank test, both two-sided and exact in few cases; Holm's "
        f"correction of Wilcoxon's over all rows. Below {FEWEST} cases there is none of these.",
    )
