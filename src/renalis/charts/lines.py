"""Lines over epochs, with their key."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from renalis.charts.axes import HEIGHT, LEFT, RIGHT, WIDTH, axis, grid_line, height

__all__ = ["Series", "chart", "section"]

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Series:
    """One line of a chart: points ``(epoch from 1 on, value)``."""

    name: str
    points: Points
    color: str
    dash: str = ""


def chart(series: Sequence[Series], label: str, logarithmic: bool = False) -> str:
    """An SVG of lines over epochs, with a value at every point on hovering.

    A logarithmic axis leaves out values that are not positive.
    """
    if logarithmic:
        series = [
            Series(s.name, [p for p in s.points if p[1] > 0], s.color, s.dash) for s in series
        ]
    values = [value for s in series for _, value in s.points]
    last = max((epoch for s in series for epoch, _ in s.points), default=1)
    low, high, ticks = axis(values, logarithmic)

    def x(epoch: float) -> float:
        return LEFT + (epoch - 1) / max(1, last - 1) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        place = math.log10(value) if logarithmic else value
        return height(place, low, high)

    out = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(label)}">']
    out += [grid_line(y(tick), tick) for tick in ticks]
    for epoch in sorted({1, *(round(1 + i * (last - 1) / 6) for i in range(7))}):
        out.append(
            f'<text x="{x(epoch):.1f}" y="{HEIGHT - 16}" text-anchor="middle">{epoch}</text>'
        )
    out.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 2}" text-anchor="end">epoch</text>')
    for one in series:
        line = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in one.points)
        dash = f' stroke-dasharray="{one.dash}"' if one.dash else ""
        out.append(f'<polyline class="line" stroke="{one.color}"{dash} points="{line}"/>')
        if len(one.points) <= 200:
            out += [
                f'<circle cx="{x(epoch):.1f}" cy="{y(value):.1f}" r="3" fill="{one.color}">'
                f"<title>{html.escape(one.name)}, epoch {epoch}: {value:.5g}</title></circle>"
                for epoch, value in one.points
            ]
    return "".join(out) + "</svg>"


def section(title: str, series: Sequence[Series], logarithmic: bool = False) -> str:
    """A chart under a heading, with its key; nothing when there is nothing to show."""
    if not series:
        return ""
    key = "".join(
        f'<li><svg viewBox="0 0 28 10"><line x1="0" x2="28" y1="5" y2="5" stroke="{s.color}" '
        f'stroke-width="2" stroke-dasharray="{s.dash}"/></svg>{html.escape(s.name)}</li>'
        for s in series
    )
    return f'<h2>{title}</h2><ul class="key">{key}</ul>{chart(series, title, logarithmic)}'
