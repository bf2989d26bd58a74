"""Where a NIfTI header says that the voxels lie, and whether that can be."""

from __future__ import annotations

from typing import Any

import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.scan import FARTHEST_MM
from renalis.volume import Volume

__all__ = ["affine_of"]

_ADVICE = "export the scan again, best from DICOM with dcm2niix"
_SPACING = (0.05, 50.0)  # mm; nothing outside is a CT of a trunk
_USUAL_SPACING = (0.1, 20.0)  # mm
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
        raise InputError(f"{name} has an invalid place in space ({error}); {_ADVICE}") from error
    if not np.isfinite(affine).all():
        raise InputError(f"{name} has an affine with values that are not finite; {_ADVICE}")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    _check_spacing(spacing, int(header["xyzt_units"]) & 7, name)
    try:
        Volume(np.empty((1, 1, 1), np.int16), affine)
    except ValueError as error:
        raise InputError(f"{name}: {error}; {_ADVICE}") from error
    if np.abs(affine[:3, 3]).max() > FARTHEST_MM:
        raise InputError(f"{name} lies more than 100 m from the scanner's origin; {_ADVICE}")
    warnings = _compared(affine, standard, shape) if sform > 0 and qform > 0 else []
    if sform <= 0 and qform <= 0:
        warnings.append(
            "the header does not say how the patient lies (no sform, no qform): left and right, "
            "front and back are the NIfTI default and may be wrong"
        )
    if (spacing < _USUAL_SPACING[0]).any() or (spacing > _USUAL_SPACING[1]).any():
        warnings.append(f"unusual voxel spacing: {_times(spacing)} mm")
    return affine, warnings


def _standard(header: Any) -> Any:
    """A copy whose pixdim is read as the standard says: pixdim[0] of 0 is 1, spacing positive."""
    standard = header.copy()
    pixdim = np.array(header["pixdim"])
    pixdim[0] = 1 if pixdim[0] == 0 else pixdim[0]
    pixdim[1:4] = np.abs(pixdim[1:4])
    standard["pixdim"] = pixdim
    return standard


def _check_spacing(spacing: NDArray[np.float64], unit: int, name: str) -> None:
    """Refuse what no CT has, in particular meters and microns, which nobody converts."""
    if (spacing < 1e-9).any():
        raise InputError(f"{name} has a voxel spacing of zero; {_ADVICE}")
    if (spacing < _SPACING[0]).any() or (spacing > _SPACING[1]).any():
        said = f" (its header's unit is the {_UNITS[unit]})" if unit in _UNITS else ""
        raise InputError(
            f"{name} has a voxel spacing of {_times(spacing)} mm, which no CT has{said}; "
            "export the scan again with its spacing in mm, best from DICOM with dcm2niix"
        )


def _compared(affine: NDArray[np.float64], header: Any, shape: tuple[int, int, int]) -> list[str]:
    """Whether the qform, which is not used beside a sform, says the same."""
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


def _times(spacing: NDArray[np.float64]) -> str:
    return " × ".join(f"{s:.3g}" for s in spacing)


def _largest_distance(
    one: NDArray[np.float64], two: NDArray[np.float64], shape: tuple[int, int, int]
) -> float:
    """Largest distance in mm between the places that two affines give to a corner voxel."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    points = np.vstack([corners, np.ones(8)])
    return float(np.linalg.norm(((one - two) @ points)[:3], axis=0).max())
