"""Which side of the patient a component lies on, and the largest components of each side.

Sides are patient sides: the sign of x in the affine's coordinates against the body's middle. The
order of array axes plays no part.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import bounding_box, grown
from renalis.laterality import field_middle
from renalis.postprocessing.components import Component, Components, find_components
from renalis.preparation.body import find_body
from renalis.volume import Volume

__all__ = ["Split", "middle_x_mm", "smaller_on_each_side"]

Split = Literal["body_centroid", "middle"]


def middle_x_mm(grid: Volume, image: Volume | None, split: Split = "body_centroid") -> float:
    """Patient x in mm (RAS+, right is positive) of the plane between the sides.

    Parameters
    ----------
    grid : Volume
        Anything on the grid whose middle counts when no body is to be found.
    image : Volume or None
        The scan in HU, on any grid and in any orientation.
    split : {"body_centroid", "middle"}
        Centroid of the body's mask, or middle of the grid.
    """
    if split == "body_centroid" and image is not None:
        mask = find_body(image).mask
        if mask is not None:
            places = np.argwhere(mask.array > 0)
            return float(mask.world(places.mean(axis=0))[0])
    return float(field_middle(grid)[0])


def smaller_on_each_side(
    mask: Volume,
    middle_mm: float,
    *,
    per_side: int = 1,
    min_ml: float = 0.0,
    neighbors: Literal[6, 18, 26] = 26,
    joined_by: Volume | None = None,
) -> NDArray[np.bool_]:
    """Voxels of the components that are not among the largest on their side.

    A component belongs to the side of its center, so a kidney that reaches over the middle stays
    whole, and a horseshoe kidney is one component.

    Parameters
    ----------
    mask : Volume
        bool, any orientation.
    middle_mm : float
        From `middle_x_mm`.
    per_side : int
        Components to keep on each side.
    min_ml : float
        A component is kept only if it has at least this volume (ml).
    neighbors : {6, 18, 26}
        What belongs to one component: the neighborhood.
    joined_by : Volume, optional
        bool, on the same grid. Components that it connects count as one, such as the halves of a
        kidney on both sides of a tumor; their volume, their center and what is dropped are those
        of ``mask`` alone.

    Returns
    -------
    ndarray, shape of ``mask``, bool
    """
    dropped = np.zeros(mask.shape, dtype=bool)
    every = mask.array > 0 if joined_by is None else (mask.array > 0) | (joined_by.array > 0)
    box = bounding_box(every)
    if box is None:
        return dropped
    reach = grown(box, mask.shape)
    part, target = mask.cropped(reach), dropped[reach]
    found = find_components(every[reach], connectivity=neighbors)
    components = [
        (np.argwhere(_own(part, found, component)), component) for component in found.each
    ]
    components.sort(key=lambda one: (-len(one[0]), one[1].number))
    kept = {False: 0, True: 0}
    for own, component in components:
        if not len(own):
            continue
        center = own.mean(axis=0) + [side.start for side in component.box]
        right = bool(part.world(center)[0] > middle_mm)
        if kept[right] < per_side and len(own) * mask.voxel_ml >= min_ml:
            kept[right] += 1
        else:
            target[component.box][_own(part, found, component)] = True
    return dropped


def _own(mask: Volume, found: Components, component: Component) -> NDArray[np.bool_]:
    """A component's voxels inside its own bounding box that are the mask's, not what joins them."""
    return np.asarray(found.mask(component) & (mask.array[component.box] > 0))
