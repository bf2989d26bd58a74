"""One training example, and how it is cut out of a prepared grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sample", "cut"]


@dataclass(frozen=True, eq=False)
class Sample:
    """Inputs of a network and its targets.

    All spatial arrays of a sample share their center: the middle of each array is the same place
    in the patient. So one transform in mm can be applied to grids of different spacings.

    Attributes
    ----------
    inputs : mapping of str to ndarray
        Float32 arrays (C, [Z,] Y, X). HU, until `renalis.augmentation.Normalize`.
    targets : mapping of str to ndarray
        Label arrays ([Z,] Y, X) uint8; pixel weights ([Z,] Y, X) float32; numbers (1,) float32.
    meta : mapping
        Where the sample comes from, in plain numbers.
    spacing_mm : mapping of str to tuple
        Voxel size of each spatial input and target along its last two or three axes. Arrays that
        are not named here have no place.
    fill : mapping of str to float
        Value of each input beyond the scan, on the input's present scale.
    """

    inputs: Mapping[str, NDArray[np.float32]]
    targets: Mapping[str, NDArray[Any]]
    meta: Mapping[str, Any] = field(default_factory=dict)
    spacing_mm: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    fill: Mapping[str, float] = field(default_factory=dict)


def cut(
    array: NDArray[Any], start: Sequence[int], size: Sequence[int], fill: float
) -> NDArray[Any]:
    """A block of an array that may reach beyond it.

    Parameters
    ----------
    array : ndarray, any number of axes
        May be a memory map; only the block is read.
    start, size : sequence of int
        Of the block along each axis; the start may be negative.
    fill : float
        Value beyond the array.

    Returns
    -------
    ndarray, shape ``size``, the array's number type
        A view where the block lies inside.
    """
    inside = tuple(
        slice(min(max(0, s), n), max(min(n, s + length), 0))
        for s, length, n in zip(start, size, array.shape, strict=True)
    )
    block = array[inside]
    if block.shape == tuple(size):
        return block
    result = np.full(tuple(size), fill, array.dtype)
    if block.size:
        result[
            tuple(
                slice(part.start - s, part.stop - s) for part, s in zip(inside, start, strict=True)
            )
        ] = block
    return result
