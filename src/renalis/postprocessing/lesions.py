"""Rules about single lesions: one kind each, and not too small."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box, bounding_box, grown
from renalis.conventions import Label
from renalis.postprocessing.components import find_components

__all__ = ["contact_shares", "drop_small_lesions", "face_areas", "vote"]


def face_areas(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area in mm² of a voxel's face across each array axis, exact for sheared grids."""
    steps = affine[:3, :3].T
    return np.array(
        [np.linalg.norm(np.cross(steps[(a + 1) % 3], steps[(a + 2) % 3])) for a in range(3)]
    )


def contact_shares(
    part: NDArray[np.bool_], other: NDArray[np.bool_], areas: NDArray[np.float64]
) -> float:
    """Share of a part's surface that faces another part, 0 to 1."""
    shared = total = 0.0
    padded, padded_other = np.pad(part, 1), np.pad(other, 1)
    for axis in range(3):
        one = np.moveaxis(padded, axis, 0)
        two = np.moveaxis(padded_other, axis, 0)
        for mine, next_mine, next_other in (
            (one[:-1], one[1:], two[1:]),
            (one[1:], one[:-1], two[:-1]),
        ):
            total += areas[axis] * np.count_nonzero(mine & ~next_mine)
            shared += areas[axis] * np.count_nonzero(mine & next_other)
    return shared / total if total else 0.0


def vote(labels: NDArray[np.uint8], areas: NDArray[np.float64], contact: float) -> int:
    """Give each lesion one kind, in place; returns the number of voxels changed.

    Parameters
    ----------
    labels : ndarray, shape (Z, Y, X), uint8
        KiTS23 labels; changed in place.
    areas : ndarray, shape (3,)
        Face areas of a voxel in mm².
    contact : float
        A smaller part that shares more than this of its surface with the other kind joins it.
    """
    labels = _lesion_box(labels)
    lesions = find_components(labels >= Label.TUMOR)
    changed = 0
    for lesion in lesions.each:
        own = lesions.mask(lesion)
        kinds = labels[lesion.box]
        if not ((kinds == Label.TUMOR) & own).any() or not ((kinds == Label.CYST) & own).any():
            continue
        changed += _vote_one(kinds, own, areas, contact)
    return changed


def _lesion_box(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A view of the part that holds lesions and what is adjacent to them."""
    box = bounding_box(labels >= Label.TUMOR)
    return labels[:0] if box is None else labels[grown(box, labels.shape)]


def _vote_one(
    kinds: NDArray[np.uint8], own: NDArray[np.bool_], areas: NDArray[np.float64], contact: float
) -> int:
    """The vote inside one lesion's box; the smallest parts are asked first."""
    parts: list[tuple[int, Label, Box, NDArray[np.bool_]]] = []
    for kind in (Label.TUMOR, Label.CYST):
        found = find_components((kinds == kind) & own)
        for component in found.each:
            box = grown(component.box, kinds.shape)
            parts.append((component.voxels, kind, box, found.array[box] == component.number))
    changed = 0
    for voxels, kind, box, part in sorted(parts, key=lambda entry: entry[0]):
        other = Label.CYST if kind == Label.TUMOR else Label.TUMOR
        of_other = (kinds[box] == other) & own[box]
        if voxels > np.count_nonzero((kinds == other) & own):
            continue
        if contact_shares(part, of_other, areas) > contact:
            kinds[box][part] = other
            changed += voxels
    return changed


def drop_small_lesions(labels: NDArray[np.uint8], least_voxels: float) -> int:
    """Turn lesions below a size into kidney, or background away from it; in place.

    Returns
    -------
    int
        Number of voxels changed.
    """
    changed = 0
    labels = _lesion_box(labels)
    for kind in (Label.TUMOR, Label.CYST):
        found = find_components(labels == kind)
        for component in found.each:
            if component.voxels >= least_voxels:
                continue
            box = grown(component.box, labels.shape)
            around: NDArray[Any] = labels[box]
            part = found.array[box] == component.number
            labels[box][part] = _most_common_neighbor(around, part)
            changed += component.voxels
    return changed


def _most_common_neighbor(around: NDArray[Any], part: NDArray[np.bool_]) -> int:
    """What surrounds a small lesion: another lesion or kidney if it touches them, else nothing."""
    counts = np.bincount(around[~part].ravel(), minlength=4)[:4]
    counts[Label.BACKGROUND] = 0
    return int(counts.argmax()) if counts.any() else int(Label.BACKGROUND)
