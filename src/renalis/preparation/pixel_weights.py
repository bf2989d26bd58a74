"""Pixel weights that make rare classes and their edges count."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["weight_map"]


def weight_map(
    labels: NDArray[np.uint8],
    kept: NDArray[np.bool_] | None = None,
    *,
    edge: float = 2.0,
    largest: float = 10.0,
    whole: bool = False,
) -> NDArray[np.float16]:
    """Median-frequency weights of a case's classes, more on the edges of its slices.

    ``w = median(count) / count[label] + edge * [the label changes here along rows or columns]``

    After ``estimate_weights_mfb`` of the published QuickNAT, with true division unless ``whole``:
    its ``//`` makes the background's weight 0 when there are two classes.

    Parameters
    ----------
    labels : ndarray, shape (Z, Y, X), uint8
        One value per class.
    kept : ndarray, shape (Z,), bool, optional
        Slices that classes are counted in; all by default.
    edge : float
        Weight added on edges.
    largest : float
        Weights are clipped to this.
    whole : bool
        Cut the first term off to a whole number, as ``//`` does.

    Returns
    -------
    ndarray, shape (Z, Y, X), float16

    Examples
    --------
    >>> weight_map(np.array([[[0, 0, 0, 0, 1, 1]]], np.uint8), edge=2.0).tolist()
    [[[0.75, 0.75, 0.75, 2.75, 3.5, 1.5]]]
    """
    counted = labels if kept is None else labels[kept]
    counts = np.bincount(counted.ravel(), minlength=256)
    present = counts > 0
    table = np.zeros(256, np.float32)
    if present.any():
        table[present] = np.median(counts[present]) / counts[present]
    if whole:
        table = np.floor(table)
    weights = table[labels]
    weights[_edges(labels)] += np.float32(edge)
    np.minimum(weights, np.float32(largest), out=weights)
    return weights.astype(np.float16)


def _edges(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels whose neighbours along rows or columns have another label."""
    found = np.zeros(labels.shape, dtype=bool)
    rows = labels[:, 1:] != labels[:, :-1]
    found[:, 1:] |= rows
    found[:, :-1] |= rows
    columns = labels[:, :, 1:] != labels[:, :, :-1]
    found[:, :, 1:] |= columns
    found[:, :, :-1] |= columns
    return found
