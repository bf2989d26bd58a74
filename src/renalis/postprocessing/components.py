"""Connected components of a label map, with bounding boxes and in patient mm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from renalis.boxes import Box, grown
from renalis.volume import Volume

__all__ = [
    "Component",
    "Components",
    "find_components",
    "gap_mm",
    "near",
    "row_ends",
    "surface",
]


@dataclass(frozen=True)
class Component:
    """One connected component.

    Attributes
    ----------
    number : int
        Its value in ``Components.array``.
    voxels : int
        Its size.
    box : tuple of slice
        Its bounding box, in the indices of ``Components.array``.
    centroid : ndarray, shape (3,)
        Index of its center in ``Components.array``.
    """

    number: int
    voxels: int
    box: Box
    centroid: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Components:
    """All connected components of a mask: a numbered array, and the components, largest first."""

    array: NDArray[Any]
    each: tuple[Component, ...]

    def mask(self, component: Component) -> NDArray[np.bool_]:
        """The component's voxels inside its own bounding box."""
        return np.asarray(self.array[component.box] == component.number)


def find_components(mask: NDArray[Any], connectivity: Literal[6, 18, 26] = 26) -> Components:
    """Connected components of a boolean mask.

    Parameters
    ----------
    mask : ndarray, shape (I, J, K), bool
        The mask.
    connectivity : {6, 18, 26}
        26: voxels that share a corner belong together.
    """
    if not mask.any():
        return Components(np.zeros(mask.shape, dtype=np.uint32), ())
    numbered = cc3d.connected_components(mask, connectivity=connectivity, binary_image=True)
    found = cc3d.statistics(numbered)
    counts, boxes, centers = (
        found["voxel_counts"],
        found["bounding_boxes"],
        found["centroids"],
    )
    components = [
        Component(
            number, int(counts[number]), _box(boxes[number]), np.asarray(centers[number], float)
        )
        for number in range(1, len(counts))
        if counts[number]
    ]
    components.sort(key=lambda component: (-component.voxels, component.number))
    return Components(numbered, tuple(components))


def _box(parts: tuple[slice, ...]) -> Box:
    i, j, k = parts
    return i, j, k


def surface(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Indices of the voxels of a mask that have a face towards its outside, shape (N, 3)."""
    padded = np.pad(mask, 1)
    core = mask.copy()
    for axis in range(3):
        for shift in (0, 2):
            window = [slice(1, -1)] * 3
            window[axis] = slice(shift, shift + mask.shape[axis])
            core &= padded[tuple(window)]
    return np.argwhere(mask & ~core)


def row_ends(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Indices of the first and last voxel of each row along the last axis, shape (N, mask.ndim).

    Whatever is linear in the place of a voxel is greatest and least at one of these.
    """
    rows = np.argwhere(mask.any(axis=-1))
    lines = mask[tuple(rows.T)]
    first = lines.argmax(axis=1)
    last = mask.shape[-1] - 1 - lines[:, ::-1].argmax(axis=1)
    return np.concatenate([np.column_stack([rows, first]), np.column_stack([rows, last])])


def near(
    grid: Volume,
    components: Components,
    one: Component,
    others: tuple[Component, ...],
    within_mm: float,
) -> bool:
    """Whether a component comes within a distance (mm, between voxel centers) of any other."""
    return gap_mm(grid, components, one, others, within_mm) < np.inf


def gap_mm(
    grid: Volume,
    components: Components,
    one: Component,
    others: tuple[Component, ...],
    within_mm: float,
) -> float:
    """How near a component comes to any other: mm between voxel centers, infinite if farther.

    Distances are taken in patient space, so anisotropic, oblique and sheared grids need no care.
    """
    if not others:
        return np.inf
    margins = tuple(int(np.ceil(2 * within_mm / size)) + 1 for size in grid.spacing)
    reach = grown(one.box, components.array.shape, margins)
    region = components.array[reach]
    wanted = np.isin(region, [other.number for other in others])
    if not wanted.any():
        return np.inf
    own = grid.world(surface(region == one.number))
    theirs = grid.world(surface(wanted))
    distance, _ = cKDTree(theirs).query(own, distance_upper_bound=within_mm * (1 + 1e-9))
    return float(distance.min())
