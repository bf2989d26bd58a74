"""Convolutions with fewer multiplications and the same result, up to rounding.

Two convolutions with nothing between them are one, and a convolution over features that were
enlarged voxel by voxel multiplies the same numbers several times. Each function here gives the
weights of the convolution that does the same at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["after_fold", "doubled", "unfolded"]

_DOUBLED = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], np.float64)
"""Which of a kernel's three weights along an axis fall on the same voxel of half the size: row by
row for a transposed convolution with kernel 4, stride 2 and padding 1."""


def after_fold(weight: NDArray[np.float32], fold: NDArray[np.float32]) -> NDArray[np.float32]:
    """A convolution over a folded image, as one over the image's voxels as channels.

    Parameters
    ----------
    weight : ndarray, shape (O, F, Z, Y, X)
        Of the convolution.
    fold : ndarray, shape (F, C, z, y, x)
        Of the convolution without bias before it, whose stride is its kernel.

    Returns
    -------
    ndarray, shape (O, z y x C, Z, Y, X), float32
        For the image's blocks of (z, y, x) voxels, the channels varying fastest. Padding with
        zeros means the same before and after, since a fold without bias makes zeros of zeros.
    """
    blocks = np.moveaxis(fold, 1, -1).reshape(len(fold), -1)
    return _float32(np.einsum("ofzyx,fb->obzyx", weight.astype(np.float64), blocks))


def doubled(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """A 3 x 3 x 3 convolution after doubling every side by the nearest voxel, as one step.

    Of the 27 voxels that the convolution sees, two and two along each axis are copies of each
    other, so that 8 products do.

    Parameters
    ----------
    weight : ndarray, shape (O, C, 3, 3, 3)
        Of the convolution, with stride 1 and padding 1.

    Returns
    -------
    ndarray, shape (C, O, 4, 4, 4), float32
        For a transposed convolution of the features before doubling, stride 2, padding 1.
    """
    z = y = x = _DOUBLED
    return _float32(np.einsum("oczyx,az,by,dx->coabd", weight.astype(np.float64), z, y, x))


def unfolded(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """A transposed convolution whose stride is its kernel, as a 1 x 1 x 1 convolution.

    Parameters
    ----------
    weight : ndarray, shape (C, O, s, s, s)
        Of the transposed convolution.

    Returns
    -------
    ndarray, shape (O s s s, C, 1, 1, 1), float32
        Its channels are then laid out as blocks of voxels, those of a class together.
    """
    rows = np.moveaxis(weight, 0, -1).reshape(-1, len(weight))
    return _float32(rows[..., None, None, None])


def _float32(values: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, dtype=np.float32)
