"""What charts share: their size and colors, the values that an axis marks, and its lines."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = [
    "BOTTOM",
    "COLORS",
    "HEIGHT",
    "LEFT",
    "RIGHT",
    "TOP",
    "WIDTH",
    "axis",
    "grid_line",
    "height",
]

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 60, 12, 12, 34
# Okabe and Ito: told apart with every kind of color vision.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a")


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


def height(place: float, low: float, high: float) -> float:
    """Where a value of an axis from ``low`` to ``high`` lies, in pixels from the top."""
    return HEIGHT - BOTTOM - (place - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def grid_line(y: float, value: float) -> str:
    """A line across a chart at height ``y`` (pixels from the top), with its value next to it."""
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'
    )
