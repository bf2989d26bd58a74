"""Signs that a label map was written in another label convention than it is read in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box
from renalis.conventions import Convention, Label

__all__ = ["remarks"]

_LARGE_ML = 20.0
"""Smaller lesions may well lie apart from a kidney: in the fat round it, or wrongly named."""


def remarks(
    labels: NDArray[np.uint8], boxes: Sequence[Box], voxel_ml: float, written: Convention, what: str
) -> tuple[str, ...]:
    """Sentences about a map whose labels do not look like its convention's.

    Parameters
    ----------
    labels : ndarray of uint8, shape (I, J, K)
        As stored.
    boxes : sequence of Box
        Hold all that is labelled.
    voxel_ml : float
        Volume of a voxel in ml.
    written : Convention
        Convention that it is read in.
    what : str
        ``"reference"`` or ``"prediction"``.
    """
    counts = np.zeros(256, np.int64)
    for box in boxes:
        counts += np.bincount(labels[box].ravel(), minlength=256)
    values = [int(v) for v in np.flatnonzero(counts[1:]) + 1]
    kidneys = written.holding(Label.KIDNEY)
    if not values:
        return ()
    if not counts[list(kidneys)].any():
        return (
            f"the {what} holds no kidney of {written.value} (label {_listed(kidneys)}), but label "
            f"{_listed(values)}{_advice(values, written, what)}",
        )
    if written is Convention.TOTALSEGMENTATOR:
        return _cysts_apart(labels, boxes, counts, what)
    large = [v for v in (2, 3) if counts[v] * voxel_ml >= _LARGE_ML]
    apart = [v for v in large if not _touch(labels, boxes, v, kidneys)]
    if not apart:
        return ()
    return (
        f"label {_listed(apart)} of the {what} nowhere touches label 1, the kidney of "
        f"{written.value}{_advice(apart, written, what)}",
    )


def _cysts_apart(
    array: NDArray[np.uint8], boxes: Sequence[Box], counts: NDArray[np.int64], what: str
) -> tuple[str, ...]:
    """Version 1 of TotalSegmentator has vertebrae where version 2 has cysts."""
    known = Convention.TOTALSEGMENTATOR
    cysts = [v for v in known.holding(Label.CYST) if counts[v]]
    if not cysts or any(_touch(array, boxes, v, known.holding(Label.KIDNEY)) for v in cysts):
        return ()
    return (
        f"label {_listed(cysts)} of the {what}, kidney cysts of TotalSegmentator 2, touches no "
        "kidney: in version 1 these are vertebrae",
    )


def _touch(
    array: NDArray[np.uint8], boxes: Sequence[Box], value: int, others: tuple[int, ...]
) -> bool:
    """Whether a voxel of a label has a neighbor across a face with one of the others."""
    for box in boxes:
        part = array[box]
        mine, theirs = part == value, np.isin(part, others)
        for axis in range(3):
            m, t = np.moveaxis(mine, axis, 0), np.moveaxis(theirs, axis, 0)
            if (m[1:] & t[:-1]).any() or (m[:-1] & t[1:]).any():
                return True
    return False


def _advice(values: list[int], written: Convention, what: str) -> str:
    """What to try."""
    if written is Convention.TOTALSEGMENTATOR or not {2, 3} & set(values):
        return "; was it written in another convention?"
    return f"; if TotalSegmentator wrote it, give --{what}-labels totalsegmentator"


def _listed(values: tuple[int, ...] | list[int]) -> str:
    shown = [str(v) for v in values[:6]] + (["…"] if len(values) > 6 else [])
    return ", ".join(shown) if len(shown) < 2 else f"{', '.join(shown[:-1])} and {shown[-1]}"
