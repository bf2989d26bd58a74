"""Predict a volume slice by slice with a 2D network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.prediction.network_inputs import BatchNetwork
from renalis.prediction.padded_patches import Prepare, Progress, as_float, batches, cut

__all__ = ["predict_slices"]


def predict_slices(
    image: NDArray[Any],
    network: BatchNetwork,
    *,
    axis: int = 0,
    batch: int = 8,
    divisor: int = 1,
    fill: float = 0.0,
    prepare: Prepare = as_float,
    progress: Progress | None = None,
    region: NDArray[np.bool_] | None = None,
    outside: float = 0.0,
) -> NDArray[np.float32]:
    """Probabilities of every slice, stacked.

    Parameters
    ----------
    image : ndarray, shape (Z, Y, X)
        Stored voxels in canonical order.
    network : BatchNetwork
        Computes (N, 1, height, width) to ``seg`` (N, K, height, width).
    axis : int
        0 axial, 1 coronal, 2 sagittal slices. A slice keeps the order of the other two axes.
    batch : int
        Slices at once.
    divisor : int
        Slices are continued at their end to a multiple of this, and cut again: networks that halve
        the size five times take multiples of 32.
    fill : float
        Value of what is added, in the network's input units.
    prepare : callable
        Stored voxels to input.
    progress : callable, optional
        Called after each batch.
    region : ndarray, shape (Z, Y, X), bool, optional
        The network sees only this part, and all classes are 0 elsewhere. Slices without any of it
        are left out.
    outside : float
        What the network sees elsewhere, in its input units.

    Returns
    -------
    ndarray, shape (K, Z, Y, X), float32

    Raises
    ------
    ValueError
        If the region has another shape than the image, or the network's output has another size.
    """
    turned = np.moveaxis(image, axis, 0)
    height, width = turned.shape[1:]
    size = (-(-height // divisor) * divisor, -(-width // divisor) * divisor)
    chosen: list[int] = list(range(len(turned)))
    seen: NDArray[np.bool_] | None = None
    if region is not None:
        if region.shape != image.shape:
            raise ValueError(f"an image of {image.shape}, but a region of {region.shape}")
        seen = np.moveaxis(region, axis, 0)
        chosen = np.flatnonzero(seen.any(axis=(1, 2))).tolist()
    result: NDArray[np.float32] | None = None
    done = 0
    for group in batches(chosen, batch):
        inputs = np.stack([cut(turned[i], (0, 0), size, fill, prepare) for i in group])
        if seen is not None:
            for row, number in zip(inputs, group, strict=True):
                row[:height, :width][~seen[number]] = outside
        output = network(inputs[:, None])["seg"]
        if output.shape[2:] != size:
            raise ValueError(f"a slice of {size} came back as {output.shape[2:]}")
        if result is None:
            result = np.zeros((output.shape[1], *turned.shape), np.float32)
        result[:, group] = output[:, :, :height, :width].swapaxes(0, 1)
        done += len(group)
        if progress is not None:
            progress(done, len(chosen))
    if result is None:
        # Nothing was asked: the number of classes is known from one empty slice.
        empty = np.full((1, 1, *size), fill, np.float32)
        result = np.zeros((network(empty)["seg"].shape[1], *turned.shape), np.float32)
    if seen is not None:
        result *= seen
    return np.moveaxis(result, 1, axis + 1)
