"""``tune.html``: what a search tried and what came of it, as one file that needs nothing else."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renalis.io import whole_file
from renalis.training.curves import (
    BOTTOM,
    COLORS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Series,
    axis,
    chart,
    grid_line,
    page,
)
from renalis.tuning.rows import State, TrialRow, best_row, plain, summary
from renalis.tuning.search import Choice, Search

__all__ = ["tune_page", "write_page"]

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


def write_page(path: Path, title: str, search: Search, rows: Sequence[TrialRow]) -> None:
    """Write the page.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with whole_file(path) as file:
        file.write(tune_page(title, search, rows).encode())


def tune_page(title: str, search: Search, rows: Sequence[TrialRow]) -> str:
    """The page as text: curves, values over trials and over each field, and the table."""
    best = best_row(rows, search.higher_is_better)
    name = search.metric.replace("_", " ").replace("val dice", "validation Dice")
    words = html.escape(f"{summary(rows)}, {'highest' if search.higher_is_better else 'lowest'} ")
    note = f'<p class="note">{words}{name} wanted.'
    if best is not None:
        note += f" Best: trial {best.number} with {best.value:.4f}, on the cases that were chosen "
        note += "by, so a little too good."
    key = (
        f"<p>{_dot(_COLOR['complete'], True)} complete {_dot(_COLOR['pruned'], False)} pruned "
        f"{_dot(COLORS[1], True)} best</p>"
    )
    curves = [
        Series(f"trial {row.number}", list(row.by_epoch.items()), _color(row, best))
        for row in sorted(rows, key=lambda row: row is best)
        if row.by_epoch
    ]
    seen = [row for row in rows if row.value is not None]
    parts = [_STYLE, f"{note}</p>", key]
    parts.append(_titled("By trial", _scatter(seen, best, _numbers([r.number for r in seen]))))
    for field, space in search.fields.items():
        values = [row.fields[field] for row in seen]
        if isinstance(space, Choice):
            across = _words(values, space.choice)
        else:
            across = _numbers(values, space.log)
        parts.append(_titled(field, _scatter(seen, best, across)))
    if curves:
        parts.append(_titled("By epoch", chart(curves, f"{name} by epoch")))
    return page(title, "".join([*parts, _table(search, rows, best)]))


@dataclass(frozen=True)
class _Across:
    """The axis from left to right: a place from 0 to 1 of each value, and labels at places."""

    places: Sequence[float]
    labels: Sequence[tuple[float, str]]


def _numbers(values: Sequence[float], logarithmic: bool = False) -> _Across:
    low, high, ticks = axis(values, logarithmic, zero=False)
    scale: Callable[[float], float] = math.log10 if logarithmic else float

    def place(value: float) -> float:
        return (scale(value) - low) / (high - low)

    return _Across([place(v) for v in values], [(place(t), f"{t:.4g}") for t in ticks])


def _words(values: Sequence[Any], choices: Sequence[Any]) -> _Across:
    texts = [plain(choice) for choice in choices]
    places = {text: (i + 0.5) / len(texts) for i, text in enumerate(texts)}
    most = max(6, 100 // len(texts))
    short = {text: text if len(text) <= most else f"{text[: most - 1]}…" for text in texts}
    return _Across(
        [places[plain(value)] for value in values], [(places[t], short[t]) for t in texts]
    )


def _scatter(rows: Sequence[TrialRow], best: TrialRow | None, across: _Across) -> str:
    """Values of trials, a dot each that says which it is on hovering; the best lies on top."""
    if not rows:
        return '<p class="note">No trial has a value yet.</p>'
    low, high, ticks = axis([row.value or 0.0 for row in rows], False, zero=False)

    def x(place: float) -> float:
        return LEFT + 10 + place * (WIDTH - LEFT - RIGHT - 20)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    out = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    out += [grid_line(y(tick), tick) for tick in ticks]
    for place, label in across.labels:
        out.append(
            f'<text x="{x(place):.1f}" y="{HEIGHT - 14}" text-anchor="middle">'
            f"{html.escape(label)}</text>"
        )
    placed = sorted(zip(rows, across.places, strict=True), key=lambda pair: pair[0] is best)
    for row, place in placed:
        fill = _color(row, best) if row.state == "complete" else "none"
        told = [f"trial {row.number}, {row.state}: {row.value:.5g}"]
        told += [f"{field} {plain(value)}" for field, value in row.fields.items()]
        out.append(
            f'<circle cx="{x(place):.1f}" cy="{y(row.value or 0.0):.1f}" r="5" fill="{fill}" '
            f'stroke="{_color(row, best)}" stroke-width="2" pointer-events="all">'
            f"<title>{html.escape(chr(10).join(told))}</title></circle>"
        )
    return "".join(out) + "</svg>"


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


def _dot(color: str, filled: bool) -> str:
    fill = color if filled else "none"
    return (
        '<svg viewBox="0 0 12 12" style="display:inline-block;width:12px;height:12px">'
        f'<circle cx="6" cy="6" r="4" fill="{fill}" stroke="{color}" stroke-width="2"/></svg>'
    )


def _titled(title: str, body: str) -> str:
    return f"<h2>{html.escape(title)}</h2>{body}"
