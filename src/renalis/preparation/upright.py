"""See an oblique scan's patient upright, as the networks learned patients.

Gantry tilt or an angulated reconstruction give a scan axes that are not the patient's. On a grid
along such axes the body leans, and the same patient gets other kidneys. Here the scan is brought
onto a grid along the patient's axes instead, unless the body lies straight along the scan's own
(`renalis.preparation.orientation_check`). Each axis is first reduced on its own
(`renalis.preparation.resample`), then one linear interpolation turns the reduced copy, which is
small, so that neither takes memory of the scan's size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.boxes import Box
from renalis.preparation.interpolation_weights import Interpolation, triangle_weights
from renalis.preparation.resample import Grid, apply_matrices, stage_grid
from renalis.volume import Kind, Volume

__all__ = [
    "AIR_HU",
    "OBLIQUE_DEG",
    "PATIENT_AXES",
    "obliqueness_deg",
    "reduced_bytes",
    "resample_upright",
    "upright_frame",
]

OBLIQUE_DEG = 2.0
"""Axes this near to the patient's are taken for the patient's: nobody lies straighter."""

AIR_HU = -1024
"""What is outside the scan."""

_SHARE: dict[Interpolation, float] = {"average": 2**-0.5, "linear": 0.5, "cubic": 0.5}
"""Spacing of the reduced copy in terms of the stage's. A triangle of half-width h spreads by
h ** 2 / 6. Reducing and turning spread one after the other, each with 0.7 of the stage's spacing,
just as much as the one triangle that reduces a straight scan. To interpolate as the scan is, only
voxels of less than half the stage's spacing are reduced; turning is linear in any case."""

_ROUNDING = 1e-3

PATIENT_AXES = np.array([[0, 0, -1], [0, -1, 0], [1, 0, 0]], dtype=np.float64)
"""Columns: the patient's superior, posterior and left in RAS+ coordinates."""


def obliqueness_deg(scan: Volume) -> float:
    """Largest angle between an array axis and the patient's axis that it stands for, in degrees.

    Rotated and sheared grids (gantry tilt) both have one.

    Parameters
    ----------
    scan : Volume
        In canonical orientation; only its affine is used.
    """
    direction = scan.affine[:3, :3] / np.linalg.norm(scan.affine[:3, :3], axis=0)
    along = np.sum(direction * PATIENT_AXES, axis=0)
    return float(np.degrees(np.arccos(np.clip(along, -1, 1))).max())


def upright_frame(scan: Volume) -> Volume:
    """An empty volume along the patient's axes that holds a whole scan.

    Parameters
    ----------
    scan : Volume
        Any orientation; only its shape and affine are used.

    Returns
    -------
    Volume
        Canonical orientation, 1 mm, -1024 HU everywhere; takes no memory for its voxels.
    """
    ends = [(-0.5, size - 0.5) for size in scan.shape]
    corners = scan.world(np.array(np.meshgrid(*ends)).reshape(3, -1).T) @ PATIENT_AXES
    low, high = corners.min(axis=0), corners.max(axis=0)
    # As in `stage_grid`: 400.0000001 mm are not 401.
    z, y, x = (max(1, int(n)) for n in np.ceil(high - low - 1e-3))
    affine = np.eye(4)
    affine[:3, :3] = PATIENT_AXES
    affine[:3, 3] = PATIENT_AXES @ (low + 0.5)
    return Volume(np.broadcast_to(np.int16(AIR_HU), (z, y, x)), affine, scan.kind)


