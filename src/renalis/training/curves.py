"""``curves.html``: what was learned over the epochs, as one file that needs nothing else."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from renalis.io import whole_file
from renalis.training.history import Epoch, History
from renalis.training.stopping import kept_epoch
from renalis.training.training_dice import DICE

__all__ = [
    "COLORS",
    "Series",
    "axis",
    "chart",
    "curves_page",
    "grid_line",
    "page",
    "section",
    "write_curves",
]

Points = Sequence[tuple[int, float]]

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 60, 12, 12, 34
# Okabe and Ito: told apart with every kind of color vision.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a")
_DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 2")

_WORDS = {"loss": "training loss", DICE: "training Dice"}

_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.45 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.3rem}h2{font-size:1rem;margin:1.6rem 0 .3rem}
svg{width:100%;height:auto;display:block}svg text{fill:currentColor;font-size:12px}
.grid{stroke:currentColor;stroke-opacity:.15}.line{fill:none;stroke-width:2}
ul.key{list-style:none;margin:.2rem 0;padding:0;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem}
.key svg{display:inline-block;width:28px;height:10px;vertical-align:middle;margin-right:.35rem}
p.note{opacity:.75}
"""


@dataclass(frozen=True)
class Series:
    """One line of a chart: points ``(epoch from 1 on, value)``."""

    name: str
    points: Points
    color: str
    dash: str = ""


def write_curves(path: Path, title: str, histories: Mapping[str, History]) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
        The page; replaced when it is complete.
    title : str
        Heading.
    histories : mapping of str to History
        Trainings to show together, such as folds, by name.

    Raises
    ------
    OutputError
        If the page cannot be written.
    """
    with whole_file(path) as file:
        file.write(curves_page(title, histories).encode())


def curves_page(title: str, histories: Mapping[str, History]) -> str:
    """The page as text."""
    losses = _series(histories, lambda name: name.endswith("loss"), terms=False)
    scores = _series(histories, lambda name: not name.endswith("loss"), terms=False)
    terms = _series(histories, lambda name: name not in ("loss", DICE), terms=True)
    rates = [
        Series(
            name or "rate", [(e.number + 1, e.rate) for e in history], COLORS[0], _dash(position)
        )
        for position, (name, history) in enumerate(histories.items())
    ]
    parts = [
        section("Loss", losses),
        section("Scores", scores),
        section("Terms of the training loss", terms) if len({s.color for s in terms}) > 1 else "",
        section("Learning rate", rates, logarithmic=True),
    ]
    notes = "".join(
        f'<p class="note">{_words(name, history)}</p>' for name, history in histories.items()
    )
    return page(title, notes + "".join(parts))


def page(title: str, body: str) -> str:
    """A page that needs nothing else, around a body of HTML."""
    escaped = html.escape(title)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escaped}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escaped}</h1>{body}</body></html>\n"
    )


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
        return HEIGHT - BOTTOM - (place - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

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


def grid_line(y: float, value: float) -> str:
    """A line across a chart at height ``y`` (pixels from the top), with its value beside it."""
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'
    )


def axis(
    values: Sequence[float], logarithmic: bool, zero: bool = True
) -> tuple[float, float, list[float]]:
    """Ends of the axis (as powers of ten when logarithmic) and the values to mark.

    ``zero``: an axis that is not logarithmic reaches 0.
    """
    if logarithmic:
        powers = [math.log10(value) for value in values] or [0.0]
        first, last = math.floor(min(powers)), math.floor(max(powers)) + 1
        return first, last, [10.0**power for power in range(first, last + 1)]
    whole = [*values, 0.0] if zero or not values else list(values)
    low, high = min(whole), max(whole)
    if high == low:
        high = low + 1
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step = next(step * m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= 6)
    marks = range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)
    return marks[0] * step, marks[-1] * step, [step * i for i in marks]


def _series(
    histories: Mapping[str, History], wanted: Callable[[str], bool], terms: bool
) -> list[Series]:
    result: list[Series] = []
    colors: dict[str, str] = {}
    for position, (run, history) in enumerate(histories.items()):
        for name in sorted({key for epoch in history for key in _values(epoch, terms)}):
            if not wanted(name):
                continue
            color = colors.setdefault(name, COLORS[len(colors) % len(COLORS)])
            points = [
                (epoch.number + 1, _values(epoch, terms)[name])
                for epoch in history
                if name in _values(epoch, terms)
            ]
            label = _WORDS.get(name, name.replace("_", " "))
            result.append(
                Series(f"{run}: {label}" if run else label, points, color, _dash(position))
            )
    return result


def _values(epoch: Epoch, terms: bool) -> dict[str, float]:
    if terms:
        return dict(epoch.train)
    return {name: epoch.train[name] for name in ("loss", DICE) if name in epoch.train} | dict(
        epoch.validation
    )


def _dash(position: int) -> str:
    return _DASHES[position % len(_DASHES)]


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


def _words(name: str, history: History) -> str:
    if not history:
        return f"{html.escape(name)}: no epoch is finished."
    last = history[-1]
    start = f"{html.escape(name)}: " if name else ""
    text = f"{start}{len(history)} epochs, {last.steps} optimizer steps; last training loss "
    text += f"{last.train['loss']:.4f}"
    if any("val_dice" in epoch.validation for epoch in history):
        best = kept_epoch("best_dice", history)
        text += f"; best validation Dice {history[best].validation['val_dice']:.4f} in epoch "
        text += f"{best + 1}"
    return text + "."
