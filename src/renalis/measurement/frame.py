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
from scipy.spatial import ConvexHull, QhullError

from renalis.postprocessing.components import surface
from renalis.volume import Kind, Volume

__all__ = ["STEP_MM", "frame_for", "hull_mask", "sampled"]

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


def hull_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels whose center lies in the convex hull of a mask's voxel centers.

    Solved column by column: along the last axis a convex body is one interval, whose ends follow
    from the hull's planes. That is a thousand times less work than testing every voxel.
    """
    points = surface(mask)
    try:
        planes = np.unique(np.round(ConvexHull(points).equations, 9), axis=0)
    except (QhullError, ValueError):
        return mask.copy()
    shape = mask.shape
    columns = np.stack(np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij"), -1)
    slack = -(columns @ planes[:, :2].T + planes[:, 3]) + 1e-6
    along = planes[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = slack / along
    top = np.where(along > 1e-9, ends, np.inf).min(axis=-1)
    bottom = np.where(along < -1e-9, ends, -np.inf).max(axis=-1)
    upright = np.where(np.abs(along) <= 1e-9, slack, 0.0)
    beside: NDArray[np.bool_] = np.asarray((upright >= 0).all(axis=-1))
    levels = np.arange(shape[2])
    inside = (levels >= bottom[..., None]) & (levels <= top[..., None])
    return np.asarray(inside & beside[..., None])
