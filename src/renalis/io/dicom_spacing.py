"""Whether what headers say about the distance of slices agrees with where the slices lie."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from renalis.errors import InputError
from renalis.io.dicom_files import Frame
from renalis.io.dicom_geometry import Grid

__all__ = ["spacing_doubts"]

_AGREES = 0.1
"""Share by which distances may differ: they are written rounded, and a tilt shortens them."""
_GAP = 1.5
"""Slices further apart than this times their thickness leave out a third of the body."""
_OVERLAP = 0.15
"""Slices nearer to each other than this times their thickness are made by no protocol."""


def spacing_doubts(grid: Grid, name: str) -> list[str]:
    """Compare SpacingBetweenSlices, SliceLocation and SliceThickness with the positions.

    Positions say where slices lie (PS3.3 C.7.6.2.1.1), and are used. SliceThickness alone is no
    distance: slices overlap or leave gaps.

    Parameters
    ----------
    grid : Grid
        Of the frames that are read.
    name : str
        The series, for what is refused.

    Returns
    -------
    list of str
        Warnings without the name.

    Raises
    ------
    InputError
        If SpacingBetweenSlices and SliceLocation agree with each other and not with the positions.
    """
    step = float(np.linalg.norm(grid.affine[:3, 2]))
    between = _shared(grid, lambda frame: frame.step)
    thickness = _shared(grid, lambda frame: frame.thickness)
    located = _located(grid)
    if between and not _agree(step, between):
        return [_told_otherwise(grid, name, step, between, located)]
    if not between and located and not _agree(step, located):
        return [_contradiction("SliceLocation", located, step)]
    if thickness and not between and step > _GAP * thickness:
        return [
            f"slices are {thickness:.2f} mm thick and lie {step:.2f} mm apart, so what lies "
            "between them is not seen, or slices are missing: small lesions may be missed"
        ]
    if thickness and not between and step < _OVERLAP * thickness:
        return [_contradiction("SliceThickness", thickness, step)]
    return []


def _told_otherwise(
    grid: Grid, name: str, step: float, between: float, located: float | None
) -> str:
    """What follows from a SpacingBetweenSlices that is not the distance of the positions."""
    every = _every(grid)
    if every > 1 and _agree(step, every * between):
        return (
            f"every {_ordinal(every)} slice is here alone, by InstanceNumber and "
            f"SpacingBetweenSlices: they lie {step:.2f} mm apart, and small lesions may be missed; "
            "export the series again to have all"
        )
    if located and not _agree(step, located) and _agree(located, between):
        raise InputError(
            f"{name} cannot be measured: its slices lie {step:.2f} mm apart by their positions, "
            f"but {between:.2f} mm by SpacingBetweenSlices and SliceLocation; export the series "
            "again, best from the archive that it came from"
        )
    return _contradiction("SpacingBetweenSlices", between, step)


def _contradiction(tag: str, told: float, step: float) -> str:
    return (
        f"{tag} says {told:.2f} mm, but the slices' positions lie {step:.2f} mm apart; the "
        f"positions were used, and if they are wrong, volumes are off by {told / step:.2f} times"
    )


def _shared(grid: Grid, value: Callable[[Frame], float | None]) -> float | None:
    """What all frames say, without its sign; None if they differ or do not say it."""
    told = {value(frame) for frame in grid.frames}
    only = next(iter(told))
    return abs(only) or None if len(told) == 1 and only is not None else None


def _located(grid: Grid) -> float | None:
    """Distance of neighbors by SliceLocation; None where that is not there or not in order."""
    places = [frame.location for frame in grid.frames]
    if len(places) < 3 or any(place is None for place in places):
        return None
    steps = np.diff(np.array(places, np.float64)) / np.diff(grid.places)
    usual = float(np.median(steps))
    even = np.abs(steps - usual) <= max(_AGREES * abs(usual), 0.1)
    return abs(usual) or None if even.all() else None


def _every(grid: Grid) -> int:
    """By how much InstanceNumber rises from slice to slice; 1 if not evenly."""
    rises = np.abs(np.diff([frame.instance for frame in grid.frames]) / np.diff(grid.places))
    first = float(rises[0])
    return int(first) if first.is_integer() and (rises == first).all() else 1


def _agree(one: float, other: float) -> bool:
    return abs(one - other) <= max(_AGREES * min(one, other), 0.05)


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
