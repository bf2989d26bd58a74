"""The rule about pinholes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import grown, touches_border
from renalis.postprocessing.components import find_components

__all__ = ["fill_holes"]


def fill_holes(labels: NDArray[np.uint8], most_voxels: float) -> int:
    """Fill closed cavities up to a size with the commonest label around them, in place.

    A cavity is closed when no face connects it to the outside; cavities that reach the array's
    border are open.

    Parameters
    ----------
    labels : ndarray, shape (Z, Y, X), uint8
        Label map; changed in place.
    most_voxels : float
        Largest cavity that is filled.

    Returns
    -------
    int
        Number of voxels filled.
    """
    filled = 0
    renal = find_components(labels > 0)
    for component in renal.each:
        # A closed cavity needs at least the six face neighbors of one voxel around it.
        if component.voxels < 6:
            continue
        box = grown(component.box, labels.shape)
        inside = labels[box]
        cavities = find_components(inside == 0, connectivity=6)
        for cavity in cavities.each:
            if cavity.voxels > most_voxels or touches_border(cavity.box, inside.shape):
                continue
            around = grown(cavity.box, inside.shape)
            counts = np.bincount(inside[around].ravel(), minlength=4)
            counts[0] = 0
            inside[around][cavities.array[around] == cavity.number] = counts.argmax()
            filled += cavity.voxels
    return filled
