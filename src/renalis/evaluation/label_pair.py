"""Two label maps on one grid, each with the table from its values to the scored labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box
from renalis.conventions import Convention
from renalis.errors import InputError
from renalis.evaluation.convention_check import remarks
from renalis.evaluation.grids import on_grid_of
from renalis.evaluation.label_boxes import label_boxes
from renalis.evaluation.label_sources import LabelMap
from renalis.evaluation.regions import Region, expressed, mapping, regions
from renalis.evaluation.scores import Options
from renalis.volume import Kind, Volume

__all__ = ["Pair", "paired_maps", "scored_labels"]


@dataclass(frozen=True)
class Pair:
    """Two label maps on one grid, with the tables that turn their values into the scored ones.

    Both arrays are views with the reference's fastest axis last; ``grid`` has the same order.
    ``written`` are the conventions of both files where they are told by values alone.
    """

    grid: Volume
    reference: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    reference_table: NDArray[np.uint8]
    prediction_table: NDArray[np.uint8]
    regions: tuple[Region, ...]
    axial: int
    notes: tuple[str, ...]
    written: tuple[Convention | None, Convention | None] = (None, None)

    def labels(self, box: Box) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The scored labels in a box, C-ordered copies."""
        return (
            scored_labels(self.reference[box], self.reference_table, "reference"),
            scored_labels(self.prediction[box], self.prediction_table, "prediction"),
        )


def paired_maps(first: LabelMap, second: LabelMap, options: Options) -> Pair:
    """Bring two label maps, which may say nothing of some labels, onto one grid and convention."""
    one = _Written.of(first, "reference", options.reference_labels, options)
    two = _Written.of(second, "prediction", options.prediction_labels, options)
    reference, prediction = one.volume, two.volume
    reference_table, prediction_table = one.table, two.table
    array, notes = on_grid_of(reference, prediction, options.grid)
    wanted = regions(options.labels)
    known = one.regions & two.regions
    missing = [r.name for r in wanted if r.name not in known]
    if missing:
        notes += (
            f"not scored, because {one.words} and {two.words} cannot both express it: "
            + ", ".join(missing),
        )
    notes += one.notes + two.notes
    order = list(np.argsort([-abs(s) for s in reference.array.strides], kind="stable"))
    grid = Volume(reference.array.transpose(order), reference.affine[:, [*order, 3]], Kind.LABELS)
    return Pair(
        grid=grid,
        reference=grid.array,
        prediction=array.transpose(order),
        reference_table=reference_table,
        prediction_table=prediction_table,
        regions=tuple(r for r in wanted if r.name in known),
        axial=next(a for a, code in enumerate(grid.orientation) if code in "SI"),
        notes=notes,
        written=(one.convention, two.convention),
    )


@dataclass(frozen=True)
class _Written:
    """A label map with what its values mean."""

    volume: Volume
    table: NDArray[np.uint8]
    regions: frozenset[str]
    words: str
    notes: tuple[str, ...]
    convention: Convention | None = None

    @classmethod
    def of(
        cls, given: LabelMap, what: str, convention: Convention | None, options: Options
    ) -> _Written:
        """The map in the convention that it was written in: its own, or the one that was said."""
        volume = Volume(_whole(given.volume.array, what), given.volume.affine, Kind.LABELS)
        notes = tuple(f"the {what}: {note}" for note in given.notes)
        if given.known is not None:
            table, names = mapping(Convention.KITS23, options.labels)
            names &= expressed(given.known, options.labels)
            held = " and ".join(label.name.lower() for label in sorted(given.known)) or "nothing"
            return cls(volume, table, names, f"the {what} (segments of {held})", notes)
        written = options.written(convention)
        table, names = mapping(written, options.labels)
        if written is Convention.TOTALSEGMENTATOR:
            boxes = label_boxes(volume.array)
            notes += remarks(volume.array, boxes, volume.voxel_ml, written, what)
            # It labels the whole body: without other organs there are fewer boxes to look at.
            ours = table[volume.array]
            if not (ours == 255).any():
                volume = volume.like(ours, Kind.LABELS)
                table = mapping(options.labels, options.labels)[0]
        return cls(volume, table, names, written.value, notes, written)


def _whole(array: NDArray[Any], what: str) -> NDArray[np.uint8]:
    """Labels as uint8; InputError if they are not whole numbers from 0 to 255."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.view(np.uint8)
    if array.dtype.kind not in "iuf":
        raise InputError(f"the {what} holds values of type {array.dtype}, not labels")
    labels = np.zeros_like(array, dtype=np.uint8, order="K", subok=False)
    for one, new in zip(array, labels, strict=True):
        low, high = float(one.min()), float(one.max())
        if not (low >= 0 and high <= 255):
            bad = high if low >= 0 else low
            raise InputError(f"the {what} holds the value {bad:g}, which is not a label")
        new[...] = one.astype(np.uint8)
        if array.dtype.kind == "f" and (new != one).any():
            bad = float(one[new != one][0])
            raise InputError(f"the {what} holds the value {bad:g}: labels are whole numbers")
    return labels


def scored_labels(
    labels: NDArray[np.uint8], table: NDArray[np.uint8], what: str
) -> NDArray[np.uint8]:
    """Stored labels in the convention that is scored."""
    highest = int(labels.max())
    if (table[: highest + 1] == np.arange(highest + 1)).all():
        return np.ascontiguousarray(labels)
    new = table[labels]
    if (new == 255).any():
        known = ", ".join(str(v) for v in np.flatnonzero(table != 255))
        raise InputError(
            f"the {what} holds the value {int(labels[new == 255].max())}, which is not a label of "
            f"its convention (known: {known}); name the convention it was written in with "
            f"--{what}-labels (TotalSegmentator's file of all organs: totalsegmentator)"
        )
    return np.ascontiguousarray(new)
