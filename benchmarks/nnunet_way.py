"""Two steps of nnU-Net's preprocessing that no recipe of renalis takes, for comparisons with it."""

from __future__ import annotations

import numpy as np

from renalis.boxes import bounding_box
from renalis.preparation import Grid, GridSpec, linear_weights, place_grid
from renalis.preparation.resample import apply_matrices
from renalis.volume import Kind, Volume

__all__ = ["linear_labels", "same_extent"]


def same_extent(scan: Volume, spacing: tuple[float, float, float]) -> Grid:
    """The grid of about this spacing, in whole voxels, that covers exactly the scan."""
    counts = [max(1, round(n * have / new))
              for n, have, new in zip(scan.shape, scan.spacing, spacing, strict=True)]  # fmt: skip
    z, y, x = (n * have / m for n, have, m in zip(scan.shape, scan.spacing, counts, strict=True))
    return place_grid(scan, GridSpec("grid", spacing_mm=(z, y, x)))


def linear_labels(labels: Volume, grid: Grid) -> Volume:
    """Each class interpolated linearly; the largest wins, of equal ones the smallest label."""
    result = np.zeros(grid.shape, np.uint8)
    box = bounding_box(labels.array)
    if box is not None:
        # Only where a label reaches; the rest is background and costs nothing.
        rows, matrices = [], []
        for part, n, m, ratio in zip(box, labels.shape, grid.shape, grid.ratio, strict=True):
            matrix = linear_weights(n, 0, m, ratio)
            touched = np.flatnonzero(matrix[:, part].any(axis=1))
            rows.append(slice(touched[0], touched[-1] + 1) if touched.size else slice(0, 0))
            matrices.append(matrix[rows[-1]])
        result[tuple(rows)] = _largest_share(labels.array, matrices)
    return Volume(result, grid.affine, Kind.LABELS)


def _largest_share(array: np.ndarray, matrices: list[np.ndarray]) -> np.ndarray:
    spans = [np.flatnonzero(matrix.any(axis=0)) for matrix in matrices]
    if not all(span.size for span in spans):
        return np.zeros([matrix.shape[0] for matrix in matrices], np.uint8)
    used = tuple(slice(span[0], span[-1] + 1) for span in spans)
    array = array[used]
    matrices = [matrix[:, part] for matrix, part in zip(matrices, used, strict=True)]
    result = np.zeros([matrix.shape[0] for matrix in matrices], np.uint8)
    best = np.full(result.shape, -1, np.float32)
    for value in np.unique(array):
        share = apply_matrices(array == value, list(matrices))
        larger = share > best + np.float32(1e-6)
        result[larger] = value
        np.maximum(best, share, out=best)
    return result
