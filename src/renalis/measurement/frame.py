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
ASLANT = 1e-9
"""Voxels across per voxel along, below which axes run the same way."""


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
    to_source = np.linalg.inv(volume.affine) @ frame.affine
    linear = volume.kind is not Kind.LABELS
    axes = _axes(to_source[:3, :3])
    if axes is not None:
        return _along_axes(volume.array, to_source, axes, frame.shape, linear=linear)
    if not linear:
        return _turned(volume.array, to_source, frame.shape, 0, "grid-constant")
    inside = _turned(np.ones(volume.shape, np.uint8), to_source, frame.shape, 0, "grid-constant")
    return np.asarray(_turned(volume.array, to_source, frame.shape, 1, "nearest") * inside)


def _axes(turn: NDArray[np.float64]) -> list[int] | None:
    """The frame's axis along which each axis of a volume runs; None where they run aslant."""
    axes = np.abs(turn).argmax(axis=1).tolist()
    rest = np.abs(turn)
    rest[range(3), axes] = 0
    return axes if sorted(axes) == [0, 1, 2] and rest.max() < ASLANT else None


def _along_axes(
    array: NDArray[Any],
    to_source: NDArray[np.float64],
    axes: list[int],
    shape: tuple[int, int, int],
    *,
    linear: bool,
) -> NDArray[Any]:
    """Values on a frame with a volume's own axes, one axis after the other."""
    values = array
    box: list[slice] = [slice(0)] * 3
    for axis, (own, size) in enumerate(zip(axes, array.shape, strict=True)):
        places = to_source[axis, own] * np.arange(shape[own]) + to_source[axis, 3]
        nearest = np.floor(places + 0.5)
        inside = np.flatnonzero((nearest >= 0) & (nearest < size))
        if not inside.size:
            return np.zeros(shape, array.dtype)
        box[own] = slice(int(inside[0]), int(inside[-1]) + 1)
        if not linear:
            values = values.take(nearest[inside].astype(np.intp), axis=axis)
            continue
        within = np.clip(places[inside], 0, size - 1)
        below = np.floor(within).astype(np.intp)
        above = np.minimum(below + 1, size - 1)
        share = (within - below).reshape([-1 if other == axis else 1 for other in range(3)])
        values = values.take(below, axis=axis) * (1 - share) + values.take(above, axis=axis) * share
    if linear and np.issubdtype(array.dtype, np.integer):
        values = np.floor(values + 0.5)
    found = np.zeros(shape, array.dtype)
    found[tuple(box)] = values.transpose(np.argsort(axes))
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
