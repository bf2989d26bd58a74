"""A segmentation as it was stored, in our labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.conventions import Label
from renalis.errors import InputError
from renalis.io.label_placement import labels_on
from renalis.volume import Kind, Volume

__all__ = ["Segmented", "painted", "placed"]

_SAME_MM = 0.01
_LOST = 0.02

PAINTED = (Label.KIDNEY, Label.CYST, Label.TUMOR)
"""Order in which labels are painted: where segments overlap, the later one is kept."""


@dataclass(frozen=True)
class Segmented:
    """Labels read from segments.

    Parameters
    ----------
    volume : Volume
        uint8, 0 background, 1 kidney, 2 tumor, 3 cyst.
    known : frozenset of Label
        What the file has segments for, empty ones too; of the rest it says nothing.
    notes : tuple of str
        What was left out or changed, in sentences.
    """

    volume: Volume
    known: frozenset[Label]
    notes: tuple[str, ...] = ()


def painted(array: NDArray[np.uint8], masks: Iterable[tuple[Label, NDArray[np.bool_]]]) -> None:
    """Paint masks into an array in the order of `PAINTED`; what is there already counts, too."""
    rank = np.zeros(max(PAINTED) + 1, dtype=np.uint8)
    for place, label in enumerate(PAINTED, 1):
        rank[label] = place
    for label, mask in masks:
        array[mask & (rank[array] < rank[label])] = label


def placed(segmented: Segmented, grid: Volume, name: str) -> Segmented:
    """The labels on another grid, by the affines.

    Parameters
    ----------
    segmented : Segmented
        On a grid of its own, which may cover only the slices that hold a segment.
    grid : Volume
        Where they are wanted.
    name : str
        The file, for messages.

    Raises
    ------
    InputError
        If none of the labels lie on the grid.
    """
    volume, notes = segmented.volume, list(segmented.notes)
    on_grid = labels_on(volume, grid.shape, grid.affine)
    before = int(np.count_nonzero(volume.array)) * volume.voxel_ml
    after = int(np.count_nonzero(on_grid.array)) * grid.voxel_ml
    if before and not after:
        raise InputError(
            f"the segments of {name} lie outside of the other label map's grid; check that both "
            "are of the same scan"
        )
    if not _on_lattice(volume, grid):
        notes.append("its voxels lie on another grid; each of the grid's takes the nearest label")
    if abs(before - after) > _LOST * before:
        notes.append(f"of its {before:.1f} ml, {after:.1f} ml came to lie on the grid")
    return Segmented(Volume(on_grid.array, grid.affine, Kind.LABELS), segmented.known, tuple(notes))


def _on_lattice(volume: Volume, grid: Volume) -> bool:
    """Whether voxel centers of one are voxel centers of the other."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in volume.shape])).reshape(3, -1).T
    index = grid.index(volume.world(corners))
    off = np.abs(index - np.rint(index)) * grid.spacing
    equal = np.sort(volume.spacing) - np.sort(grid.spacing)
    return bool(off.max() <= _SAME_MM * 5 and np.abs(equal).max() <= _SAME_MM)
