"""Histograms as inline SVG: how many cases lie where, with the middle and what is usual."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["histogram"]

_WIDTH, _HEIGHT = 380, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 10, 20, 24
_MOST_BARS = 28


def histogram(
    values: NDArray[np.float64],
    label: str,
    unit: str = "",
    logarithmic: bool = False,
    whole: bool = False,
    usual: tuple[float, float, float] | None = None,
) -> str:
    """An SVG of bars, each of which says its numbers on hovering.

    Values much farther out than what is usual are counted in the bars at the ends, so that a few
    of them do not press all others into one bar; the axis then begins or ends with ≤ or ≥.

    Parameters
    ----------
    values : array
        At least one finite number, positive for a logarithmic axis; NaN is left out.
    label : str
        What is counted, for those who cannot see it.
    unit : str
        Of the values.
    logarithmic : bool
        Whether the axis is.
    whole : bool
        The values are whole numbers: a bar for each as long as there are few.
    usual : tuple of float, optional
        The least that is usual, the median, and the most: dashed lines, and a solid one.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    known = values[np.isfinite(values)]
    scaled = np.log10(known) if logarithmic else known.astype(np.float64)
    first, last = float(scaled.min()), float(scaled.max())
    if usual is not None:
        low, high = (_scaled(v, logarithmic) for v in (usual[0], usual[2]))
        reach = high - low
        first, last = max(first, low - reach / 2), min(last, high + reach / 2)
    edges = _edges(first, last, whole, len(known))
    below, above = int((scaled < edges[0]).sum()), int((scaled > edges[-1]).sum())
    counts = np.histogram(np.clip(scaled, edges[0], edges[-1]), edges)[0]
    most = int(counts.max())

    begin, end = float(edges[0]), float(edges[-1])

    def x(place: float) -> float:
        return _LEFT + (place - begin) / (end - begin) * (_WIDTH - _LEFT - _RIGHT)

    def y(count: float) -> float:
        return _HEIGHT - _BOTTOM - count / most * (_HEIGHT - _TOP - _BOTTOM)

    out = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{html.escape(_words(known, label, unit))}">'
    ]
    for count in (0, most):
        out.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" '
            f'y1="{y(count):.1f}" y2="{y(count):.1f}"/>'
            f'<text x="{_LEFT - 5}" y="{y(count) + 4:.1f}" text-anchor="end">{count}</text>'
        )
    for k, count in enumerate(counts.tolist()):
        if count:
            left, right = x(edges[k]), x(edges[k + 1])
            said = _span(edges, k, logarithmic, whole, below, above)
            out.append(
                f'<rect class="bar" x="{left + 0.5:.1f}" y="{y(count):.1f}" '
                f'width="{max(1.0, right - left - 1):.1f}" height="{y(0) - y(count):.1f}">'
                f"<title>{html.escape(f'{said} {unit}'.strip())}: {count}</title></rect>"
            )
    for value in _ticks(edges, logarithmic, whole):
        place = x(_scaled(value, logarithmic))
        out.append(
            f'<text x="{place:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{value:.4g}</text>'
        )
    if usual is not None:
        for value, kind in zip(usual, ("end", "middle", "end"), strict=True):
            place = _scaled(value, logarithmic)
            if edges[0] <= place <= edges[-1]:
                out.append(
                    f'<line class="mark {kind}" x1="{x(place):.1f}" x2="{x(place):.1f}" '
                    f'y1="{_TOP - 8}" y2="{y(0):.1f}"/>'
                )
    return "".join(out) + "</svg>"


def _scaled(value: float, logarithmic: bool) -> float:
    if not logarithmic:
        return value
    return math.log10(value) if value > 0 else -math.inf


def _edges(first: float, last: float, whole: bool, known: int) -> NDArray[np.float64]:
    """Ends of the bars, more of them for more values; never of no width."""
    if whole:
        step = max(1, math.ceil((last - first + 1) / _MOST_BARS))
        bars = math.ceil((last - first + 1) / step)
        return first - 0.5 + step * np.arange(bars + 1, dtype=np.float64)
    if last - first <= 1e-9 * max(1.0, abs(first)):
        first, last = first - 0.05 * max(1.0, abs(first)), last + 0.05 * max(1.0, abs(last))
    bars = min(_MOST_BARS, max(8, math.ceil(2 * math.sqrt(known))))
    return np.linspace(first, last, bars + 1)


def _ticks(edges: NDArray[np.float64], logarithmic: bool, whole: bool) -> Sequence[float]:
    """A few round values within the axis."""
    low, high = float(edges[0]), float(edges[-1])
    if logarithmic:
        powers = range(math.floor(low), math.ceil(high) + 1)
        every = [m * 10.0**p for p in powers for m in (1, 2, 5)]
        found = [value for value in every if low <= math.log10(value) <= high]
        if len(found) >= 2:
            return found[:: math.ceil(len(found) / 6)]
        low, high = 10.0**low, 10.0**high
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(step * m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= 6)
    if whole:
        step = max(1.0, step)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _span(
    edges: NDArray[np.float64], k: int, logarithmic: bool, whole: bool, below: int, above: int
) -> str:
    """What a bar counts."""
    low, high = edges[k], edges[k + 1]
    if logarithmic:
        low, high = 10.0**low, 10.0**high
    if k == 0 and below:
        return f"up to {high:.4g}"
    if k == len(edges) - 2 and above:
        return f"{low:.4g} and more"
    if whole:
        first, last = math.ceil(low), math.floor(high)
        return f"{first}" if first == last else f"{first} to {last}"
    return f"{low:.4g} to {high:.4g}"


def _words(known: NDArray[np.float64], label: str, unit: str) -> str:
    low, median, high = np.percentile(known, [0, 50, 100])
    return f"{label}: {len(known)} values from {low:.4g} to {high:.4g} {unit}, median {median:.4g}"
