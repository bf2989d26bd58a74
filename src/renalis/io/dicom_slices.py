"""Bring a decoded stack to HU: slices that are off are mended, left out, named or refused."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.dicom_files import Frame
from renalis.io.dicom_geometry import Grid, places_in_words, slice_places
from renalis.io.hu import AIR, settle_hu
from renalis.io.slice_levels import mend_levels
from renalis.io.slice_sequence import SliceFaults, most_in_gap, slice_faults
from renalis.io.slice_words import faults_in_words, slices_in_words

__all__ = ["checked_slices"]

_MOST_LOST = 0.1
"""Share of slices; more are no accident, and nothing tells which ones are right."""


def checked_slices(
    stack: NDArray[np.int16], rows: Sequence[int], grid: Grid, name: str
) -> tuple[list[str], list[int]]:
    """Settle the values of a stack, and compare its slices with each other.

    Parameters
    ----------
    stack : ndarray, shape (slices, rows, columns), int16
        Rescaled values; -32768 where nothing was measured. Afterwards HU, none below -1024.
    rows : sequence of int
        Where in the stack each frame of the grid lies.
    grid : Grid
        The frames, in order along the normal.
    name : str
        The series, for what is refused.

    Returns
    -------
    warnings : list of str
        Sentences without the name.
    lost : list of int
        Frames of the grid that are to be interpolated from those beside them.

    Raises
    ------
    InputError
        If the values are no HU, or too many slices do not belong to the others.
    """
    frames = grid.frames
    intercepts = [frame.intercept for frame in frames]
    levels = mend_levels(stack, rows, intercepts)
    _check_few(levels.lost, frames, name, "values that do not fit those of their neighbors")
    doubts = _shifted(levels.offsets, frames)
    doubts += settle_hu(stack, name)
    good = [k for k in range(len(frames)) if k not in levels.lost]
    faults = slice_faults([stack[rows[k]] for k in good], _most_in_gap(frames))
    _check_order(faults, name)
    stray = [good[k] for k in faults.stray]
    lost = sorted([*levels.lost, *stray])
    _check_few(lost, frames, name, "pictures that do not fit those of their neighbors")
    ends = _at_ends(lost, len(frames))
    for k in (*stray, *ends):
        stack[rows[k]] = AIR
    lost = [k for k in lost if k not in ends]
    if ends:
        doubts.append(
            f"{slices_in_words(len(ends), 'does', 'do')} not fit the neighbors (damaged, or from "
            f"another scan?) and {'was' if len(ends) == 1 else 'were'} left out, at the end of the "
            f"scan, at {places_in_words([frames[k] for k in ends])}"
        )
    if lost:
        doubts.append(
            f"{slices_in_words(len(lost), 'does', 'do')} not fit the neighbors (damaged, or from "
            f"another scan?) and {'was' if len(lost) == 1 else 'were'} interpolated from them, at "
            f"{places_in_words([frames[k] for k in lost])}"
        )
    doubts += faults_in_words(
        faults, lambda places: places_in_words([frames[good[k]] for k in places])
    )
    return doubts, lost


def _shifted(offsets: Sequence[int], frames: Sequence[Frame]) -> list[str]:
    """What was mended: one sentence for each offset."""
    found = []
    for offset in sorted({o for o in offsets if o}):
        there = [f for f, o in zip(frames, offsets, strict=True) if o == offset]
        found.append(
            f"{slices_in_words(len(there), 'lies', 'lie')} {abs(offset)} HU too "
            f"{'high' if offset > 0 else 'low'} against the others (a wrong intercept), so "
            f"{abs(offset)} was {'subtracted' if offset > 0 else 'added'} there, at "
            f"{places_in_words(there)}"
        )
    return found


def _check_order(faults: SliceFaults, name: str) -> None:
    """Refuse slices that are not those of one body in the order of their positions."""
    if faults.disorder:
        raise InputError(
            f"{name} is no volume: its pictures do not follow each other in the order of their "
            "positions; export the series again, best from the archive that it came from"
        )
    if faults.in_turn:
        raise InputError(
            f"{name} holds {faults.in_turn} series in turn: its slices change in brightness with "
            f"every {'second' if faults.in_turn == 2 else 'third'} one, as when contrast phases "
            "are mixed, and the headers do not tell them apart; export each phase as a series"
        )


def _check_few(lost: Sequence[int], frames: Sequence[Frame], name: str, what: str) -> None:
    """Refuse lost slices that are too many to go on without."""
    if not lost:
        return
    runs = [list(run) for _, run in groupby(enumerate(lost), key=lambda pair: pair[1] - pair[0])]
    many = len(lost) > max(1, _MOST_LOST * len(frames))
    if many or any(len(run) > _most_in_gap(frames) for run in runs):
        raise InputError(
            f"{name} has {what}: {len(lost)} of {len(frames)} slices, at "
            f"{places_in_words([frames[k] for k in lost])}; export the series again, best from "
            "the archive that it came from"
        )


def _at_ends(lost: Sequence[int], count: int) -> list[int]:
    """Lost slices with which a scan of ``count`` begins or ends."""
    there = set(lost)
    first = next(k for k in range(count) if k not in there)
    last = next(k for k in range(count - 1, -1, -1) if k not in there)
    return [k for k in lost if k < first or k > last]


def _most_in_gap(frames: Sequence[Frame]) -> int:
    """Slices next to each other that may be filled in."""
    return most_in_gap(float(np.median(np.diff(slice_places(frames)))))
