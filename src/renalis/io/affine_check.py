"""Whether a scan can lie where its header says, whatever format the header has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.scan import FARTHEST_MM
from renalis.volume import Volume

__all__ = ["ADVICE", "NO_DIRECTIONS", "check_place"]

ADVICE = "export the scan again, best from DICOM with dcm2niix"
"""What to do about a header whose place in space cannot be right."""

NO_DIRECTIONS = "does not say how the patient lies"
"""Part of every warning about a header without directions; label maps with one are refused."""

_SPACING = (0.05, 50.0)  # mm; nothing outside is a CT of a trunk
_USUAL_SPACING = (0.1, 20.0)  # mm


def check_place(affine: NDArray[np.float64], name: str, said: str = "") -> list[str]:
    """Refuse a place that no CT has; return what is doubtful.

    Parameters
    ----------
    affine : ndarray, shape (4, 4), float64
        Index to patient mm (RAS+).
    name : str
        The file, for what is refused.
    said : str
        What the header says about its unit, in parentheses after a space; empty for nothing.

    Returns
    -------
    list of str
        Sentences without the file.

    Raises
    ------
    InputError
        If the affine is not finite, singular, far from any scanner, or has a spacing that no CT
        has, in particular meters and microns, which nobody converts.
    """
    if not np.isfinite(affine).all():
        raise InputError(f"{name} has an affine with values that are not finite; {ADVICE}")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if (spacing < 1e-9).any():
        raise InputError(f"{name} has a voxel spacing of zero; {ADVICE}")
    times = " × ".join(f"{s:.3g}" for s in spacing)
    if (spacing < _SPACING[0]).any() or (spacing > _SPACING[1]).any():
        raise InputError(
            f"{name} has a voxel spacing of {times} mm, which no CT has{said}; "
            "export the scan again with its spacing in mm, best from DICOM with dcm2niix"
        )
    try:
        Volume(np.empty((1, 1, 1), np.int16), affine)
    except ValueError as error:
        raise InputError(f"{name}: {error}; {ADVICE}") from error
    if np.abs(affine[:3, 3]).max() > FARTHEST_MM:
        raise InputError(f"{name} lies more than 100 m from the scanner's origin; {ADVICE}")
    if (spacing < _USUAL_SPACING[0]).any() or (spacing > _USUAL_SPACING[1]).any():
        return [f"unusual voxel spacing: {times} mm"]
    return []
