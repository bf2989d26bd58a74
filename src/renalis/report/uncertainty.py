"""How far a structure might reach: where the network's probability is small but not nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.boxes import Box, bounding_box, grown_mm, relative_to
from renalis.preparation import linear_weights
from renalis.preparation.resample import apply_matrices
from renalis.volume import Volume

__all__ = ["POSSIBLE", "Reach", "narrowed"]

POSSIBLE = 0.25
"""Probability above which a structure is called possible (not calibrated)."""


@dataclass(frozen=True, eq=False)
class Reach:
    """Where a structure is possible in a scan: linear interpolation of its probability.

    Parameters
    ----------
    values : ndarray of uint8
        Probability, 0 to 255, on a grid of its own; outside of it nothing is possible.
    matrix : ndarray, shape (4, 4)
        From indices in the scan to indices in ``values``.
    extent : tuple of slice
        The part of the scan that ``values`` reach into.
    weights : tuple of ndarray of float32, optional
        Of the voxels of ``values`` (columns) in those of the scan (rows) along each axis; None
        where the axes of both grids differ.
    """

    values: NDArray[np.uint8]
    matrix: NDArray[np.float64]
    extent: Box
    weights: tuple[NDArray[np.float32], ...] | None

    @classmethod
    def of(cls, probability: Volume, scan: Volume) -> Reach:
        """The reach of a structure in a scan, whose voxels are not looked at.

        Parameters
        ----------
        probability : Volume of uint8
            0 to 255, on a grid of its own.
        scan : Volume
        """
        matrix = np.linalg.inv(probability.affine) @ scan.affine
        corners = np.array(np.meshgrid(*[(-1, n) for n in probability.shape])).reshape(3, -1).T
        places = scan.index(probability.world(corners))
        low = np.clip(np.floor(places.min(axis=0)).astype(int), 0, scan.shape)
        high = np.clip(np.ceil(places.max(axis=0)).astype(int) + 1, 0, scan.shape)
        i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        weights = _weights(matrix, probability.shape, scan.shape)
        return cls(probability.array, matrix, (i, j, k), weights)

    def within(self, box: Box) -> NDArray[np.bool_]:
        """Where the structure is possible in a part of the scan, for example a single slice."""
        mask = np.zeros([side.stop - side.start for side in box], bool)
        i, j, k = (
            slice(max(one.start, other.start), min(one.stop, other.stop))
            for one, other in zip(box, self.extent, strict=True)
        )
        if all(side.start < side.stop for side in (i, j, k)):
            part = relative_to((i, j, k), box)
            mask[part] = self._interpolated((i, j, k)) >= POSSIBLE * 255
        return mask

    def _interpolated(self, box: Box) -> NDArray[np.float32]:
        """Values in a part of the scan; beyond the centers of the outermost voxels they are 0."""
        if self.weights is not None:
            rows = [matrix[side] for matrix, side in zip(self.weights, box, strict=True)]
            return apply_matrices(self.values, rows)
        return np.asarray(
            ndimage.affine_transform(
                self.values,
                self.matrix[:3, :3],
                self.matrix[:3, :3] @ [side.start for side in box] + self.matrix[:3, 3],
                output_shape=tuple(side.stop - side.start for side in box),
                output=np.float32,
                order=1,
                mode="constant",
            )
        )


def _weights(
    matrix: NDArray[np.float64], inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> tuple[NDArray[np.float32], ...] | None:
    """Linear interpolation axis by axis, in a third of the time, where the axes are the same."""
    step, first = np.diag(matrix)[:3], matrix[:3, 3]
    if not np.allclose(matrix[:3, :3], np.diag(step), atol=1e-6) or (step <= 0).any():
        return None
    weights = []
    for n, m, each, start in zip(inputs, outputs, step, first, strict=True):
        place = start + each * np.arange(m)
        rows = linear_weights(n, 0, m, each, (each - 1) / 2 - start)
        rows[(place < -1e-6) | (place > n - 1 + 1e-6)] = 0
        weights.append(rows)
    return tuple(weights)


def narrowed(probability: Volume) -> Volume | None:
    """The part of a probability volume in which anything is possible."""
    box = bounding_box(probability.array >= POSSIBLE * 255)
    if box is None:
        return None
    spacing = probability.spacing
    return probability.cropped(grown_mm(box, probability.shape, spacing, max(spacing)))
