"""Dots over numbers or words, each of which says what it is on hovering."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from renalis.charts.axes import HEIGHT, LEFT, RIGHT, WIDTH, axis, grid_line, height

__all__ = ["Across", "Dot", "key_dot", "numbers", "scatter", "words"]


@dataclass(frozen=True)
class Across:
    """The axis from left to right: a place from 0 to 1 of each value, and labels at places."""

    places: Sequence[float]
    labels: Sequence[tuple[float, str]]


def numbers(values: Sequence[float], logarithmic: bool = False) -> Across:
    """Places of numbers, on a logarithmic axis where that is wanted."""
    low, high, ticks = axis(values, logarithmic, zero=False)
    scale: Callable[[float], float] = math.log10 if logarithmic else float

    def place(value: float) -> float:
        return (scale(value) - low) / (high - low)

    return Across([place(v) for v in values], [(place(t), f"{t:.4g}") for t in ticks])


def words(values: Sequence[str], choices: Sequence[str]) -> Across:
    """Places of words, in the order of the choices; long ones are cut."""
    places = {text: (i + 0.5) / len(choices) for i, text in enumerate(choices)}
    most = max(6, 100 // len(choices))
    short = {text: text if len(text) <= most else f"{text[: most - 1]}…" for text in choices}
    return Across([places[value] for value in values], [(places[t], short[t]) for t in choices])


@dataclass(frozen=True)
class Dot:
    """One dot: its value (mm, Dice, whatever the axis upwards counts), looks and words."""

    value: float
    fill: str
    stroke: str
    words: str


def scatter(dots: Sequence[Dot], across: Across) -> str:
    """An SVG of dots, each of which says what it is on hovering; later ones lie on top.

    Parameters
    ----------
    dots : sequence of Dot
        At least one.
    across : Across
        The axis from left to right, with a place for each dot.
    """
    low, high, ticks = axis([dot.value for dot in dots], False, zero=False)

    def x(place: float) -> float:
        return LEFT + 10 + place * (WIDTH - LEFT - RIGHT - 20)

    out = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    out += [grid_line(height(tick, low, high), tick) for tick in ticks]
    for place, label in across.labels:
        out.append(
            f'<text x="{x(place):.1f}" y="{HEIGHT - 14}" text-anchor="middle">'
            f"{html.escape(label)}</text>"
        )
    for dot, place in zip(dots, across.places, strict=True):
        out.append(
            f'<circle cx="{x(place):.1f}" cy="{height(dot.value, low, high):.1f}" r="5" '
            f'fill="{dot.fill}" stroke="{dot.stroke}" stroke-width="2" pointer-events="all">'
            f"<title>{html.escape(dot.words)}</title></circle>"
        )
    return "".join(out) + "</svg>"


def key_dot(color: str, filled: bool) -> str:
    """A dot for a key, in the middle of text."""
    fill = color if filled else "none"
    return (
        '<svg viewBox="0 0 12 12" style="display:inline-block;width:12px;height:12px">'
        f'<circle cx="6" cy="6" r="4" fill="{fill}" stroke="{color}" stroke-width="2"/></svg>'
    )
