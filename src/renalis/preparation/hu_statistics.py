"""Mean and spread of HU over a training set, from histograms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["hu_histogram", "mean_and_std"]

_OFFSET = 32768


def hu_histogram(image: NDArray[np.int16], mask: NDArray[Any] | None = None) -> NDArray[np.int64]:
    """How often each HU value occurs. Histograms of cases add up to that of the training set.

    Parameters
    ----------
    image : ndarray, int16
        HU, any shape; may be a memory map.
    mask : ndarray, same shape, optional
        Count only where it is not 0.

    Returns
    -------
    ndarray, shape (65536,), int64
        Entry ``k`` counts ``k - 32768`` HU.
    """
    values = np.asarray(image).ravel() if mask is None else np.asarray(image)[np.asarray(mask) > 0]
    return np.bincount(values.astype(np.int32) + _OFFSET, minlength=2 * _OFFSET)


def mean_and_std(
    histogram: NDArray[np.int64], clip_hu: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Mean and standard deviation of the clipped HU that a histogram counts.

    Raises
    ------
    ValueError
        If the histogram is empty.
    """
    total = int(histogram.sum())
    if total == 0:
        raise ValueError("no voxels to compute a mean of")
    values = np.arange(-_OFFSET, _OFFSET, dtype=np.float64)
    if clip_hu is not None:
        values = np.clip(values, *clip_hu)
    mean = float((values * histogram).sum() / total)
    return mean, float(np.sqrt((((values - mean) ** 2) * histogram).sum() / total))
