"""Sliding window with a fixed stride, averaged, as in the published 3D U-Nets.

A loop of its own beside `renalis.prediction.sliding`, because published systems differ in classes,
fill, weights and stored values, and pad and prepare each window for itself;
``test_both_sliding_windows_are_one_to_the_bit`` holds both equal where they do the same.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from renalis.prediction.network_inputs import BatchNetwork
from renalis.prediction.padded_patches import Prepare, Progress, as_float, batches, cut, inner
from renalis.prediction.window_mean import WindowMean
from renalis.prediction.windows import Shape, gaussian
from renalis.sampling.windows import window_list

__all__ = ["predict_windows", "strided_windows"]


def strided_windows(shape: Shape, patch: Shape, stride: Shape) -> list[Shape]:
    """First voxels of the windows that cover an array, as in training.

    The published code of ``unet3d-residual`` keeps an overhanging window only if it overhangs by
    less than half, and leaves up to a quarter of a scan unseen; here the last window along each
    axis ends at the border.
    """
    return [(z, y, x) for z, y, x in window_list(shape, patch, stride).tolist()]


def predict_windows(
    image: NDArray[Any],
    network: BatchNetwork,
    patch: Shape,
    stride: Shape,
    *,
    fill: float = 0.0,
    weight: Literal["uniform", "gaussian"] = "uniform",
    batch: int = 1,
    prepare: Prepare = as_float,
    progress: Progress | None = None,
    region: NDArray[np.bool_] | None = None,
    outside: float = 0.0,
) -> NDArray[np.float32]:
    """Mean probability over all windows that hold a voxel.

    Parameters
    ----------
    image : ndarray, shape (Z, Y, X)
        Stored voxels. Where it is smaller than a window it is continued at its end.
    network : BatchNetwork
        Computes (N, 1, *patch) to ``seg`` (N, K, *patch).
    patch, stride : tuple of int
        The window's shape and steps in voxels.
    fill : float
        Value of what is added, in the network's input units: that of air, not 0, where 0 is tissue.
    weight : {"uniform", "gaussian"}
        Whether a voxel counts alike in all of its windows, or most where it lies in the middle
        (`renalis.prediction.windows.gaussian`).
    batch : int
        Windows at once.
    prepare : callable
        Stored voxels to input.
    progress : callable, optional
        Called after each batch.
    region : ndarray, shape (Z, Y, X), bool, optional
        The network sees only this part, and all classes are 0 elsewhere. Windows without any of
        it are left out.
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
    depth, height, width = image.shape
    shape = (depth, height, width)
    windows = strided_windows(shape, patch, stride)
    if region is not None:
        if region.shape != shape:
            raise ValueError(f"an image of {shape}, but a region of {region.shape}")
        windows = [start for start in windows if region[inner(start, patch, shape)[0]].any()]
    importance = gaussian(patch) if weight == "gaussian" else np.ones(patch, np.float32)
    mean: WindowMean | None = None
    done = 0
    for group in batches(windows, batch):
        inputs = np.stack([cut(image, start, patch, fill, prepare) for start in group])
        if region is not None:
            for part, start in zip(inputs, group, strict=True):
                part[cut(region, start, patch, 0) == 0] = outside
        output = network(inputs[:, None])["seg"]
        if output.shape[2:] != patch:
            raise ValueError(f"a window of {patch} came back as {output.shape[2:]}")
        mean = mean or WindowMean(output.shape[1], shape, importance)
        for start, value in zip(group, output, strict=True):
            mean.add(start, value)
        done += len(group)
        if progress is not None:
            progress(done, len(windows))
    if mean is None:
        # Nothing was asked: the number of classes is known from one empty window.
        empty = np.full((1, 1, *patch), outside, np.float32)
        return np.zeros((network(empty)["seg"].shape[1], *shape), np.float32)
    result = mean.mean()
    if region is not None:
        result *= region
    return result
