"""Where a NIfTI header says that the voxels lie, and whether that can be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.affine_check import ADVICE, NO_DIRECTIONS, check_place
from renalis.io.nifti_header import HeaderDataError

__all__ = ["affine_of"]

_UNITS = {1: "meter", 3: "micron"}  # NIFTI_UNITS_METER, NIFTI_UNITS_MICRON
_INVALID = (HeaderDataError, ValueError, np.linalg.LinAlgError)


def affine_of(
    header: Any, shape: tuple[int, int, int], name: str
) -> tuple[NDArray[np.float64], list[str]]:
    """The affine as nibabel chooses it, and what is doubtful about it.

    Parameters
    ----------
    header : Nifti1Header or Nifti2Header
        As stored.
    shape : tuple of int
        Voxels along each axis.
    name : str
        The file, for what is refused.

    Returns
    -------
    affine : ndarray, shape (4, 4), float64
        Index to patient mm (RAS+).
    warnings : list of str
        Sentences without the file.

    Raises
    ------
    InputError
        If there is no usable place, or a spacing that no CT has.
    """
    header.set_data_shape(shape)
    standard = _standard(header)
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    try:
        affine = np.asarray(standard.get_best_affine(), dtype=np.float64)
    except _INVALID as error:
        raise InputError(
            f"{name} has an invalid place in space (its qform is no rotation); {ADVICE}"
        ) from error
    unit = int(header["xyzt_units"]) & 7
    said = f" (its header's unit is the {_UNITS[unit]})" if unit in _UNITS else ""
    warnings = check_place(affine, name, said)
    if sform > 0 and qform > 0:
        warnings += _compared(affine, standard, shape)
    if sform <= 0 and qform <= 0:
        warnings.append(
            f"the header {NO_DIRECTIONS} (no sform, no qform): left and right, front and back are "
            "the NIfTI default and may be wrong"
        )
    return affine, warnings


def _standard(header: Any) -> Any:
    """A copy whose pixdim is read as the standard says: pixdim[0] of 0 is 1, spacing positive."""
    standard = header.copy()
    pixdim = np.array(header["pixdim"])
    pixdim[0] = 1 if pixdim[0] == 0 else pixdim[0]
    pixdim[1:4] = np.abs(pixdim[1:4])
    standard["pixdim"] = pixdim
    return standard


def _compared(affine: NDArray[np.float64], header: Any, shape: tuple[int, int, int]) -> list[str]:
    """Whether the qform, which is not used when there is a sform, says the same."""
    try:
        with np.errstate(invalid="ignore", over="ignore"):
            other = np.asarray(header.get_qform(), dtype=np.float64)
        valid = bool(np.isfinite(other).all())
    except _INVALID:
        valid = False
    if not valid:
        return ["the qform is invalid; sform was used"]
    apart = _largest_distance(affine, other, shape)
    if apart <= 1:
        return []
    return [f"sform and qform give two places that differ by {apart:.0f} mm; sform was used"]


def _largest_distance(
    one: NDArray[np.float64], two: NDArray[np.float64], shape: tuple[int, int, int]
) -> float:
    """Largest distance in mm between the places that two affines give to a corner voxel."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    points = np.vstack([corners, np.ones(8)])
    return float(np.linalg.norm(((one - two) @ points)[:3], axis=0).max())
