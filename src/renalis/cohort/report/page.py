"""The page of a cohort."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from renalis.charts.histogram import histogram
from renalis.charts.page import look, page
from renalis.cohort.report.cards import MOST_CARDS, cards, link_to
from renalis.cohort.report.case_rows import MOST_ROWS, case_rows, table_order
from renalis.cohort.report.cohort_facts import CohortFacts, Trouble
from renalis.cohort.report.doubt import doubtful_tenth, most_doubtful_first, remarks
from renalis.cohort.report.far_out import FarOut, far_out, how_many
from renalis.cohort.report.outliers import FEWEST, REACH
from renalis.pipeline.table import MANIFEST, TABLE
from renalis.report.html import content_policy

__all__ = ["render"]

_MOST_SENTENCES = 500
_MOST_OF_A_CAUSE = 100
_MOST_FAR_OUT = 25


@dataclass(frozen=True)
class _Cause:
    """Failures of one cause."""

    name: str
    count: int
    shown: Sequence[Trouble]


def render(
    output: Path,
    cohort: CohortFacts,
    total: int | None = None,
    preview: Callable[[str], Path] | None = None,
) -> str:
    """The text of the page.

    Parameters
    ----------
    output : Path
        The cohort's folder.
    cohort : CohortFacts
        From `renalis.cohort.report.cohort_facts.gather`.
    total : int, optional
        How many scans there are in all, where a run knows it.
    preview : callable, optional
        Where a case's picture lies; in its folder if not given.
    """
    found = far_out(cohort)
    far_counts = how_many(found, len(cohort))
    order = most_doubtful_first(cohort, far_counts)
    tenth = order[: doubtful_tenth(len(order))]
    table = table_order(cohort, order)
    body = _template("cohort.html").render(
        counts=cohort.counts,
        cases=len(cohort),
        measured=len(order),
        not_begun=max(0, (total or 0) - len(cohort)),
        causes=_causes(cohort, "failed"),
        incomplete=_causes(cohort, "incomplete"),
        tenth=len(tenth),
        cards=cards(output, cohort, tenth, _sentences(cohort, found, tenth[:MOST_CARDS]), preview),
        most_cards=MOST_CARDS,
        sure=sum(not math.isnan(value) for value in cohort.confidence),
        agreed=any(not math.isnan(value) for value in cohort.agreement),
        far=[_far(cohort, one) for one in found if len(one.cases)],
        no_rule=[one.quantity.title for one in found if one.quantity.watched and not one.usual],
        reach=REACH,
        fewest=FEWEST,
        charts=_charts(cohort, found),
        run=cohort.run,
        peak=_memory(cohort),
        per_hour=_per_hour(cohort.run.cases_per_hour),
        busy=_duration(cohort.run.busy_s),
        files=[name for name in (TABLE, MANIFEST) if (output / name).is_file()],
        left_out=max(0, len(table) - MOST_ROWS),
        rows=Markup(case_rows(cohort, table, tenth, found, remarks(cohort, far_counts))),
        version=metadata.version("renalis"),
    )
    style, script = _asset("cohort.css"), _asset("cohort.js")
    policy = content_policy(look(style), script)
    return page(f"Cohort of {max(total or 0, len(cohort))} scans", body, style, script, policy)


def _causes(cohort: CohortFacts, status: str) -> list[_Cause]:
    """Troubles of a status by cause, the most frequent first; sentences as many as a page bears."""
    by_cause: dict[str, list[Trouble]] = {}
    for one in cohort.troubles:
        if one.status == status:
            by_cause.setdefault(one.cause or "cause unknown", []).append(one)
    ordered = sorted(by_cause.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    most = max(10, min(_MOST_OF_A_CAUSE, _MOST_SENTENCES // max(1, len(ordered))))
    return [_Cause(name, len(cases), cases[:most]) for name, cases in ordered]


def _sentences(
    cohort: CohortFacts, found: Sequence[FarOut], shown: Sequence[int]
) -> dict[int, list[str]]:
    """What lies far out of some cases, in words."""
    wanted, said = set(shown), dict[int, list[str]]()
    for one in found:
        for index in one.cases.tolist():
            if index in wanted and one.usual is not None:
                value = _amount(float(one.values[index]), one.quantity.unit)
                usual = _amount(one.usual.median, one.quantity.unit)
                said.setdefault(index, []).append(
                    f"{one.quantity.title}: {value}, where the cohort's median is {usual}"
                )
    return said


def _far(cohort: CohortFacts, one: FarOut) -> Mapping[str, Any]:
    """A quantity and its farthest cases."""
    assert one.usual is not None  # or no case could lie far out
    unit = one.quantity.unit
    return {
        "title": one.quantity.title,
        "median": _amount(one.usual.median, unit),
        "low": _amount(one.usual.low, unit),
        "high": _amount(one.usual.high, unit),
        "count": len(one.cases),
        "known": int(np.isfinite(one.values).sum()),
        "more": max(0, len(one.cases) - _MOST_FAR_OUT),
        "cases": [
            (cohort.names[index], link_to(cohort, index), _amount(float(one.values[index]), unit))
            for index in one.cases[:_MOST_FAR_OUT].tolist()
        ],
    }


def _charts(cohort: CohortFacts, found: Sequence[FarOut]) -> list[tuple[str, str, Markup]]:
    """Title, numbers and drawing of each quantity that any case has."""
    drawn = []
    for one in found:
        quantity = one.quantity
        known = int(np.isfinite(one.values).sum())
        if known:
            ends = one.usual
            usual = None if ends is None else (ends.low, ends.median, ends.high)
            svg = histogram(
                one.values,
                quantity.title,
                quantity.unit,
                quantity.logarithmic,
                quantity.whole,
                usual,
            )
            drawn.append((quantity.title, _numbers(one.values, quantity.unit), Markup(svg)))
    lesions = np.array(cohort.lesion_mm, np.float64)
    if len(lesions):
        svg = histogram(lesions, "Diameter of each lesion", "mm", logarithmic=True)
        drawn.append(("Diameter of each lesion", _numbers(lesions, "mm"), Markup(svg)))
    return drawn


def _numbers(values: NDArray[np.float64], unit: str) -> str:
    """Median, quartiles and number of values."""
    known = values[np.isfinite(values)]
    low, median, high = np.percentile(known, [25, 50, 75])
    return f"{_amount(median, unit)} ({_amount(low)} to {_amount(high)}), {len(known)} values"


def _memory(cohort: CohortFacts) -> tuple[str, str] | None:
    """Largest and median peak."""
    peaks = np.array(cohort.run.peak_mb, np.float64)
    if not len(peaks):
        return None
    return f"{peaks.max() / 1000:.1f} GB", f"{np.median(peaks) / 1000:.1f} GB"


def _per_hour(rate: float) -> str:
    return "" if math.isnan(rate) else f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"


def _duration(seconds: float) -> str:
    """``12 s``, ``5 min`` or ``3.4 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _amount(value: float, unit: str = "") -> str:
    number = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{number} {unit}".strip()


def _template(name: str) -> Any:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["duration"] = _duration
    return environment.from_string(_asset(name))


def _asset(name: str) -> str:
    """A file of the page; line ends as a browser sees them, or its hash would differ."""
    path = resources.files("renalis.cohort.report").joinpath("templates", name)
    return path.read_text("utf-8").replace("\r\n", "\n")
