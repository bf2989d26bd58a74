"""Cut single axial slices out of the scans of a dataset, for 2D recipes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from renalis.conventions import Convention
from renalis.dataset.cases import Case, Dataset
from renalis.dataset.reading import read_case, read_case_labels
from renalis.dataset.slices import CLIPPED_SCALES, SliceSet, grey_of_hu
from renalis.errors import InputError, UsageError
from renalis.volume import Volume

__all__ = ["cut_slices", "drawn_slices", "patient_numbers"]

Piece = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Greys and labels of a slice, (Y, X) both."""


def cut_slices(
    dataset: Dataset,
    per_scan: int,
    labelled: float,
    seed: int,
    *,
    name: str = "slices",
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> SliceSet:
    """Draw slices of every scan that has a label map.

    Parameters
    ----------
    dataset : Dataset
        Scans with KiTS23's labels. Patients are numbered by `patient_numbers`.
    per_scan : int
        Slices of each scan, or all that it has.
    labelled : float
        Share of them that hold a label, where there are so many.
    seed : int
        Of the draw.
    name : str
        Of the set.
    progress : callable
        Called after each scan with how many are done and how many there are.

    Returns
    -------
    SliceSet
        Smaller slices lie in the middle of the largest, black around them.

    Raises
    ------
    InputError
        If the labels are others, no scan has any, or one cannot be read.
    UsageError
        If ``per_scan`` or ``labelled`` is no number of slices or share.
    """
    if per_scan < 1 or not 0 <= labelled <= 1:
        raise UsageError("give at least one slice of each scan, and a share between 0 and 1")
    dataset.require_scans("cutting slices")
    if dataset.convention is not Convention.KITS23:
        raise InputError(f"slices are stored with the labels of kits23, not {dataset.convention}")
    cases = dataset.labelled
    if not cases:
        raise InputError(f"{dataset.root} holds no label maps")
    numbers = patient_numbers([case.patient for case in cases])
    pieces: list[Piece] = []
    about: list[tuple[int, int, tuple[float, float, float]]] = []
    for count, case in enumerate(cases):
        rng = np.random.default_rng((seed, count))
        image, labels = _read(case)
        z, y, x = image.spacing
        for place in drawn_slices(_holds(labels), per_scan, labelled, rng):
            pieces.append((grey_of_hu(image.array[place], CLIPPED_SCALES[0]), labels[place]))
            about.append((numbers[case.patient], place, (z, y, x)))
        progress(count + 1, len(cases))
    rows, columns = (max(grey.shape[axis] for grey, _ in pieces) for axis in (0, 1))
    framed = [[_framed(part, rows, columns) for part in piece] for piece in pieces]
    return SliceSet(
        name,
        np.stack([grey for grey, _ in framed]),
        np.stack([label for _, label in framed]),
        np.array([number for number, _, _ in about], np.int64),
        np.array([place for _, place, _ in about], np.float64),
        np.array([spacing for _, _, spacing in about], np.float64),
        CLIPPED_SCALES[0],
    )


def _holds(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each slice holds a label, shape (Z,)."""
    return np.asarray(labels.any(axis=(1, 2)))


def drawn_slices(
    holds: NDArray[np.bool_], per_scan: int, labelled: float, rng: np.random.Generator
) -> list[int]:
    """Numbers of slices, in order: a share of those that hold a label, the rest of the others.

    Where there are too few of one kind, the other makes up for them.
    """
    with_label, without = np.flatnonzero(holds), np.flatnonzero(~holds)
    wanted = min(len(with_label), round(per_scan * labelled))
    others = min(len(without), per_scan - wanted)
    wanted = min(len(with_label), per_scan - others)
    drawn = [
        *rng.choice(with_label, wanted, replace=False).tolist(),
        *rng.choice(without, others, replace=False).tolist(),
    ]
    return sorted(int(number) for number in drawn)


def patient_numbers(patients: Sequence[str]) -> Mapping[str, int]:
    """A number for each patient: the one at the end of the name, or else counted from 0.

    >>> patient_numbers(["case_00007", "case_00002", "case_00007"])
    {'case_00007': 7, 'case_00002': 2}
    >>> patient_numbers(["Smith", "Jones 2"])
    {'Smith': 0, 'Jones 2': 1}
    """
    different = list(dict.fromkeys(patients))
    found = [re.search(r"\d+$", patient) for patient in different]
    numbers = [int(match[0]) for match in found if match]
    if len(set(numbers)) < len(different) or max(numbers, default=0) > np.iinfo(np.int32).max:
        numbers = list(range(len(different)))
    return dict(zip(different, numbers, strict=True))


def _read(case: Case) -> tuple[Volume, NDArray[np.uint8]]:
    """Scan and labels in canonical orientation."""
    image, labels = read_case(case).reoriented(), read_case_labels(case)
    assert labels is not None, "only labelled cases are cut"
    labels = labels.reoriented()
    if not image.same_grid(labels, tolerance_mm=0.01):
        raise InputError(
            f"scan and labels of {case.id} do not lie on the same grid; run `renalis dataset check`"
        )
    return image, np.asarray(labels.array, np.uint8)


def _framed(part: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    above, left = (rows - part.shape[0]) // 2, (columns - part.shape[1]) // 2
    result = np.zeros((rows, columns), np.uint8)
    result[above : above + part.shape[0], left : left + part.shape[1]] = part
    return result
