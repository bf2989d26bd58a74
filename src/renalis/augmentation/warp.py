"""One spatial transform in mm, applied to any grid whose middle is the transform's origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["Warp", "rotation", "warp_array"]


@dataclass(frozen=True, eq=False)
class Warp:
    """Says for each place of the result where it comes from: ``q = matrix @ (p + u(p)) + shift``.

    Places are mm from the common center, along the array's axes.

    Attributes
    ----------
    matrix : ndarray, shape (D, D)
        D is 2 for transforms within slices, 3 for transforms of volumes.
    shift_mm : ndarray, shape (D,)
    control_mm : ndarray, shape (D, c, c[, c]), or None
        Displacements at the control points of a cubic B-spline, u.
    extent_mm : ndarray, shape (D,)
        Side of the box around the center that the control points span; u is continued beyond it.
    """

    matrix: NDArray[np.float64]
    shift_mm: NDArray[np.float64]
    control_mm: NDArray[np.float64] | None = None
    extent_mm: NDArray[np.float64] | None = None

    @property
    def dims(self) -> int:
        """2 or 3."""
        return len(self.matrix)


def rotation(angles_rad: Sequence[float]) -> NDArray[np.float64]:
    """Rotation matrix of one angle (in the plane) or three (about the axes 0, 1, 2, in order).

    Acts on places in mm along the array's axes; the sign of an angle has no anatomical meaning.
    """
    if len(angles_rad) == 1:
        c, s = np.cos(angles_rad[0]), np.sin(angles_rad[0])
        return np.array([[c, -s], [s, c]])
    matrix = np.eye(3)
    for axis, angle in enumerate(angles_rad):
        a, b = [other for other in range(3) if other != axis]
        turn = np.eye(3)
        turn[[a, a, b, b], [a, b, a, b]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        matrix = matrix @ turn
    return matrix


def warp_array(
    array: NDArray[np.generic],
    spacing_mm: Sequence[float],
    warp: Warp,
    shape: Sequence[int] | None = None,
    *,
    order: int = 1,
    fill: float = 0.0,
) -> NDArray[np.generic]:
    """Apply a warp to one array.

    Parameters
    ----------
    array : ndarray, shape (..., [Z,] Y, X)
        Axes before the last ``warp.dims`` are moved alike.
    spacing_mm : sequence of float
        Voxel size along the last ``warp.dims`` axes.
    warp : Warp
    shape : sequence of int, optional
        Of the result along these axes, around the same center; the array's own by default.
    order : {0, 1}
        Nearest (labels) or linear.
    fill : float
        Value beyond the array.

    Returns
    -------
    ndarray, the array's number type
        C-ordered.
    """
    dims = warp.dims
    inside, outside = array.shape[-dims:], array.shape[:-dims]
    wanted = tuple(inside if shape is None else shape)
    grid = _source_grid(warp, spacing_mm, inside, wanted)
    values = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    values = values.reshape(1, -1, *inside)
    if fill:
        values = values - fill  # beyond the array, grid_sample gives 0
    mode = "bilinear" if order else "nearest"
    result = functional.grid_sample(values, grid[None], mode, "zeros", align_corners=False)
    if fill:
        result += fill
    return result.reshape(*outside, *wanted).numpy().astype(array.dtype, copy=False)


def _source_grid(
    warp: Warp, spacing_mm: Sequence[float], inside: Sequence[int], wanted: Sequence[int]
) -> Tensor:
    """Where each voxel comes from, as grid_sample counts: -1 to 1 between the outer borders."""
    dims = warp.dims
    places = [
        torch.from_numpy((np.arange(n) - (n - 1) / 2) * mm)
        for n, mm in zip(wanted, spacing_mm, strict=True)
    ]
    # Scale mm to borders first, so that the large arrays are touched once.
    scale = 2 / (np.asarray(spacing_mm, float) * np.asarray(inside))
    matrix, shift = warp.matrix * scale[:, None], warp.shift_mm * scale
    grid = torch.empty(*wanted, dims, dtype=torch.float32)
    moved = _displacement(warp, places)
    for axis in range(dims):
        terms = [
            (float(matrix[axis, a]) * places[a]).float().reshape(_along(a, dims))
            for a in range(dims)
        ]
        total = terms[0] + float(shift[axis])
        for term in terms[1:]:
            total = total + term
        if moved is not None:
            row = torch.from_numpy(matrix[axis]).float()
            total = total + torch.tensordot(row, moved, dims=1)
        grid[..., dims - 1 - axis] = total  # grid_sample wants x first
    return grid


def _along(axis: int, dims: int) -> list[int]:
    return [-1 if a == axis else 1 for a in range(dims)]


def _displacement(warp: Warp, places: Sequence[Tensor]) -> Tensor | None:
    """u in mm at the given places, (D, *shape): a product with one small matrix per axis."""
    if warp.control_mm is None or warp.extent_mm is None:
        return None
    field = torch.from_numpy(warp.control_mm).float()
    for axis, place in enumerate(places):
        points = warp.control_mm.shape[axis + 1]
        weights = torch.from_numpy(
            _spline_weights(place.numpy(), points, float(warp.extent_mm[axis]))
        )
        field = torch.movedim(torch.tensordot(field, weights, dims=([axis + 1], [1])), -1, axis + 1)
    return field


def _spline_weights(
    places: NDArray[np.float64], points: int, extent_mm: float
) -> NDArray[np.float32]:
    """Weights of the control points at places along an axis, (places, points)."""
    # Four points act on each interval, so there are three intervals fewer than points.
    position = (places / extent_mm + 0.5) * (points - 3) + 1
    position = np.clip(position, 1, points - 2)
    d = np.abs(position[:, None] - np.arange(points))
    weights = np.where(d < 1, 2 / 3 - d**2 * (1 - d / 2), np.maximum(0, 2 - d) ** 3 / 6)
    return weights.astype(np.float32)
