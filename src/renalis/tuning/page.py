"""``tune.html``: what a search tried and what came of it, as one file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from renalis.charts.axes import COLORS
from renalis.charts.lines import Series, chart
from renalis.charts.page import page, titled
from renalis.charts.scatter import Across, Dot, key_dot, numbers, scatter, words
from renalis.tuning.search import Categorical, Search
from renalis.tuning.trial_table import State, TrialRow, best_row, plain, summary

__all__ = ["tune_page"]

_COLOR: dict[State, str] = {
    "complete": COLORS[0],
    "pruned": COLORS[4],
    "failed": COLORS[6],
    "interrupted": COLORS[6],
}
_STYLE = (
    "<style>table{border-collapse:collapse;font-size:13px;display:block;overflow-x:auto}"
    "td,th{padding:.15rem .6rem;text-align:left;border-bottom:1px solid #8884;white-space:nowrap}"
    "tr.best{font-weight:bold}td.note{white-space:normal;opacity:.75}</style>"
)


def tune_page(title: str, search: Search, rows: Sequence[TrialRow]) -> str:
    """The page as text: curves, values over trials and over each field, and the table."""
    best = best_row(rows, search.higher_is_better)
    name = search.metric.replace("_", " ").replace("val dice", "validation Dice")
    trials = html.escape(f"{summary(rows)}, {'highest' if search.higher_is_better else 'lowest'} ")
    note = f'<p class="note">{trials}{name} wanted.'
    if best is not None:
        note += f" Best: trial {best.number} with {best.value:.4f}, on the cases that were chosen "
        note += "by, so a little too good."
    key = (
        f"<p>{key_dot(_COLOR['complete'], True)} complete {key_dot(_COLOR['pruned'], False)} "
        f"pruned {key_dot(COLORS[1], True)} best</p>"
    )
    curves = [
        Series(f"trial {row.number}", list(row.by_epoch.items()), _color(row, best))
        for row in sorted(rows, key=lambda row: row is best)
        if row.by_epoch
    ]
    seen = [row for row in rows if row.value is not None]
    parts = [_STYLE, f"{note}</p>", key]
    parts.append(titled("By trial", _scatter(seen, best, numbers([r.number for r in seen]))))
    for field, space in search.fields.items():
        values = [row.fields[field] for row in seen]
        if isinstance(space, Categorical):
            across = words([plain(v) for v in values], [plain(c) for c in space.choice])
        else:
            across = numbers(values, space.log)
        parts.append(titled(field, _scatter(seen, best, across)))
    if curves:
        parts.append(titled("By epoch", chart(curves, f"{name} by epoch")))
    return page(title, "".join([*parts, _table(search, rows, best)]))


def _scatter(rows: Sequence[TrialRow], best: TrialRow | None, across: Across) -> str:
    """Values of trials; the best lies on top."""
    if not rows:
        return '<p class="note">No trial has a value yet.</p>'
    placed = sorted(zip(rows, across.places, strict=True), key=lambda pair: pair[0] is best)
    dots = []
    for row, _ in placed:
        told = [f"trial {row.number}, {row.state}: {row.value:.5g}"]
        told += [f"{field} {plain(value)}" for field, value in row.fields.items()]
        fill = _color(row, best) if row.state == "complete" else "none"
        dots.append(Dot(row.value or 0.0, fill, _color(row, best), "\n".join(told)))
    return scatter(dots, Across([place for _, place in placed], across.labels))


def _table(search: Search, rows: Sequence[TrialRow], best: TrialRow | None) -> str:
    head = ["trial", "state", search.metric, *search.fields, "epochs", "minutes"]
    out = ["<h2>All trials</h2><table><tr>", *(f"<th>{html.escape(h)}</th>" for h in head), "</tr>"]
    for row in rows:
        value = "" if row.value is None else f"{row.value:.4f}"
        cells = [str(row.number), row.state, value]
        cells += [_short(row.fields[key]) for key in search.fields]
        cells += [str(max(row.by_epoch, default=0)), f"{row.seconds / 60:.1f}"]
        out.append('<tr class="best">' if row is best else "<tr>")
        out += [f"<td>{html.escape(cell)}</td>" for cell in cells]
        out.append("</tr>")
        if row.note:
            note = html.escape(row.note)
            out.append(f'<tr><td></td><td class="note" colspan="{len(head) - 1}">{note}</td></tr>')
    return "".join(out) + "</table>"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else plain(value)


def _color(row: TrialRow, best: TrialRow | None) -> str:
    return COLORS[1] if row is best else _COLOR[row.state]
