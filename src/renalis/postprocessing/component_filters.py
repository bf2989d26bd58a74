"""Connected components that are too small, or belong to nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from renalis.boxes import bounding_box, grown, in_whole, relative_to
from renalis.postprocessing.components import Component, find_components, surface
from renalis.postprocessing.diameters import axial_diameter
from renalis.volume import CANONICAL, Volume

__all__ = ["detached", "shorter_than", "smaller_than"]

Neighbors = Literal[6, 18, 26]
_RANK = {6: 1, 18: 2, 26: 3}


def detached(
    mask: Volume,
    to: Volume,
    *,
    radius_mm: float = 0.0,
    neighbors: Neighbors = 26,
    or_above_ml: float | None = None,
) -> NDArray[np.bool_]:
    """Voxels of the components that neither touch another mask nor come near it.

    Parameters
    ----------
    mask, to : Volume
        bool, on one grid, any orientation.
    radius_mm : float
        Components with a voxel center at most this far (mm, in patient space) from a voxel center
        of ``to`` stay. 0: only those that touch it.
    neighbors : {6, 18, 26}
        What touches, and what belongs to one component. Touching counts whatever the spacing.
    or_above_ml : float, optional
        Components above this volume (ml) stay anyway: a tumor can replace its kidney.

    Returns
    -------
    ndarray, shape of ``mask``, bool
    """
    footprint = ndimage.generate_binary_structure(3, _RANK[neighbors])

    def alone(part: Volume, inside: NDArray[np.bool_], component: Component, other: Volume) -> bool:
        if or_above_ml is not None and component.voxels * part.voxel_ml > or_above_ml:
            return False
        margins = tuple(int(np.ceil(2 * radius_mm / size)) + 1 for size in part.spacing)
        reach = grown(component.box, part.shape, margins)
        wanted = other.array[reach] > 0
        if not wanted.any():
            return True
        own = np.zeros(wanted.shape, dtype=bool)
        own[relative_to(component.box, reach)] = inside
        if (ndimage.binary_dilation(own, footprint) & wanted).any():
            return False
        if radius_mm <= 0:
            return True
        tree = cKDTree(part.world(surface(wanted)))
        near, _ = tree.query(part.world(surface(own)), distance_upper_bound=radius_mm * (1 + 1e-6))
        return not bool(np.isfinite(near).any())

    return _dropped(mask, to, neighbors, alone)


def smaller_than(mask: Volume, ml: float) -> NDArray[np.bool_]:
    """Voxels of the components of less than ``ml`` milliliters."""

    def small(part: Volume, inside: NDArray[np.bool_], component: Component, other: Volume) -> bool:
        return component.voxels * part.voxel_ml < ml

    return _dropped(mask, mask, 26, small)


def shorter_than(mask: Volume, mm: float) -> NDArray[np.bool_]:
    """Voxels of the components whose largest diameter in any axial slice is below ``mm``.

    The diameter is `renalis.postprocessing.diameters.axial_diameter`: between points of the
    outline, so that a single voxel has the diameter of its diagonal.
    """

    def short(part: Volume, inside: NDArray[np.bool_], component: Component, other: Volume) -> bool:
        return axial_diameter(inside, part.affine[:3, :3].T).long_mm < mm

    return _dropped(mask, mask, 26, short)


def _dropped(
    mask: Volume,
    other: Volume,
    neighbors: Neighbors,
    drop: Callable[[Volume, NDArray[np.bool_], Component, Volume], bool],
) -> NDArray[np.bool_]:
    """Ask about every component, in canonical orientation: axial slices are ``array[z]``."""
    result = np.zeros(mask.shape, dtype=bool)
    whole = mask.reoriented(CANONICAL)
    other_canonical = other.reoriented(CANONICAL)
    target: NDArray[Any] = mask.like(result, mask.kind).reoriented(CANONICAL).array
    box = bounding_box(whole.array)
    if box is None:
        return result
    found = find_components(np.ascontiguousarray(whole.array[box] > 0), connectivity=neighbors)
    for component in found.each:
        inside = found.mask(component)
        moved = in_whole(component.box, box)
        placed = Component(component.number, component.voxels, moved, component.centroid)
        if drop(whole, inside, placed, other_canonical):
            target[moved][inside] = True
    return result
