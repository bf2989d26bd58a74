"""Where networks' grids begin, so that one patient meets the same voxels however a scan is stored.

A network predicts a little differently when its voxels lie elsewhere in the patient. A grid that
begins at the scan's corner lies elsewhere for every crop, tilt or field of view of the same scan;
one that begins at a whole multiple of a length from the origin of the patient's coordinates does
not. It costs less than that length along each axis, in which the scan's border is repeated.

One thing comes first: slices as far apart as a grid's voxels are taken as they are. Half a voxel
off them, each voxel of the grid would be the mean of two slices. Where slices are a whole number
of voxels apart, all voxels then are made of two slices in the same shares.
"""

from __future__ import annotations

import numpy as np

from renalis.volume import Volume

__all__ = ["COMMON_GRID_MM", "grid_offset"]

COMMON_GRID_MM = 12.0
"""Grids of all stages begin at multiples of this, so that their voxels' corners coincide; stages
whose spacing divides it (as 1.5, 2, 3 and 4 mm do) have the same voxels in every scan of a
patient."""

_FINE_MM = 1.0
"""Voxels up to this length are finer than any stage's."""

_ROUNDING_MM = 1e-3
"""A corner this near to a multiple lies on it: DICOM and NIfTI round coordinates differently."""


def grid_offset(scan: Volume, grid_mm: float = COMMON_GRID_MM) -> tuple[float, float, float]:
    """How far before a scan the common grid's next voxel begins, along each of the scan's axes.

    Parameters
    ----------
    scan : Volume
        Only its affine is used. The common grid lies along its axes; where these are not the
        patient's, its distance from the patient's origin is measured along them.
    grid_mm : float
        Distance of the common grid's planes in mm.

    Returns
    -------
    tuple of float
        In mm, from 0 to less than ``grid_mm``; the ``offset_mm`` of
        `renalis.preparation.stage_grid`. Along axes whose voxels are longer than a millimeter and
        divide ``grid_mm``, a whole number of voxels: the grid begins as near to the common grid as
        that allows.

    Examples
    --------
    >>> affine = np.diag([1.0, 1.0, 5.0, 1.0])
    >>> affine[:3, 3] = -9.5, 4.5, 2.5
    >>> grid_offset(Volume(np.zeros((8, 8, 8)), affine))
    (2.0, 4.0, 0.0)
    """
    axes = scan.affine[:3, :3] / np.linalg.norm(scan.affine[:3, :3], axis=0)
    corner = scan.world(np.full(3, -0.5)) @ axes
    offset = corner - np.floor((corner + _ROUNDING_MM) / grid_mm) * grid_mm
    i, j, k = (
        max(0.0, float(_whole(mm, step) if _fits(step, grid_mm) else mm))
        for mm, step in zip(offset, scan.spacing, strict=True)
    )
    return i, j, k


def _fits(step_mm: float, grid_mm: float) -> bool:
    """Whether a scan's voxels may be those of a stage's grid, or whole numbers of them."""
    parts = round(grid_mm / step_mm)
    return parts > 0 and step_mm > _FINE_MM and abs(step_mm - grid_mm / parts) < _ROUNDING_MM


def _whole(offset_mm: float, step_mm: float) -> float:
    """The next smaller offset that is a whole number of voxels."""
    return float(np.floor((offset_mm + _ROUNDING_MM) / step_mm)) * step_mm
