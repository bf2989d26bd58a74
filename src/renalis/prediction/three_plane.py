"""Look at a volume along all three axes with 2D networks, and combine what they say.

The wish of the publication behind ``resnet34-2d``: a 2D network that sees coronal and sagittal
slices too knows about the third dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from renalis.prediction.network_inputs import BatchNetwork
from renalis.prediction.padded_patches import Prepare, Progress, as_float
from renalis.prediction.slices import predict_slices

__all__ = ["Combine", "predict_three_planes"]

Combine = Literal["mean", "vote"]


def predict_three_planes(
    image: NDArray[Any],
    networks: Sequence[BatchNetwork],
    *,
    combine: Combine = "mean",
    weights: Sequence[float] = (1.0, 1.0, 1.0),
    at: float = 0.5,
    batch: int = 8,
    divisor: int = 1,
    fill: float = 0.0,
    prepare: Prepare = as_float,
    progress: Progress | None = None,
    region: NDArray[np.bool_] | None = None,
    outside: float = 0.0,
) -> NDArray[np.float32]:
    """Probabilities from axial, coronal and sagittal slices together.

    Parameters
    ----------
    image : ndarray, shape (Z, Y, X)
        Stored voxels in canonical order. The grid should be about isotropic: a coronal slice of
        5 mm slices shows bodies as no network saw them.
    networks : sequence of BatchNetwork
        Three (axial, coronal, sagittal), or one that knows all planes.
    combine : {"mean", "vote"}
        Mean of the probabilities; or the weighted share of planes that vote for a class: those
        whose probability exceeds ``at`` (one class), or whose most probable class it is.
    weights : sequence of float
        Of the three planes.
    at : float
        Threshold of a vote when there is one class.
    batch, divisor, fill, prepare, region, outside
        As in `predict_slices`.
    progress : callable, optional
        Called with the planes' batches done and 3 times the batches of the plane at work.

    Returns
    -------
    ndarray, shape (K, Z, Y, X), float32

    Raises
    ------
    ValueError
        If there are neither one nor three networks, or no weight is positive.
    """
    if len(networks) not in (1, 3):
        raise ValueError("three planes need three networks, or one for all")
    if len(weights) != 3 or min(weights) < 0 or sum(weights) <= 0:
        raise ValueError("three planes need three weights, not all zero")
    total: NDArray[np.float32] | None = None
    for axis, weight in enumerate(weights):
        if not weight:
            continue

        def tell(done: int, of: int, before: int = axis) -> None:
            if progress is not None:
                progress(before * of + done, 3 * of)

        answer = predict_slices(
            image,
            networks[axis % len(networks)],
            axis=axis,
            batch=batch,
            divisor=divisor,
            fill=fill,
            prepare=prepare,
            progress=tell,
            region=region,
            outside=outside,
        )
        if combine == "vote":
            answer = _votes(answer, at)
        answer = answer * np.float32(weight / sum(weights))
        total = answer if total is None else total + answer
    assert total is not None
    return np.ascontiguousarray(total)


def _votes(probability: NDArray[np.float32], at: float) -> NDArray[np.float32]:
    """1 for the class that a plane is for, else 0."""
    if len(probability) == 1:
        return (probability > at).astype(np.float32)
    best = probability.argmax(0)
    return np.stack([best == c for c in range(len(probability))]).astype(np.float32)
