"""A kidney redrawn on an isotropic grid along the patient's axes.

Questions of shape (how far outside, how near, which pole) are asked here, so that thick slices,
oblique and sheared grids are all the same to them. Volumes and diameters are never taken from
this copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.preparation.alignment import EXACTLY, AxisMap, parallel_axes
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
    maps = parallel_axes(volume.affine, frame, EXACTLY)
    linear = volume.kind is not Kind.LABELS
    if maps is not None:
        return _along_axes(volume.array, maps, frame.shape, linear=linear)
    to_source = np.linalg.inv(volume.affine) @ frame.affine
    if not linear:
        return _turned(volume.array, to_source, frame.shape, 0, "grid-constant")
    inside = _turned(np.ones(volume.shape, np.uint8), to_source, frame.shape, 0, "grid-constant")
    return np.asarray(_turned(volume.array, to_source, frame.shape, 1, "nearest") * inside)


def _along_axes(
    array: NDArray[Any], maps: Sequence[AxisMap], shape: tuple[int, int, int], *, linear: bool
) -> NDArray[Any]:
    """Values on a frame with a volume's own axes, one axis after the other."""
    values = array.transpose([one.axis for one in maps])
    box = []
    for axis, (one, count, size) in enumerate(zip(maps, shape, values.shape, strict=True)):
        nearest, inside = one.nearest(count, size)
        first, last = np.flatnonzero(inside)[[0, -1]] if inside.any() else (0, -1)
        box.append(slice(first, last + 1))
        if not linear:
            values = values.take(nearest[inside], axis=axis)
            continue
        places = np.clip(one.places(0, count)[inside], 0, size - 1)
        below = np.floor(places).astype(np.intp)
        above = np.minimum(below + 1, size - 1)
        share = (places - below).reshape([-1 if other == axis else 1 for other in range(3)])
        values = values.take(below, axis=axis) * (1 - share) + values.take(above, axis=axis) * share
    if linear and np.issubdtype(array.dtype, np.integer):
        values = np.floor(values + 0.5)
    found = np.zeros(shape, array.dtype)
    found[tuple(box)] = values
    return found


def _turned(
    array: NDArray[Any],
    to_source: NDArray[np.float64],
    shape: tuple[int, int, int],
    order: int,
    mode: str,
) -> NDArray[Any]:
    """Values on a frame whose axes run aslant through a volume."""
    return np.asarray(
        ndimage.affine_transform(
            array,
            to_source[:3, :3],
            to_source[:3, 3],
            output_shape=shape,
            order=order,
            mode=mode,
            prefilter=False,
        )
    )
