"""How far a structure might reach: where the network's probability is small but not nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.boxes import bounding_box, grown_mm
from renalis.preparation import linear_weights
from renalis.preparation.resample import apply_matrices
from renalis.volume import Volume

__all__ = ["POSSIBLE", "narrowed", "possible"]

POSSIBLE = 0.25
"""Probability above which a structure is called possible (not calibrated)."""


def possible(probability: Volume, grid: Volume) -> NDArray[np.bool_]:
    """Where a structure is possible, on another grid.

    Parameters
    ----------
    probability : Volume of uint8
        0 to 255, on a grid of its own.
    grid : Volume
        Part of the scan, for example a single slice; its voxels are not looked at.

    Returns
    -------
    ndarray of bool, shape ``grid.shape``
        Linear interpolation; outside of ``probability`` nothing is possible.
    """
    mask = np.zeros(grid.shape, bool)
    corners = np.array(np.meshgrid(*[(-1, n) for n in probability.shape])).reshape(3, -1).T
    places = grid.index(probability.world(corners))
    low = np.clip(np.floor(places.min(axis=0)).astype(int), 0, grid.shape)
    high = np.clip(np.ceil(places.max(axis=0)).astype(int) + 1, 0, grid.shape)
    if (high <= low).any():
        return mask
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    part = grid.cropped((box[0], box[1], box[2]))
    matrix = np.linalg.inv(probability.affine) @ part.affine
    mask[box] = _interpolated(probability.array, matrix, part.shape) >= POSSIBLE * 255
    return mask


def _interpolated(
    values: NDArray[np.uint8], matrix: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Values at the voxels of another grid, whose indices ``matrix`` turns into those of values.

    Beyond the centers of the outermost voxels they are 0.
    """
    step = np.diag(matrix)[:3]
    if not np.allclose(matrix[:3, :3], np.diag(step), atol=1e-6) or (step <= 0).any():
        return np.asarray(
            ndimage.affine_transform(
                values,
                matrix[:3, :3],
                matrix[:3, 3],
                output_shape=shape,
                output=np.float32,
                order=1,
                mode="constant",
            )
        )
    # The same axes, as usual: one axis after the other, in a third of the time.
    lead = (step - 1) / 2 - matrix[:3, 3]
    weights = []
    for n, m, each, before, first in zip(
        values.shape, shape, step, lead, matrix[:3, 3], strict=True
    ):
        place = first + each * np.arange(m)
        rows = linear_weights(n, 0, m, each, before)
        rows[(place < -1e-6) | (place > n - 1 + 1e-6)] = 0
        if not rows.any():
            return np.zeros(shape, np.float32)
        weights.append(rows)
    return apply_matrices(values, weights)


def narrowed(probability: Volume) -> Volume | None:
    """The part of a probability volume in which anything is possible."""
    box = bounding_box(probability.array >= POSSIBLE * 255)
    if box is None:
        return None
    spacing = probability.spacing
    return probability.cropped(grown_mm(box, probability.shape, spacing, max(spacing)))
