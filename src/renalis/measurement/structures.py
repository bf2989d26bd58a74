"""From a label map to kidneys with a side and lesions with a kidney."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box, around_all, in_whole
from renalis.conventions import Label
from renalis.laterality import Midline
from renalis.measurement.fused_kidneys import WHOLE_KIDNEY_ML, split_fused
from renalis.measurement.results import LesionKind, Side
from renalis.postprocessing.components import Component, Components, find_components, gap_mm
from renalis.volume import Kind, Volume

__all__ = [
    "MOST_LESIONS",
    "Group",
    "LesionMask",
    "find_groups",
    "find_lesions",
    "in_kidneys",
    "largest_lesions",
]

JOIN_MM = 10.0
"""Components closer than this to a kidney are that kidney's."""
KIDNEY_ML = 1.0
"""A component with at least this much parenchyma, away from others, is a kidney of its own."""
CROSSING_SHARE = 0.15
"""With more of its parenchyma than this beyond the midline, a kidney is on neither side."""
MIDLINE_MM = 15.0
"""With its center nearer to the midline than this, a kidney is on neither side."""
MOST_LESIONS = 300
"""Lesions of a scan that are measured and listed; polycystic kidneys show some hundred."""


@dataclass(frozen=True, eq=False)
class Group:
    """One kidney with its lesions, or a lesion without a kidney.

    Attributes
    ----------
    labels : Volume
        uint8, canonical orientation, the group's own box; other structures are blanked.
    box : tuple of slice
        Where the box lies in the canonical scan.
    side : Side
        By the midline.
    is_kidney : bool
        False for lesions that belong to no kidney.
    fused : bool
        Whether it crosses the midline.
    second : bool
        Whether its side has a larger kidney.
    offset_mm : float
        Distance of its parenchyma's center from the midline, positive on the patient's right.
    beside_mm : float
        Mean distance of its parenchyma from the midline, on either side: large for a horseshoe,
        small for what lies on the midline.
    bridged : bool
        Whether it was one component with another kidney, joined by a thin bridge.
    """

    labels: Volume
    box: Box
    side: Side
    is_kidney: bool
    fused: bool
    second: bool
    offset_mm: float
    beside_mm: float
    bridged: bool = False


@dataclass(frozen=True, eq=False)
class LesionMask:
    """One lesion in its own box: bool mask, canonical orientation."""

    kind: LesionKind
    mask: NDArray[np.bool_]
    box: Box
    """Where the box lies in the group's labels."""
    voxels: int


@dataclass(frozen=True)
class _Sided:
    """A component, or the first of several, with what decides about its side."""

    component: Component
    parenchyma_ml: float
    ml: float
    offset_mm: float
    """Of the center, from the midline."""
    beside_mm: float
    """Of its voxels on the mean, on either side."""
    share_right: float
    """Share of its voxels on the right of the midline."""


def find_groups(part: Volume, start: Box, midline: Midline) -> tuple[list[Group], float]:
    """Gather connected components into kidneys, and decide their sides.

    A kidney is a connected component (26 neighbors) of kidney, tumor and cyst together with at
    least 1 ml of parenchyma, and whatever lies within 10 mm of it; two that a thin bridge joins are
    two (`renalis.measurement.fused_kidneys`). The largest on a side is the left or right kidney.
    One whose parenchyma lies more than 15 % beyond the midline, or whose center is within 15 mm of
    it, and every further one on a side, is "other".

    Parameters
    ----------
    part : Volume
        KiTS23 labels in canonical orientation, a box of the scan.
    start : tuple of slice
        That box, in the indices of the canonical scan.
    midline : Midline
        Parts right from left.

    Returns
    -------
    list of Group
        Kidneys (left, right, others, largest first), then lesions without a kidney.
    float
        Parenchyma in ml in specks that belong to nothing.
    """
    components, bridged = split_fused(part, find_components(part.array > 0), midline)
    parenchyma = np.bincount(
        components.array[part.array == Label.KIDNEY], minlength=len(components.each) + 1
    )
    entries = [
        _sided(part, components, component, int(parenchyma[component.number]), midline)
        for component in components.each
    ]
    entries.sort(key=lambda entry: (-entry.parenchyma_ml, -entry.ml))
    gathered: list[list[_Sided]] = []
    alone: list[_Sided] = []
    specks = 0.0
    for entry in entries:
        gaps = [_gap_mm(part, components, entry, own) for own in gathered]
        if min(gaps, default=np.inf) < np.inf:
            gathered[int(np.argmin(gaps))].append(entry)
        elif entry.parenchyma_ml >= KIDNEY_ML:
            gathered.append([entry])
        elif entry.parenchyma_ml < entry.ml:
            alone.append(entry)
            specks += entry.parenchyma_ml
        else:
            specks += entry.parenchyma_ml
    kidneys = [
        replace(group, bridged=not bridged.isdisjoint(numbers))
        for group, numbers in _kidney_groups(part, start, components, gathered)
    ]
    lone = [
        _group(part, start, components, [entry], entry, _plain_side(entry), is_kidney=False)
        for entry in alone
    ]
    return kidneys + lone, specks


def find_lesions(group: Group) -> list[LesionMask]:
    """Connected components of tumor and of cyst (26 neighbors), largest first.

    A tumor and a cyst that touch are two lesions; two tumors that touch are one.
    """
    lesions = []
    for kind, value in ((LesionKind.TUMOR, Label.TUMOR), (LesionKind.CYST, Label.CYST)):
        found = find_components(group.labels.array == value)
        lesions += [
            LesionMask(kind, found.mask(component), component.box, component.voxels)
            for component in found.each
        ]
    return lesions


