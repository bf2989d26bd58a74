"""Put images and labels on a grid, with splines of order 0, 1 or 3 along each axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.preparation.interpolation_weights import cubic_weights, linear_weights, nearest_index
from renalis.preparation.resample import Grid, apply_matrices
from renalis.volume import Kind, Volume

__all__ = ["regrid_image", "regrid_labels"]


def regrid_image(
    scan: Volume,
    grid: Grid,
    orders: Sequence[int] = (3, 3, 3),
    *,
    low_pass: float = 0.0,
    clip_hu: tuple[float, float] | None = None,
) -> Volume:
    """Interpolate an image at the voxel centers of a grid that shares its outer corner.

    With order 3 the result is that of ``skimage.transform.resize(order=3,
    mode="edge", anti_aliasing=False)``, and of nnU-Net's default preprocessing, up to float32's
    rounding (tests compare both by number); nnU-Net interpolates anisotropic scans with orders
    (0, 3, 3).

    Parameters
    ----------
    scan : Volume
        HU of any number type, in any memory order.
    grid : Grid
        From `renalis.preparation.place_grid` or `renalis.preparation.stage_grid` for this scan.
    orders : sequence of int
        Spline order 0 (nearest), 1 or 3 along each axis.
    low_pass : float
        Sigma of a Gaussian before reducing, times the reduction; 0 for none.
    clip_hu : tuple of float, optional
        Clip the scan before interpolating.

    Returns
    -------
    Volume
        float32, C-ordered, on the grid; cubic splines, which overshoot at metal, are clipped to the
        smallest and largest value that they were made from (of the scan, or of each slice when
        slices are picked).
    """
    array = scan.array
    # Nearest neighbours are picked, not multiplied: first where that leaves less to do.
    for axis, (order, n, ratio) in enumerate(zip(orders, grid.shape, grid.ratio, strict=True)):
        if order == 0 and (ratio != 1 or n != array.shape[axis]):
            array = np.take(array, nearest_index(array.shape[axis], 0, n, ratio), axis=axis)
    matrices = [
        _matrix(n, m, ratio, order, low_pass)
        for n, m, ratio, order in zip(array.shape, grid.shape, grid.ratio, orders, strict=True)
    ]
    result = apply_matrices(array, matrices, clip_hu)
    if 3 in orders:
        # Slices that do not mix keep their own ranges, as when each is resized alone.
        mixed = tuple(axis for axis in range(3) if orders[axis] != 0)
        low, high = array.min(axis=mixed, keepdims=True), array.max(axis=mixed, keepdims=True)
        if clip_hu is not None:
            low, high = (np.clip(end.astype(np.float64), *clip_hu) for end in (low, high))
        if low.size == 1:  # clipping to numbers is ten times as fast as clipping to arrays
            np.clip(result, float(low.item()), float(high.item()), out=result)
        else:
            np.clip(result, low, high, out=result)
    return Volume(result, grid.affine, scan.kind)


def _matrix(
    inputs: int, outputs: int, ratio: float, order: int, low_pass: float
) -> NDArray[np.float32]:
    """Interpolation along one axis; the identity where voxels were picked already."""
    if order == 0:
        return np.eye(inputs, dtype=np.float32)
    make = cubic_weights if order == 3 else linear_weights
    matrix = make(inputs, 0, outputs, ratio)
    if low_pass > 0 and ratio > 1:
        smooth = ndimage.gaussian_filter1d(np.eye(inputs), low_pass * ratio, axis=0, mode="nearest")
        matrix = (matrix @ smooth).astype(np.float32)
    return matrix


def regrid_labels(labels: Volume, grid: Grid) -> Volume:
    """The nearest voxel's label at each voxel center of a grid that shares the outer corner.

    Parameters
    ----------
    labels : Volume
        Whole numbers 0 to 255.
    grid : Grid
        As for `regrid_image`.

    Returns
    -------
    Volume
        uint8, C-ordered, on the grid.
    """
    picks = [
        nearest_index(n, 0, m, ratio)
        for n, m, ratio in zip(labels.shape, grid.shape, grid.ratio, strict=True)
    ]
    # Axis by axis, the largest reduction first: less to read for the others.
    array: NDArray[Any] = labels.array
    for axis in sorted(range(3), key=lambda a: -grid.ratio[a]):
        if not np.array_equal(picks[axis], np.arange(array.shape[axis])):
            array = np.take(array, picks[axis], axis=axis)
    return Volume(np.ascontiguousarray(array, dtype=np.uint8), grid.affine, Kind.LABELS)
