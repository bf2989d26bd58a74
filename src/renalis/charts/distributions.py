"""Plots as inline SVG: box plots and Bland–Altman plots, readable without colors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np

__all__ = ["bland_altman", "box_plot"]

_FONT = 'font-family="system-ui, sans-serif" font-size="12"'
_LEFT, _TOP, _HEIGHT = 52, 14, 220


def box_plot(
    groups: Mapping[str, Sequence[float]], label: str, low: float = 0.0, high: float = 1.0
) -> str:
    """Boxes of several groups side by side.

    Box: quartiles and median; whiskers: the farthest values within 1.5 box lengths (Tukey); every
    case is a dot, the mean a diamond.

    Parameters
    ----------
    groups : mapping of str to sequence of float
        Values by group; NaN values are left out.
    label : str
        Name of the axis.
    low, high : float
        Range of the axis.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    step = 112
    width = _LEFT + step * max(len(groups), 1) + 12

    def y(value: float) -> float:
        return _TOP + _HEIGHT * (high - value) / (high - low)

    parts = _axis(low, high, y, width, label)
    rng = np.random.default_rng(0)
    for k, (name, values) in enumerate(groups.items()):
        data = np.asarray(values, dtype=np.float64)
        data = np.sort(data[np.isfinite(data)])
        x = _LEFT + step * (k + 0.5)
        parts.append(
            f'<text x="{x}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle" {_FONT}>'
            f"{escape(name)} ({len(data)})</text>"
        )
        if not len(data):
            continue
        q1, median, q3 = np.percentile(data, [25, 50, 75])
        reach = 1.5 * (q3 - q1)
        whisker = data[(data >= q1 - reach) & (data <= q3 + reach)]
        dots = rng.uniform(-16, 16, len(data))
        parts += [
            f'<circle cx="{x + dx:.1f}" cy="{y(v):.1f}" r="2.2" fill="#2b6cb0" opacity="0.45"/>'
            for dx, v in zip(dots, data, strict=True)
        ]
        ends = float(whisker.min(initial=q1)), float(whisker.max(initial=q3))
        mean = y(float(data.mean()))
        parts += [
            _line(x, y(ends[0]), x, y(q1)),
            _line(x, y(q3), x, y(ends[1])),
            *(_line(x - 9, y(end), x + 9, y(end)) for end in ends),
            f'<rect x="{x - 24}" y="{y(q3):.1f}" width="48" height="{max(y(q1) - y(q3), 0.5):.1f}" '
            'fill="none" stroke="#222" stroke-width="1.4"/>',
            _line(x - 24, y(median), x + 24, y(median), width=2.4),
            f'<path d="M{x} {mean - 4:.1f}l4 4l-4 4l-4 -4z" fill="#222"/>',
        ]
    return _svg(width, _TOP + _HEIGHT + 28, parts, label)


def bland_altman(
    reference: Sequence[float], prediction: Sequence[float], names: Sequence[str], unit: str
) -> str:
    """Difference against mean of two measurements (Bland and Altman, Lancet 1986).

    Lines show the mean difference and the limits of agreement (1.96 standard deviations).

    Parameters
    ----------
    reference, prediction : sequence of float
        Paired measurements.
    names : sequence of str
        Names of the cases, shown when the pointer rests on a dot.
    unit : str
        Unit of the measurements.
    """
    one, two = np.asarray(reference, np.float64), np.asarray(prediction, np.float64)
    middle, delta = (one + two) / 2, two - one
    bias = float(delta.mean()) if len(delta) else 0.0
    spread = 1.96 * float(delta.std(ddof=1)) if len(delta) > 1 else 0.0
    extreme = max([abs(bias) + spread, *np.abs(delta)], default=1.0) * 1.1 or 1.0
    right = float(middle.max(initial=0.0)) * 1.05 or 1.0
    width, inner = 470, 320

    def y(value: float) -> float:
        return _TOP + _HEIGHT * (extreme - value) / (2 * extreme)

    parts = _axis(-extreme, extreme, y, _LEFT + inner, f"prediction − reference ({unit})")
    for value, text in (
        (bias, f"mean {_short(bias)}"),
        (bias + spread, f"+1.96 SD {_short(bias + spread)}"),
        (bias - spread, f"−1.96 SD {_short(bias - spread)}"),
    ):
        dash = "" if value == bias else ' stroke-dasharray="5 4"'
        parts.append(
            f'<line x1="{_LEFT}" x2="{_LEFT + inner}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            f'stroke="#b03a2e"{dash}/>'
            f'<text x="{_LEFT + inner + 4}" y="{y(value) + 4:.1f}" {_FONT}>{text}</text>'
        )
    for m, d, name in zip(middle, delta, names, strict=True):
        parts.append(
            f'<circle cx="{_LEFT + inner * m / right:.1f}" cy="{y(d):.1f}" r="3" fill="#2b6cb0" '
            f'opacity="0.7"><title>{escape(name)}: {_short(float(d))} {unit}</title></circle>'
        )
    parts.append(
        f'<text x="{_LEFT + inner / 2}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle" {_FONT}>'
        f"mean of both, 0 to {_short(right)} {unit}</text>"
    )
    return _svg(width, _TOP + _HEIGHT + 28, parts, "Bland–Altman plot")


def _axis(
    low: float, high: float, y: Callable[[float], float], right: float, label: str
) -> list[str]:
    """Vertical axis with five ticks and the axis's name."""
    parts = []
    for value in np.linspace(low, high, 5):
        place, words = y(float(value)), _short(float(value))
        parts.append(
            f'<line x1="{_LEFT}" x2="{right}" y1="{place:.1f}" y2="{place:.1f}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 5}" y="{place + 4:.1f}" text-anchor="end" {_FONT}>{words}</text>'
        )
    parts.append(
        f'<text x="12" y="{_TOP + _HEIGHT / 2}" text-anchor="middle" {_FONT} '
        f'transform="rotate(-90 12 {_TOP + _HEIGHT / 2})">{escape(label)}</text>'
    )
    return parts


def _short(value: float) -> str:
    """A number in three digits, never as a power of ten."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _line(x1: float, y1: float, x2: float, y2: float, width: float = 1.4) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="#222" stroke-width="{width}"/>'
    )


def _svg(width: float, height: float, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        f'role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )
