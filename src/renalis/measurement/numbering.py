"""Kidneys and lesions by the ids that measurements give them, as one map of numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import bounding_box
from renalis.conventions import Label
from renalis.laterality import Midline
from renalis.measurement.results import LesionKind, Side
from renalis.measurement.structures import (
    Group,
    LesionMask,
    find_groups,
    find_lesions,
    largest_lesions,
)
from renalis.volume import CANONICAL, Kind, Volume

__all__ = [
    "FURTHER",
    "UNASSIGNED",
    "NumberedStructures",
    "Structure",
    "check_known",
    "kidney_ids",
    "lesion_ids",
    "numbered",
]

UNASSIGNED = "unassigned"
"""Id of kidney label in specks that belong to no kidney."""

FURTHER = "further"
"""Ids of lesions beyond `renalis.measurement.structures.MOST_LESIONS` begin with it: all tumors are
one structure, and all cysts."""

_LABELS = {LesionKind.TUMOR: Label.TUMOR, LesionKind.CYST: Label.CYST}


@dataclass(frozen=True)
class Structure:
    """One kidney or lesion.

    Attributes
    ----------
    id : str
        As in `renalis.measurement.Measurements`: ``left``, ``tumor-1``, ...; or `UNASSIGNED`.
    label : Label
        What it is.
    side : Side
        Of a kidney; of a lesion, that of its kidney, or its own when it has none.
    """

    id: str
    label: Label
    side: Side


@dataclass(frozen=True, eq=False)
class NumberedStructures:
    """All structures of a label map; each labeled voxel belongs to exactly one.

    Attributes
    ----------
    volume : Volume
        uint16, on the label map's grid: 0, or 1 plus the place in ``structures``.
    structures : tuple of Structure
        Kidneys (parenchyma alone), then tumors, then cysts, each in the order of its ids.
    """

    volume: Volume
    structures: tuple[Structure, ...]


def numbered(labels: Volume, midline: Midline) -> NumberedStructures:
    """Number kidneys and lesions as `renalis.measurement.measure` does.

    Parameters
    ----------
    labels : Volume
        KiTS23 labels (0 background, 1 kidney, 2 tumor, 3 cyst), uint8, any orientation.
    midline : Midline
        Parts right from left.

    Returns
    -------
    NumberedStructures
        On the grid of ``labels``; without structures when nothing is labeled.

    Raises
    ------
    ValueError
        If there are other values than the whole numbers 0 to 3.
    """
    check_known(labels.array)
    canonical = labels.reoriented(CANONICAL)
    numbers = np.zeros(canonical.shape, np.uint16)
    box = bounding_box(canonical.array)
    structures: list[Structure] = []
    if box is not None:
        crop = canonical.cropped(box)
        part = crop.like(np.ascontiguousarray(crop.array, dtype=np.uint8), Kind.LABELS)
        groups, _ = find_groups(part, box, midline)
        found, _ = largest_lesions([(group, find_lesions(group)) for group in groups])
        _number_kidneys(numbers, canonical, groups, structures)
        _number_lesions(numbers, canonical, found, structures)
    own = Volume(numbers, canonical.affine, Kind.LABELS).reoriented(labels.orientation)
    return NumberedStructures(labels.like(own.array, Kind.LABELS), tuple(structures))


def _number_kidneys(
    numbers: NDArray[np.uint16], canonical: Volume, groups: list[Group], structures: list[Structure]
) -> None:
    """Paint parenchyma, specks of it last."""
    kidneys = [group for group in groups if group.is_kidney]
    for name, group in zip(kidney_ids(kidneys), kidneys, strict=True):
        structures.append(Structure(name, Label.KIDNEY, group.side))
        numbers[group.box][group.labels.array == Label.KIDNEY] = len(structures)
    specks = (canonical.array == Label.KIDNEY) & (numbers == 0)
    if specks.any():
        structures.append(Structure(UNASSIGNED, Label.KIDNEY, Side.OTHER))
        numbers[specks] = len(structures)


def _number_lesions(
    numbers: NDArray[np.uint16],
    canonical: Volume,
    found: list[tuple[Group, list[LesionMask]]],
    structures: list[Structure],
) -> None:
    """Paint tumors, then cysts, the largest first; those that are too many last, as one."""
    names = lesion_ids(masks for _, masks in found)
    lesions = [
        (name, group, mask)
        for (group, masks), own in zip(found, names, strict=True)
        for name, mask in zip(own, masks, strict=True)
    ]
    order = list(LesionKind)
    lesions.sort(key=lambda one: (order.index(one[2].kind), int(one[0].rpartition("-")[2])))
    for name, group, mask in lesions:
        structures.append(Structure(name, _LABELS[mask.kind], group.side))
        numbers[group.box][mask.box][mask.mask] = len(structures)
    for kind, label in _LABELS.items():
        further = (canonical.array == label) & (numbers == 0)
        if further.any():
            structures.append(Structure(f"{FURTHER}-{kind}s", label, Side.OTHER))
            numbers[further] = len(structures)


def kidney_ids(kidneys: Iterable[Group]) -> list[str]:
    """left, right, other-1, other-2, ... of kidneys in the order of `find_groups`."""
    names: list[str] = []
    others = 0
    for group in kidneys:
        others += group.side is Side.OTHER
        names.append(f"other-{others}" if group.side is Side.OTHER else str(group.side))
    return names


def lesion_ids(masks: Iterable[list[LesionMask]]) -> list[list[str]]:
    """Ids of all lesions, numbered by size within their kind; one list for each group."""
    found = list(masks)
    names = [[""] * len(own) for own in found]
    for kind in LesionKind:
        places = [
            (-mask.voxels, group, index)
            for group, own in enumerate(found)
            for index, mask in enumerate(own)
            if mask.kind == kind
        ]
        for number, (_, group, index) in enumerate(sorted(places), start=1):
            names[group][index] = f"{kind}-{number}"
    return names


def check_known(array: NDArray[Any]) -> None:
    """Refuse what is no label, before a cast to uint8 could make one of it.

    Raises
    ------
    ValueError
        If there are other values than the whole numbers 0 to 3.
    """
    whole = np.issubdtype(array.dtype, np.integer)
    if not array.size or (whole and array.min() >= 0 and array.max() <= Label.CYST):
        return
    for plane in array:  # small copies only
        unknown = ~np.isin(plane, list(Label))
        if unknown.any():
            value = float(plane[unknown][0])
            raise ValueError(f"labels hold {value:g}, which stands for nothing (0 to 3)")
