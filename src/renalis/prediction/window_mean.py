"""The weighted mean of what overlapping windows say, for every kind of prediction by windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.prediction.windows import Shape

__all__ = ["WindowMean"]


class WindowMean:
    """Adds windows up, then divides by their weights.

    Parameters
    ----------
    classes : int
        Channels of what a window says.
    shape : tuple of int
        Of the array that the windows lie on (Z, Y, X).
    importance : ndarray, shape (Z, Y, X) of a window, float32
        Weight of each of its voxels.
    """

    def __init__(self, classes: int, shape: Shape, importance: NDArray[np.float32]) -> None:
        self._total = np.zeros((classes, *shape), np.float32)
        self._weight = np.zeros(shape, np.float32)
        self._importance = importance

    def add(self, start: Shape, prediction: NDArray[np.float32]) -> None:
        """A window (K, Z, Y, X) that begins at a voxel; it may reach beyond the array's end."""
        patch = self._importance.shape
        there = tuple(
            slice(first, min(first + side, n))
            for first, side, n in zip(start, patch, self._weight.shape, strict=True)
        )
        here = tuple(slice(0, part.stop - part.start) for part in there)
        importance = self._importance[here]
        self._total[(slice(None), *there)] += prediction[(slice(None), *here)] * importance
        self._weight[there] += importance

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Where windows lay (Z, Y, X)."""
        return self._weight > 0

    def mean(self) -> NDArray[np.float32]:
        """The mean (K, Z, Y, X); 0 where no window lay. To be asked for once, at the end."""
        return np.divide(self._total, self._weight, out=self._total, where=self.seen)
