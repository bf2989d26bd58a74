"""What is compared over a cohort: one number of each case, with its unit and its scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["QUANTITIES", "Quantity", "number"]

Row = Mapping[str, Any]
"""A case's row of ``measurements.csv``."""

Grid = Mapping[str, Any]
"""``grid`` of its ``measurements.json``."""


@dataclass(frozen=True)
class Quantity:
    """A number that cases have.

    Attributes
    ----------
    key : str
        Its name in data.
    title, unit : str
        For readers; a ratio and a count have no unit.
    of : callable
        The number of a case; NaN if it has none.
    logarithmic : bool
        Compared by its logarithm: half and double are equally far.
    watched : bool
        Cases far from the others are named; see `renalis.cohort.report.outliers`.
    whole : bool
        A count.
    least : float
        Least robust standard deviation by which cases are far from others: 0.05 of logarithms,
        else in the unit.
    """

    key: str
    title: str
    unit: str
    of: Callable[[Row, Grid], float]
    logarithmic: bool = False
    watched: bool = True
    whole: bool = False
    least: float = 0.05


def number(row: Mapping[str, Any], name: str) -> float:
    """A cell as a number; NaN where there is none.

    >>> number({"tumor_ml": "3.50"}, "tumor_ml"), number({}, "tumor_ml")
    (3.5, nan)
    """
    try:
        value = float(row.get(name, ""))
    except (TypeError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def _cell(name: str) -> Callable[[Row, Grid], float]:
    return lambda row, grid: number(row, name)


def _positive(name: str) -> Callable[[Row, Grid], float]:
    """A cell above 0: cases without any of it are not compared with those that have some."""

    def of(row: Row, grid: Grid) -> float:
        value = number(row, name)
        return value if value > 0 else math.nan

    return of


def _all_renal(row: Row, grid: Grid) -> float:
    parts = [number(row, name) for name in ("kidney_ml", "tumor_ml", "cyst_ml")]
    total = math.fsum(parts)
    return total if total > 0 else math.nan


def _ratio(row: Row, grid: Grid) -> float:
    left, right = (number(row, f"kidney_{side}_with_lesions_ml") for side in ("left", "right"))
    return left / right if left > 0 and right > 0 else math.nan


def _between_slices(row: Row, grid: Grid) -> float:
    return _spacing(grid)[0]


def _in_slices(row: Row, grid: Grid) -> float:
    return _spacing(grid)[1]


def _spacing(grid: Grid) -> tuple[float, float]:
    """Distance of slices, and of voxels within them, in mm."""
    try:
        spacing = [float(mm) for mm in grid["spacing_mm"]]
        across = spacing.pop(int(grid["slice_axis"]))
        return across, max(spacing)
    except (KeyError, TypeError, ValueError, IndexError):
        return math.nan, math.nan


QUANTITIES = (
    Quantity("left_ml", "Left kidney with its lesions", "ml",
             _positive("kidney_left_with_lesions_ml"), logarithmic=True),
    Quantity("right_ml", "Right kidney with its lesions", "ml",
             _positive("kidney_right_with_lesions_ml"), logarithmic=True),
    Quantity("total_ml", "All kidneys and lesions", "ml", _all_renal, logarithmic=True),
    Quantity("ratio", "Left kidney over right kidney", "", _ratio, logarithmic=True),
    Quantity("left_hu", "Left parenchyma, mean", "HU", _cell("kidney_left_hu_mean"), least=5.0),
    Quantity("right_hu", "Right parenchyma, mean", "HU", _cell("kidney_right_hu_mean"), least=5.0),
    Quantity("lesions", "Lesions of a case", "", _cell("lesions"), watched=False, whole=True),
    Quantity("largest_mm", "Largest lesion of a case", "mm", _positive("largest_lesion_mm"),
             logarithmic=True),
    Quantity("tumor_ml", "Tumor of cases that have some", "ml", _positive("tumor_ml"),
             logarithmic=True),
    Quantity("cyst_ml", "Cysts of cases that have some", "ml", _positive("cyst_ml"),
             logarithmic=True),
    Quantity("slice_mm", "Distance between slices", "mm", _between_slices, logarithmic=True),
    Quantity("pixel_mm", "Distance of voxels within a slice", "mm", _in_slices, logarithmic=True),
)  # fmt: skip
"""In the order of the page."""