def largest_lesions(
    found: Sequence[tuple[Group, list[LesionMask]]], most: int = MOST_LESIONS
) -> tuple[list[tuple[Group, list[LesionMask]]], Counter[LesionKind]]:
    """The largest lesions of a scan, by group, and how many of each kind are left out.

    A network that has hardly learned anything names thousands, and each takes time to measure and
    a segment in the files.
    """
    order = sorted(
        ((-mask.voxels, group, index) for group, (_, masks) in enumerate(found)
         for index, mask in enumerate(masks)),
    )  # fmt: skip
    kept = {(group, index) for _, group, index in order[:most]}
    left = Counter(found[group][1][index].kind for _, group, index in order[most:])
    largest = [
        (group, [mask for index, mask in enumerate(masks) if (number, index) in kept])
        for number, (group, masks) in enumerate(found)
    ]
    return largest, left


def in_kidneys(part: Volume) -> NDArray[np.bool_]:
    """Voxels of components that are a kidney or belong to one, as `find_groups` gathers them.

    Parameters
    ----------
    part : Volume
        KiTS23 labels in canonical orientation, a box of the scan.

    Returns
    -------
    ndarray of bool, shape of ``part``
        Without specks, and without lesions that belong to no kidney.
    """
    i, j, k = (slice(0, size) for size in part.shape)
    # Where the midline lies decides about sides, not about what is a kidney's.
    groups, _ = find_groups(part, (i, j, k), Midline(0.0))
    found = np.zeros(part.shape, bool)
    for group in groups:
        if group.is_kidney:
            found[group.box] |= group.labels.array > 0
    return found


def _sided(
    part: Volume, components: Components, component: Component, parenchyma: int, midline: Midline
) -> _Sided:
    """Measure on which side a component lies, by its parenchyma where it has some."""
    inside = components.mask(component)
    if parenchyma:
        inside &= part.array[component.box] == Label.KIDNEY
    where = part.cropped(component.box).world(np.argwhere(inside))
    offsets = midline.offset_mm(where)
    return _Sided(
        component,
        parenchyma * part.voxel_ml,
        component.voxels * part.voxel_ml,
        float(offsets.mean()),
        float(np.abs(offsets).mean()),
        float((offsets > 0).mean()),
    )


def _gap_mm(part: Volume, components: Components, entry: _Sided, own: list[_Sided]) -> float:
    """How near a component lies to a kidney, infinite if it is no part of it."""
    across = (entry.offset_mm > 0) != (own[0].offset_mm > 0)
    if across and entry.parenchyma_ml >= WHOLE_KIDNEY_ML:
        return np.inf
    return gap_mm(
        part, components, entry.component, tuple(other.component for other in own), JOIN_MM
    )


def _together(own: list[_Sided]) -> _Sided:
    """A kidney's components as one, its place that of all its parenchyma."""
    weights = np.array([entry.parenchyma_ml or entry.ml * 1e-9 for entry in own])
    return replace(
        own[0],
        parenchyma_ml=sum(entry.parenchyma_ml for entry in own),
        ml=sum(entry.ml for entry in own),
        offset_mm=float(np.average([entry.offset_mm for entry in own], weights=weights)),
        beside_mm=float(np.average([entry.beside_mm for entry in own], weights=weights)),
        share_right=float(np.average([entry.share_right for entry in own], weights=weights)),
    )


def _crosses(entry: _Sided) -> bool:
    return min(entry.share_right, 1 - entry.share_right) > CROSSING_SHARE


def _plain_side(entry: _Sided) -> Side:
    """Side of one component by itself."""
    if _crosses(entry) or abs(entry.offset_mm) < MIDLINE_MM:
        return Side.OTHER
    return Side.RIGHT if entry.offset_mm > 0 else Side.LEFT


def _kidney_groups(
    part: Volume, start: Box, components: Components, gathered: list[list[_Sided]]
) -> list[tuple[Group, set[int]]]:
    """Left, right, then others, the largest first, with the numbers of their components."""
    wholes = sorted(
        ((_together(own), own) for own in gathered), key=lambda pair: -pair[0].parenchyma_ml
    )
    taken: set[Side] = set()
    groups = []
    for whole, own in wholes:
        side = _plain_side(whole)
        second = side in taken
        taken.add(side) if side is not Side.OTHER else None
        shown = Side.OTHER if second else side
        group = _group(part, start, components, own, whole, shown, second=second)
        groups.append((group, {entry.component.number for entry in own}))
    order = (Side.LEFT, Side.RIGHT, Side.OTHER)
    return sorted(groups, key=lambda pair: order.index(pair[0].side))


def _group(
    part: Volume,
    start: Box,
    components: Components,
    own: list[_Sided],
    whole: _Sided,
    side: Side,
    *,
    is_kidney: bool = True,
    second: bool = False,
) -> Group:
    """Cut a group's box out of the scan, without its neighbors."""
    box = around_all(entry.component.box for entry in own)
    crop = part.cropped(box)
    inside = np.isin(components.array[box], [entry.component.number for entry in own])
    labels = Volume(np.where(inside, crop.array, 0).astype(np.uint8), crop.affine, Kind.LABELS)
    place = in_whole(box, start)
    crosses = _crosses(whole)
    return Group(labels, place, side, is_kidney, crosses, second, whole.offset_mm, whole.beside_mm)
