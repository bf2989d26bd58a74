"""A published fault of resampling labels, for those who want to repeat it."""

from __future__ import annotations

import numpy as np

from renalis.preparation.interpolation_weights import linear_weights
from renalis.preparation.resample import Grid, apply_matrices
from renalis.volume import Kind, Volume

__all__ = ["truncated_labels"]

_ROUNDING = 1e-4
"""Added before cutting off: weights that sum to 1 do so within float32's rounding."""


def truncated_labels(labels: Volume, grid: Grid) -> Volume:
    """Label values interpolated linearly as if they were measured, and cut off to whole numbers.

    This is a fault: between labels 0 and 1 it leaves 0, so that masks shrink, and between 0 and 2
    it invents 1. It is what ITK's linear interpolator does to images of integers, and what the
    published predictions of the 3D U-Nets on KiTS19 were trained with.

    Parameters
    ----------
    labels, grid
        As for `renalis.preparation.spline_resampling.regrid_labels`.

    Returns
    -------
    Volume
        uint8, C-ordered, on the grid.
    """
    matrices = [
        linear_weights(n, 0, m, ratio)
        for n, m, ratio in zip(labels.shape, grid.shape, grid.ratio, strict=True)
    ]
    values = apply_matrices(labels.array.astype(np.float32), list(matrices))
    return Volume((values + np.float32(_ROUNDING)).astype(np.uint8), grid.affine, Kind.LABELS)
