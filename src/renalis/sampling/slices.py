"""Slices of many cases as one list, read from memory maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.preparation import PreparedGrid, near_slices
from renalis.sampling.balance import with_negatives
from renalis.sampling.sample import Sample, cut
from renalis.sampling.targets import IDENTITY, LabelTable

__all__ = ["SliceSampler"]


class SliceSampler:
    """All slices of all cases; ``sampler[i]`` reads one, ``epoch(rng)`` says which and when.

    Parameters
    ----------
    cases : sequence of PreparedGrid
        Labelled, all on the same kind of grid.
    table : ndarray, shape (256,)
        From labels to training labels.
    within : int, optional
        Leave out slices further than this many slices from a labelled one.
    negatives_per_positive : float, optional
        An epoch has all positive slices and so many others per positive one; all others if None.
    regions : sequence of ndarray (Z, Y, X), optional
        A mask per case that goes with the slices as input ``"roi"``, such as the kidneys that a
        first network found.
    inside_region_only : bool
        Leave out slices whose region is empty.
    axis : {0, 1, 2}
        Axis that is sliced: 0 axial, 1 coronal, 2 sagittal.
    size : tuple of int, optional
        Pad (with the grid's fill) or crop slices to this size around their middle.

    Notes
    -----
    Samples have input ``"image"`` (1, Y, X) float32 in HU, target ``"seg"`` (Y, X) uint8 and, if
    the grid has them, ``"weights"`` (Y, X) float32. A slice is positive if its training labels are
    not all 0.
    """

    def __init__(
        self,
        cases: Sequence[PreparedGrid],
        *,
        table: LabelTable = IDENTITY,
        within: int | None = None,
        negatives_per_positive: float | None = None,
        regions: Sequence[NDArray[np.uint8]] | None = None,
        inside_region_only: bool = False,
        axis: int = 0,
        size: tuple[int, int] | None = None,
    ) -> None:
        if inside_region_only and regions is None:
            raise ValueError("inside_region_only needs regions")
        self._cases, self._regions = list(cases), regions
        self._table, self._axis, self._size = table, axis, size
        self._per_positive = negatives_per_positive
        kept, positive = [], []
        for number, case in enumerate(self._cases):
            labelled, target = _labelled(case, table, axis)
            use = near_slices(labelled, within)
            if inside_region_only and regions is not None:
                use = use & _any_across(regions[number], axis)
            kept.append(np.flatnonzero(use))
            positive.append(target[kept[-1]])
        self._slices = kept
        self._ends = np.cumsum([len(slices) for slices in kept])
        self._positive = np.concatenate(positive) if positive else np.zeros(0, bool)

    def __len__(self) -> int:
        return len(self._positive)

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Whether each slice holds a training label, shape (len(self),)."""
        return self._positive

    def epoch(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Slice numbers of one epoch, shuffled over all cases."""
        positive, negative = np.flatnonzero(self._positive), np.flatnonzero(~self._positive)
        return with_negatives(positive, negative, self._per_positive, rng)

    def draw(self, rng: np.random.Generator) -> Sample:
        """Any slice."""
        return self[int(rng.integers(len(self)))]

    def __getitem__(self, number: int) -> Sample:
        if not 0 <= number < len(self):
            raise IndexError(f"slice {number} of {len(self)}")
        which = int(np.searchsorted(self._ends, number, side="right"))
        place = int(number - (self._ends[which - 1] if which else 0))
        return self._read(which, int(self._slices[which][place]))

    def _read(self, which: int, position: int) -> Sample:
        case = self._cases[which]
        fill = case.spec.fill_hu
        image = self._plane(case.image, position, fill).astype(np.float32)
        inputs, targets = {"image": image[None]}, {}
        if case.label is not None:
            targets["seg"] = self._table[self._plane(case.label, position, 0)]
        if case.weights is not None:
            targets["weights"] = self._plane(case.weights, position, 0).astype(np.float32)
        if self._regions is not None:
            region = self._plane(self._regions[which], position, 0)
            inputs["roi"] = (region > 0).astype(np.float32)[None]
        spacing = tuple(mm for axis, mm in enumerate(case.spacing) if axis != self._axis)
        places = dict.fromkeys([*inputs, *targets], spacing)
        fills = {"image": fill} | ({"roi": 0.0} if self._regions is not None else {})
        return Sample(inputs, targets, {"case": which, "slice": position}, places, fills)

    def _plane(self, array: NDArray[Any], position: int, fill: float) -> NDArray[Any]:
        # A view: only the slice is read from the file.
        plane: NDArray[Any] = np.moveaxis(array, self._axis, 0)[position]
        if self._size is None:
            return plane
        start = [(n - wanted) // 2 for n, wanted in zip(plane.shape, self._size, strict=True)]
        return cut(plane, start, self._size, fill)


def _labelled(
    case: PreparedGrid, table: LabelTable, axis: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Slices that hold any label, and slices that hold a training label."""
    if case.label is None:
        nothing = np.zeros(case.shape[axis], dtype=bool)
        return nothing, nothing
    if axis == 0 and case.slice_labels is not None:
        held = case.slice_labels
        wanted = np.uint32(sum(1 << value for value in range(32) if table[value]))
        return held > 1, (held & wanted) > 0
    target: NDArray[np.uint8] = table[case.label]
    return _any_across(case.label, axis), _any_across(target, axis)


def _any_across(array: NDArray[np.uint8], axis: int) -> NDArray[np.bool_]:
    """Whether each slice along an axis holds a value other than 0."""
    others = tuple(a for a in range(3) if a != axis)
    return np.asarray(np.asarray(array).any(axis=others))
