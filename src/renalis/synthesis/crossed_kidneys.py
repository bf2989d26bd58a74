"""Crossed kidneys from annotated ones: one of a patient's two kidneys moved to the other side."""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.volume import CANONICAL, Kind, Volume

__all__ = ["crossed_kidneys", "two_kidneys"]

_ROOM_MM = 90.0
"""What is added below the kidneys."""

_LATERAL_MM = 25.0
_LEAST_ML = 30.0


def two_kidneys(labels: NDArray[np.uint8], spacing: float) -> list[NDArray[np.bool_]]:
    """Masks of the two largest separate renal bodies, as far as they exceed 30 ml.

    Parameters
    ----------
    labels : ndarray, shape (Z, Y, X), uint8
        KiTS23 labels.
    spacing : float
        Isotropic voxel size in mm.
    """
    parts = cc3d.connected_components(labels > 0, connectivity=26)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest = np.argsort(sizes)[::-1][:2]
    return [parts == i for i in largest if sizes[i] * spacing**3 > _LEAST_ML * 1000]


def crossed_kidneys(labels: Volume, rng: np.random.Generator) -> Volume:
    """Move one of two kidneys below the other or before the spine, mostly fused with it.

    After the horseshoe the most frequent fusion of kidneys (Hameed et al., Open Urology and
    Nephrology Journal 2018).

    Parameters
    ----------
    labels : Volume
        KiTS23 labels with isotropic voxels.
    rng : Generator
        Source of randomness.

    Returns
    -------
    Volume
        In canonical orientation, with more room below; the same labels where there are not two
        kidneys.
    """
    volume = labels.reoriented(CANONICAL)
    spacing = float(volume.spacing[0])
    room = round(_ROOM_MM / spacing)
    lateral = round(_LATERAL_MM / spacing)
    widths = ((room, 0), (lateral, lateral), (lateral, lateral))
    array = np.pad(np.asarray(volume.array, np.uint8), widths)
    affine = volume.affine.copy()
    affine[:3, 3] = volume.world(-np.array([room, lateral, lateral], float))
    sides = two_kidneys(array, spacing)
    if len(sides) < 2:
        return labels
    mover = int(rng.integers(2))
    goes, stays = np.argwhere(sides[mover]), np.argwhere(sides[1 - mover])
    across = rng.uniform(0, 1)  # from below the other kidney to before the spine
    width = goes[:, 2].mean() - stays[:, 2].mean()
    goal_x = stays[:, 2].mean() + across * width * rng.uniform(0.35, 0.6)
    # The mover's top lies at the other's lower third, or higher where it lies next to it.
    height = np.ptp(stays[:, 0])
    goal_top = stays[:, 0].min() + (0.25 + 0.3 * across) * height * rng.uniform(0.3, 1.3)
    goal_y = stays[:, 1].mean() - across * rng.uniform(10, 30) / spacing
    shift = np.rint(
        [
            goal_top - goes[:, 0].max(),
            goal_y - goes[:, 1].mean(),
            goal_x - goes[:, 2].mean(),
        ]
    ).astype(int)
    place = goes + shift
    if ((place < 0) | (place >= array.shape)).any():
        return labels
    moved = np.where(sides[1 - mover], array, 0).astype(np.uint8)
    before = moved[tuple(place.T)]
    moved[tuple(place.T)] = np.maximum(before, array[tuple(goes.T)])
    if rng.random() < 0.9:
        close = ndimage.binary_closing(
            moved > 0, ndimage.generate_binary_structure(3, 1), round(rng.uniform(3, 7) / spacing)
        )
        seam = np.maximum(stays.min(0), place.min(0)), np.minimum(stays.max(0), place.max(0))
        margin = round(6 / spacing)
        box = tuple(
            slice(max(int(a) - margin, 0), max(int(b) + margin, 0))
            for a, b in zip(*seam, strict=True)
        )
        moved[box] = np.where(close[box] & (moved[box] == 0), 1, moved[box])
    return Volume(moved, affine, Kind.LABELS)
