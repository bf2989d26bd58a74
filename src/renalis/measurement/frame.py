"""A kidney redrawn on an isotropic grid along the patient's axes.

Questions of shape (how far outside, how near, which pole) are asked here, so that thick slices,
oblique and sheared grids are all the same to them. Volumes and diameters are never taken from
this copy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.volume import Kind, Volume

__all__ = ["STEP_MM", "frame_for", "sampled"]

STEP_MM = 1.5
MARGIN_MM = 9.0
ODD_MM = 0.137
"""Keeps sample points off the scan's own voxel borders, where rounding would toss a coin."""


def frame_for(volume: Volume) -> Volume:
    """An empty isotropic grid (axes R, A, S) that holds a volume's box with a margin."""
    corners: NDArray[Any] = np.array(
        np.meshgrid(*[(-0.5, size - 0.5) for size in volume.shape])
    ).reshape(3, -1)
    world = volume.world(corners.T)
    low = world.min(axis=0) - MARGIN_MM - ODD_MM
    i, j, k = (int(n) for n in np.ceil((world.max(axis=0) + MARGIN_MM - low) / STEP_MM) + 1)
    affine = np.diag([STEP_MM, STEP_MM, STEP_MM, 1.0])
    affine[:3, 3] = low
    return Volume(np.zeros((i, j, k), dtype=np.uint8), affine, Kind.LABELS)


def sampled(volume: Volume, frame: Volume) -> NDArray[Any]:
    """A volume's values on a frame; labels by nearest voxel, others trilinear; 0 outside.

    Outside begins where the outermost voxels end, not at their centers.
    """
    if volume.kind is Kind.LABELS:
        return _on_frame(volume.array, volume, frame, 0, "grid-constant")
    inside = _on_frame(np.ones(volume.shape, np.uint8), volume, frame, 0, "grid-constant")
    return np.asarray(_on_frame(volume.array, volume, frame, 1, "nearest") * inside)


def _on_frame(
    array: NDArray[Any], grid: Volume, frame: Volume, order: int, mode: str
) -> NDArray[Any]:
    to_source = np.linalg.inv(grid.affine) @ frame.affine
    return np.asarray(
        ndimage.affine_transform(
            array,
            to_source[:3, :3],
            to_source[:3, 3],
            output_shape=frame.shape,
            order=order,
            mode=mode,
            prefilter=False,
        )
    )
