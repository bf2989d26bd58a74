"""Two kidneys that a thin bridge makes one component: a leak, a tumor that reaches over, two cysts.

The isthmus of a horseshoe kidney is about as thick as parenchyma is. What joins two kidneys and is
less than a third of that is taken for no isthmus, and the component is parted there. Two polycystic
kidneys that press on each other touch more broadly: with a quarter of cysts in both, they are
parted where the neck is less than half as thick as the thinner one.
"""

from __future__ import annotations

from dataclasses import replace

import edt
import numpy as np
from numpy.typing import NDArray

from renalis.conventions import Label
from renalis.laterality import Midline
from renalis.measurement.frame import STEP_MM, frame_for, sampled
from renalis.postprocessing.components import Component, Components, find_components
from renalis.volume import Kind, Volume

__all__ = ["WHOLE_KIDNEY_ML", "split_fused"]

WHOLE_KIDNEY_ML = 20.0
"""Parenchyma on either side of the midline from which there may be two kidneys."""
NECK = 1 / 3
"""A neck thinner than this share of the parenchyma's thickness is a bridge."""
PARENCHYMA_MM = 12.0
"""Half the thickness of parenchyma is at most this; a label map without a sinus looks thicker."""
CYSTIC_SHARE = 0.25
CYSTIC_NECK = 1 / 2
SHARED = 0.5
"""A lesion whose contact with one kidney is at least this share of that with the other may be one
that grows in an isthmus; otherwise it belongs to the kidney that it touches more."""
TOUCH_MM = 2 * STEP_MM
LEAST_MM = STEP_MM / 2
"""Thinnest bridge looked for; what the frame cannot show is thinner."""


def split_fused(
    part: Volume, components: Components, midline: Midline
) -> tuple[Components, frozenset[int]]:
    """Part components that hold a kidney on either side of the midline with a thin bridge between.

    Parameters
    ----------
    part : Volume
        KiTS23 labels in canonical orientation.
    components : Components
        Connected components of everything above zero in it.
    midline : Midline
        Parts right from left.

    Returns
    -------
    Components
        The same, or with components that were parted in two; none of the voxels is lost.
    frozenset of int
        Numbers of the components that were made by parting one.
    """
    made: set[int] = set()
    for component in components.each:
        if component.voxels * part.voxel_ml < 2 * WHOLE_KIDNEY_ML:
            continue
        own = part.cropped(component.box)
        labels = np.where(components.mask(component), own.array, 0).astype(np.uint8)
        second = _second_kidney(own.like(labels, Kind.LABELS), midline)
        if second is not None:
            components, number = _with_second(components, component, second)
            made |= {component.number, number}
    return components, frozenset(made)


def _second_kidney(own: Volume, midline: Midline) -> NDArray[np.bool_] | None:
    """Voxels of a component that belong to a second kidney; None when it is one."""
    where = np.argwhere(own.array == Label.KIDNEY)
    right = midline.offset_mm(own.world(where)) > 0
    if min(np.count_nonzero(right), np.count_nonzero(~right)) * own.voxel_ml < WHOLE_KIDNEY_ML:
        return None
    frame = frame_for(own)
    labels = np.asarray(sampled(own, frame), dtype=np.uint8)
    # The frame lies along the patient's axes, and the midline runs from back to front.
    flat = np.moveaxis(np.indices((frame.shape[0], 1, frame.shape[2])), 0, -1)
    offset = np.broadcast_to(midline.offset_mm(frame.world(flat)), frame.shape)
    # A tumor may reach over, so it holds nothing together.
    sides = (offset > 0, offset <= 0)
    seeds = _parted_at_neck(labels == Label.KIDNEY, sides, NECK, PARENCHYMA_MM)
    if seeds is None and min(_cystic(labels[side]) for side in sides) >= CYSTIC_SHARE:
        both = (labels == Label.KIDNEY) | (labels == Label.CYST)
        seeds = _parted_at_neck(both, sides, CYSTIC_NECK, np.inf)
    if seeds is None:
        return None
    nearer = _distance(seeds[1]) < _distance(seeds[0])
    halves = [(labels == Label.KIDNEY) & ~nearer, (labels == Label.KIDNEY) & nearer]
    to_halves = [_distance(half) <= TOUCH_MM for half in halves]
    for value in (Label.TUMOR, Label.CYST):
        found = find_components(labels == value)
        for lesion in found.each:
            inside = found.array == lesion.number
            contact = [int(np.count_nonzero(inside & near)) for near in to_halves]
            if min(contact) >= SHARED * max(contact) and max(contact):
                if value == Label.TUMOR:
                    return None
                continue  # cysts of two polycystic kidneys: each keeps what is nearer
            nearer[inside] = contact[1] > contact[0] if max(contact) else nearer[inside]
    return _on_grid(nearer, frame, own)


def _parted_at_neck(
    mask: NDArray[np.bool_],
    sides: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    share: float,
    largest_mm: float,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Cores of two kidneys that hang together by a thin neck only; None when the neck is thick.

    The neck is thin when an erosion by ``share`` of the thickness, at most of ``largest_mm``, parts
    the deepest places of both sides from each other.
    """
    depth = edt.edt(np.pad(mask, 1), anisotropy=(STEP_MM,) * 3, black_border=True, parallel=1)
    depth = np.asarray(depth)[1:-1, 1:-1, 1:-1]
    deepest = [
        np.unravel_index(int(np.where(side, depth, 0).argmax()), depth.shape) for side in sides
    ]
    thickness = min(largest_mm, *(float(depth[place]) for place in deepest))
    core = find_components(depth > max(share * thickness, LEAST_MM), connectivity=6).array
    one, other = (int(core[place]) for place in deepest)
    if not one or not other or one == other:
        return None
    return core == one, core == other


def _cystic(labels: NDArray[np.uint8]) -> float:
    """Share of cysts in what is labeled."""
    return float((labels[labels > 0] == Label.CYST).mean()) if labels.any() else 0.0


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    away = edt.edt(~mask, anisotropy=(STEP_MM,) * 3, black_border=False, parallel=1)
    return np.asarray(away, dtype=np.float32)


def _on_grid(mask: NDArray[np.bool_], frame: Volume, grid: Volume) -> NDArray[np.bool_]:
    """A mask of the frame on the component's own grid."""
    return np.asarray(sampled(frame.like(mask.astype(np.uint8), Kind.LABELS), grid) > 0)


def _with_second(
    components: Components, component: Component, second: NDArray[np.bool_]
) -> tuple[Components, int]:
    """The components, one of them parted in two, and the new one's number."""
    array = components.array.astype(np.uint32)
    number = int(array.max()) + 1
    array[component.box][second & components.mask(component)] = number
    halves = []
    for own in (component.number, number):
        inside = array[component.box] == own
        where = np.argwhere(inside)
        i, j, k = (
            slice(outer.start + int(low), outer.start + int(high) + 1)
            for outer, low, high in zip(
                component.box, where.min(axis=0), where.max(axis=0), strict=True
            )
        )
        starts = [outer.start for outer in component.box]
        halves.append(
            replace(
                component,
                number=own,
                voxels=len(where),
                box=(i, j, k),
                centroid=where.mean(axis=0) + starts,
            )
        )
    kept = [other for other in components.each if other.number != component.number]
    ordered = sorted([*kept, *halves], key=lambda found: (-found.voxels, found.number))
    return Components(array, tuple(ordered)), number
