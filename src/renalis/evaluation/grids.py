"""Bring a prediction onto the reference's grid, or refuse and say why."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.label_placement import nearest_voxels
from renalis.io.scan_size import times
from renalis.volume import Volume

__all__ = ["Grid", "on_grid_of"]

_TOLERANCE_MM = 0.01
"""Headers in float32 and rotations stored as quaternions differ by some micrometers."""


class Grid(StrEnum):
    """What to do when prediction and reference do not lie on the same grid."""

    SAME = "same"
    """Refuse. Other axis orders of the same voxels are accepted: nothing is resampled for them."""
    WORLD = "world"
    """Trust the headers: resample the prediction to the reference's grid, nearest neighbor."""
    VOXEL = "voxel"
    """Distrust the prediction's header: compare arrays index by index, with the reference's
    spacing."""


def on_grid_of(
    reference: Volume, prediction: Volume, grid: Grid
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The prediction's labels on the reference's grid.

    Parameters
    ----------
    reference, prediction : Volume
        Label maps.
    grid : Grid
        What to do when the grids differ.

    Returns
    -------
    array : ndarray, shape of the reference
        Labels; a view on the prediction's memory unless it had to be resampled.
    notes : tuple of str
        What was done, in sentences; empty when the grids agree.

    Raises
    ------
    InputError
        If the grids differ and ``grid`` does not allow it; both affines are in the message.
    """
    if grid is Grid.VOXEL:
        if reference.shape != prediction.shape:
            raise InputError(
                f"the reference has {times(reference.shape)} voxels, the prediction "
                f"{times(prediction.shape)}: --grid voxel needs equal shapes"
            )
        if reference.same_grid(prediction, _TOLERANCE_MM):
            return prediction.array, ()
        note = "headers disagree; arrays were compared index by index (--grid voxel)"
        return prediction.array, (note,)
    if reference.same_grid(prediction, _TOLERANCE_MM):
        return prediction.array, ()
    turned = prediction.reoriented(reference.orientation)
    if reference.same_grid(turned, _TOLERANCE_MM):
        note = (
            f"the prediction's axes run {prediction.orientation}, the reference's "
            f"{reference.orientation}; they were put in the same order, nothing was resampled"
        )
        return turned.array, (note,)
    if grid is Grid.SAME:
        raise InputError(_difference(reference, prediction))
    return _resampled(reference, prediction)


def _difference(reference: Volume, prediction: Volume) -> str:
    """The sentence that refuses two grids."""
    sizes = (
        f"the reference has {times(reference.shape)} voxels, the prediction "
        f"{times(prediction.shape)}"
    )
    turned = prediction.reoriented(reference.orientation)
    if np.allclose(reference.affine, turned.affine, rtol=0, atol=_TOLERANCE_MM):
        return (
            f"prediction and reference do not lie on the same grid: {sizes}, although their "
            "affines agree, so one of them was cut or padded, or belongs to another scan; use "
            "--grid world if it was, which takes voxels that the prediction lacks for background"
        )
    if reference.shape == prediction.shape:
        hint = "the arrays have the same shape, so the headers are"
        advice = "if one header is known to be wrong use --grid voxel, if both are right use"
    else:
        hint = f"{sizes}, and their headers are"
        advice = "if both headers are right use"
    return (
        f"prediction and reference do not lie on the same grid: {hint} what differs "
        f"(reference affine {_matrix(reference.affine)}, "
        f"prediction affine {_matrix(prediction.affine)}); "
        f"{advice} --grid world, which resamples the prediction"
    )


def _resampled(reference: Volume, prediction: Volume) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Nearest-neighbor labels on the reference's grid, a slab at a time."""
    out = np.zeros(reference.shape, dtype=prediction.array.dtype)
    overlap = 0
    for start, index, inside in nearest_voxels(prediction, reference):
        overlap += int(inside.sum())
        labels = prediction.array[index]
        labels[~inside] = 0
        out[start : start + len(labels)] = labels
    share = overlap / out.size
    if overlap == 0:
        raise InputError(
            "prediction and reference do not overlap anywhere in the patient "
            f"(reference affine {_matrix(reference.affine)}, "
            f"prediction affine {_matrix(prediction.affine)}); one header must be wrong"
        )
    note = (
        "the prediction was resampled to the reference's grid (nearest neighbor, --grid world), "
        f"of which it covers {100 * share:.1f} %"
    )
    if reference.shape == prediction.shape:
        note += "; both have the same shape: if one header is wrong use --grid voxel"
    return out, (note,)


def _matrix(affine: NDArray[np.float64]) -> str:
    """The three rows of an affine that say something, on one line."""
    rows = ["[" + ", ".join(f"{v + 0.0:.6g}" for v in row) + "]" for row in affine[:3]]
    return "[" + ", ".join(rows) + "]"