def resample_upright(
    scan: Volume,
    frame: Volume,
    spacing_mm: tuple[float, float, float],
    box: Box | None = None,
    offset_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    interpolation: Interpolation = "average",
) -> Volume:
    """Resample an oblique scan to a stage's grid over an upright frame, or to a box of it.

    Parameters
    ----------
    scan : Volume
        Image of any number type, in any memory order and orientation, also sheared.
    frame : Volume
        From `upright_frame` for this scan.
    spacing_mm : tuple of float
        The stage's spacing along each axis of the frame.
    box : tuple of slice, optional
        Part of ``stage_grid(frame, spacing_mm, offset_mm)`` to fill, start and stop given. The
        result is equal to that part of the whole, up to float32's rounding.
    offset_mm : tuple of float
        How far the grid begins before the frame.
    interpolation : {"average", "linear", "cubic"}
        See `renalis.preparation.interpolation_weights.Interpolation`.

    Returns
    -------
    Volume
        float32, C-ordered; -1024 HU where the scan shows nothing.
    """
    grid = stage_grid(frame, spacing_mm, offset_mm)
    whole = Volume(np.broadcast_to(np.float32(AIR_HU), grid.shape), grid.affine, scan.kind)
    target = whole if box is None else whole.cropped(box)
    reduced = _reduced(scan, _reduced_grid(scan, spacing_mm, interpolation), target)
    if reduced is None:
        return target.like(np.full(target.shape, AIR_HU, np.float32), scan.kind)
    matrix = np.linalg.inv(reduced.affine) @ target.affine
    array = np.empty(target.shape, np.float32)
    ndimage.affine_transform(
        reduced.array,
        matrix[:3, :3],
        matrix[:3, 3],
        output=array,
        order=1,
        mode="constant",
        cval=AIR_HU,
        prefilter=False,
    )
    return target.like(array, scan.kind)


def reduced_bytes(
    scan: Volume, spacing_mm: tuple[float, float, float], interpolation: Interpolation = "average"
) -> int:
    """Memory that `resample_upright` needs in addition to its result when it fills the whole grid.

    Parameters
    ----------
    scan : Volume
        Only its shape and affine are used.
    spacing_mm : tuple of float
        The stage's.
    interpolation : {"average", "linear", "cubic"}
        As there.
    """
    # The copy exists twice while it is brought into its final memory order.
    grid = _reduced_grid(scan, spacing_mm, interpolation)
    return 2 * 4 * int(np.prod(grid.shape, dtype=np.int64))


def _reduced_grid(
    scan: Volume, spacing_mm: tuple[float, float, float], interpolation: Interpolation
) -> Grid:
    """The scan's own axes, finer ones reduced."""
    least = _SHARE[interpolation] * min(spacing_mm)
    first, second, third = (max(own, least) for own in scan.spacing)
    return stage_grid(scan, (first, second, third))


def _reduced(scan: Volume, grid: Grid, target: Volume) -> Volume | None:
    """A scan on its reduced grid, the part that a target needs; None where it misses the target.

    The grid is one voxel wider than the scan on each side, a repetition of its border, so that
    a border voxel shows as a whole voxel and not only its inner half.
    """
    ranges = _needed(grid, target)
    if any(start >= stop for start, stop in ranges):
        return None
    matrices = [
        triangle_weights(n, *ends, ratio)
        for n, ends, ratio in zip(scan.shape, ranges, grid.ratio, strict=True)
    ]
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array([start for start, _ in ranges], float)
    return Volume(apply_matrices(scan.array, matrices), affine, Kind.IMAGE)


def _needed(grid: Grid, target: Volume) -> list[tuple[int, int]]:
    """Ranges of a grid's voxels, with one around the grid, that a target's voxels lie between."""
    ends = [(0, size - 1) for size in target.shape]
    corners = target.world(np.array(np.meshgrid(*ends)).reshape(3, -1).T)
    inverse = np.linalg.inv(grid.affine)
    places: NDArray[np.float64] = corners @ inverse[:3, :3].T + inverse[:3, 3]
    # Rounding must not put a corner beyond the last voxel, where SciPy sees nothing.
    low = np.maximum(np.floor(places.min(axis=0) - _ROUNDING), -1).astype(int)
    high = np.floor(places.max(axis=0) + _ROUNDING).astype(int) + 2
    high = np.minimum(high, np.array(grid.shape) + 1)
    return [(int(a), int(b)) for a, b in zip(low, high, strict=True)]
