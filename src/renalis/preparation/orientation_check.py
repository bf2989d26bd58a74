"""Whether a patient lies straight along a scan's own axes, whatever its affine says.

An oblique affine says how the axes lie to the scanner's, not how the patient lies to either. After
an angulated reconstruction the patient leans in the array and is straight in the patient's
coordinates; after a registration that wrote only a header it is the other way round. The body
itself tells: along its length its cross-sections are alike, and its right half is like its left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.preparation.resample import resample
from renalis.preparation.upright import PATIENT_AXES
from renalis.volume import Volume

__all__ = ["lies_along_own_axes"]

_STEP_MM = 8.0
"""A leaning body shows at any resolution; coarse voxels leave the noise behind."""

_HU = (-300.0, 200.0)
"""From air, and whatever pads a scan, to tissue of any contrast."""

_TISSUE_HU = -250.0
"""Places where both of two voxels are air say nothing."""

_APART_MM = 30.0
"""Cross-sections this far apart are compared."""

_LEAST_MM = 100.0
"""Over less height, lordosis and belly say more than how the patient lies."""

_LEAST_VOXELS = 500
"""Of tissue; 256 ml."""

_SURELY = 1.01
"""By how much the scan's own axes must suit the body better; in doubt the affine is believed. Of
16 scans turned in many ways (`benchmarks/orientation_check.py`), both kinds of error are about as
frequent: 2 to 3 of 96 at 5 degrees, 1 to 2 at 8, none at 12 and more."""

_Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


def lies_along_own_axes(scan: Volume) -> bool:
    """Whether the body lies straighter along an oblique scan's axes than along the patient's.

    Two questions are put to both frames: how alike cross-sections 30 mm apart are (mean absolute
    difference in HU), and how alike the body and its mirror image are, about the sagittal plane
    that suits best. The products of both differences are compared.

    Parameters
    ----------
    scan : Volume
        HU, canonical orientation.

    Returns
    -------
    bool
        False if the axes are not at right angles, as after gantry tilt, and in doubt.
    """
    axes = scan.affine[:3, :3] / np.linalg.norm(scan.affine[:3, :3], axis=0)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-2):
        return False
    small = resample(scan, (_STEP_MM,) * 3).array
    body = ndimage.gaussian_filter(small.clip(*_HU), 1.0, mode="nearest")
    # Columns: the patient's axes in those of the array.
    leaning = axes.T @ PATIENT_AXES
    return _drift(body, leaning) * _asymmetry(body, leaning) > _SURELY


def _drift(body: NDArray[np.float32], leaning: NDArray[np.float64]) -> float:
    """Difference of cross-sections along the patient's axis, over that along the array's."""
    steps = int(_APART_MM / _STEP_MM) + 0.5
    if (body.shape[0] - steps) * _STEP_MM < _LEAST_MM:
        return 1.0
    # Half a voxel, so that no direction is spared the blur of interpolation.
    own, other = (
        _seen(body, np.eye(3), steps * frame[:, 0], body.shape) for frame in (np.eye(3), leaning)
    )
    inside = np.isfinite(own) & np.isfinite(other)
    there = np.where(inside, body, np.nan)
    return _ratio(_difference((there, other)), _difference((there, own)))


def _asymmetry(body: NDArray[np.float32], leaning: NDArray[np.float64]) -> float:
    """Difference of the mirror image about the patient's sagittal plane, over the array's."""
    return _ratio(_mirrored(body, leaning), _mirrored(body, np.eye(3)))


def _mirrored(body: NDArray[np.float32], frame: NDArray[np.float64]) -> float:
    """Least difference of a body and its mirror image, over all sagittal planes of a frame."""
    shape = tuple(int(n) for n in np.ceil(np.abs(frame.T) @ body.shape))
    middle = (np.array(body.shape) - 1) / 2 + frame @ np.full(3, 0.5)
    seen = _seen(body, frame, middle - frame @ ((np.array(shape) - 1) / 2), shape)
    size, reach = shape[2], body.shape[2] // 4
    return min(_difference(_overlap(seen, moved, size)) for moved in range(-reach, reach + 1))


def _overlap(seen: NDArray[np.float32], moved: int, size: int) -> _Pair:
    """A body and its mirror image, which is moved sideways by some voxels."""
    right, left = max(0, moved), max(0, -moved)
    return seen[..., right : size - left], seen[..., ::-1][..., left : size - right]


def _seen(
    body: NDArray[np.float32],
    frame: NDArray[np.float64],
    corner: NDArray[np.float64],
    shape: tuple[int, ...],
) -> NDArray[np.float32]:
    """The body in another frame of the array's voxels; NaN beyond the scan."""
    array = np.empty(shape, np.float32)
    ndimage.affine_transform(body, frame, corner, output=array, order=1, cval=np.nan)
    return array


def _difference(pair: _Pair) -> float:
    """Mean absolute difference in HU where either shows tissue; infinite where hardly any does."""
    one, other = pair
    shown = np.isfinite(one) & np.isfinite(other) & (np.fmax(one, other) > _TISSUE_HU)
    if np.count_nonzero(shown) < _LEAST_VOXELS:
        return np.inf
    return float(np.abs(one[shown] - other[shown]).mean())


def _ratio(leaning: float, own: float) -> float:
    """1, which decides nothing, where there was too little to compare, or nothing differs."""
    return leaning / own if np.isfinite(leaning + own) and own > 0 else 1.0
