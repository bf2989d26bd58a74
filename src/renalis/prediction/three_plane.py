"""Predict a volume along all three axes with a 2D network, and average the probabilities.

The wish of the publication behind ``resnet34-2d``: a 2D network that sees coronal and sagittal
slices too knows about the third dimension.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.prediction.network_inputs import BatchNetwork
from renalis.prediction.padded_patches import Prepare, Progress, as_float
from renalis.prediction.slices import predict_slices

__all__ = ["predict_three_planes"]


def predict_three_planes(
    image: NDArray[Any],
    network: BatchNetwork,
    *,
    divisor: int = 1,
    fill: float = 0.0,
    prepare: Prepare = as_float,
    progress: Progress | None = None,
    region: NDArray[np.bool_] | None = None,
    outside: float = 0.0,
) -> NDArray[np.float32]:
    """The mean of the probabilities from axial, coronal and sagittal slices.

    Parameters
    ----------
    image : ndarray, shape (Z, Y, X)
        Stored voxels in canonical order. The grid should be about isotropic: a coronal slice of
        5 mm slices shows bodies as no network saw them.
    network : BatchNetwork
        Knows slices of all planes.
    divisor, fill, prepare, region, outside
        As in `predict_slices`.
    progress : callable, optional
        Called with the batches done and 3 times those of the plane at work.

    Returns
    -------
    ndarray, shape (K, Z, Y, X), float32
    """
    total: NDArray[np.float32] | None = None
    for axis in range(3):

        def tell(done: int, of: int, before: int = axis) -> None:
            if progress is not None:
                progress(before * of + done, 3 * of)

        third = predict_slices(
            image,
            network,
            axis=axis,
            divisor=divisor,
            fill=fill,
            prepare=prepare,
            progress=tell,
            region=region,
            outside=outside,
        ) * np.float32(1 / 3)
        total = third if total is None else total + third
    assert total is not None
    return np.ascontiguousarray(total)
