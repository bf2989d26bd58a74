"""Read a CT from a NIfTI file: exact place, HU as int16, no second copy of the voxels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.hu import AIR, HIGHEST, check_hu
from renalis.io.nifti_stored import CHUNK, StoredVoxels, fill, stored_voxels
from renalis.io.scan import Scan, ScanSource, shown
from renalis.volume import Volume

__all__ = ["read_nifti"]

_Scaling = tuple[float | None, float | None]


def read_nifti(source: ScanSource) -> Scan:
    """Read a NIfTI-1 or NIfTI-2 file, packed or not, whatever its name ends in.

    The affine is chosen as nibabel does: sform when its code is set, else qform, else spacing
    alone, of which the reader is warned. Slope and intercept are applied; values are rounded to
    whole HU.

    Parameters
    ----------
    source : ScanSource
        Names the file.

    Returns
    -------
    Scan
        Volume of int16 HU with the axis order of the file.

    Raises
    ------
    InputError
        If the file cannot be read, is no 3D image of numbers, has no usable place or spacing, or
        does not hold HU. The sentence says which.
    """
    name = shown(source.path)
    with stored_voxels(source.path) as stored:
        flat = np.empty(math.prod(stored.shape), dtype=np.int16)
        seen = _read_voxels(stored, flat)
    if seen.not_finite:
        raise InputError(
            f"{name} holds {seen.not_finite} voxels that are not numbers (NaN or infinite); "
            "export the scan again, with air (-1024 HU) outside the field of view"
        )
    warnings = [*stored.warnings, *check_hu(flat, name, seen.fractions)]
    if seen.too_high:
        warnings.append(f"{seen.too_high} voxels above {HIGHEST} HU were set to {HIGHEST}")
    volume = Volume(flat.reshape(stored.shape, order="F"), stored.affine)
    return Scan(
        case_id=source.case_id,
        volume=volume,
        source=replace(source, nifti_header=stored.header),
        # The case and no path: kept with the result, and folders are named after patients.
        warnings=tuple(f"{source.case_id}: {text}" for text in warnings),
    )


@dataclass
class _Seen:
    """What was met while converting voxels."""

    not_finite: int = 0
    too_high: int = 0
    fractions: bool = False


def _read_voxels(stored: StoredVoxels, out: NDArray[np.int16]) -> _Seen:
    """Fill ``out`` with HU, a chunk at a time."""
    seen = _Seen()
    if stored.dtype == np.dtype("<i2") and stored.scaling in ((None, None), (1.0, 0.0)):
        for start in range(0, out.size, CHUNK):
            part = out[start : start + CHUNK]
            fill(stored.stream, part)
            np.maximum(part, AIR, out=part)
        stored.stream.read(1)
        return seen
    for start, raw in stored.chunks():
        part = out[start : start + raw.size]
        _convert(raw, part, stored.scaling, seen)
        np.maximum(part, AIR, out=part)
    return seen


def _convert(raw: NDArray[Any], out: NDArray[np.int16], scaling: _Scaling, seen: _Seen) -> None:
    """Stored values to whole HU, counting what cannot be one."""
    slope, intercept = scaling
    values = raw.astype(np.float64)
    if slope is not None:
        values *= slope
        values += intercept or 0.0
    finite = np.isfinite(values)
    if not finite.all():
        seen.not_finite += int(finite.size - finite.sum())
        values[~finite] = 0
    whole = np.rint(values)
    # A slope that is stored as float32 leaves tiny remainders on whole numbers.
    seen.fractions = seen.fractions or bool((np.abs(values - whole) > 1e-3).any())
    seen.too_high += int((whole > HIGHEST).sum())
    out[:] = np.clip(whole, AIR, HIGHEST).astype(np.int16)
