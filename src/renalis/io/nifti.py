"""Read a CT from a NIfTI file: exact place, HU as int16, no second copy of the voxels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.nifti_stored import CHUNK, StoredVoxels, fill, stored_voxels
from renalis.io.scan import Scan, ScanSource, shown
from renalis.volume import Volume

__all__ = ["AIR", "read_nifti"]

_Scaling = tuple[float | None, float | None]

AIR = -1024
"""Lowest HU kept: scanners mark pixels outside the field of view by -2000, -2048 or -3024."""


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
    warnings = [*stored.warnings, *_check_values(flat, seen, name)]
    volume = Volume(flat.reshape(stored.shape, order="F"), stored.affine)
    return Scan(
        case_id=source.case_id,
        volume=volume,
        source=replace(source, nifti_header=stored.header),
        warnings=tuple(warnings),
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
    seen.too_high += int((whole > 32767).sum())
    out[:] = np.clip(whole, AIR, 32767).astype(np.int16)


def _check_values(flat: NDArray[np.int16], seen: _Seen, name: str) -> list[str]:
    """Refuse what is no CT in HU; return what is doubtful."""
    if seen.not_finite:
        raise InputError(
            f"{name} holds {seen.not_finite} voxels that are not numbers (NaN or infinite); "
            "export the scan again, with air (-1024 HU) outside the field of view"
        )
    low, high = int(flat.min()), int(flat.max())
    if low == high:
        raise InputError(f"{name} is empty: every voxel is {low}; give the CT itself")
    if not seen.fractions and low >= 0 and high <= 255 and _is_label_map(flat):
        raise InputError(
            f"{name} is a label map (whole numbers {low} to {high}), not a CT; give the CT itself"
        )
    if seen.fractions and high - low < 50:
        raise InputError(
            f"{name} holds values from {low} to {high}, so it is not in HU (normalized already?); "
            "give the CT as it came from the scanner"
        )
    warnings = []
    if low >= 0:
        warnings.append(
            f"{name} has no value below 0, so it is probably not in HU (intercept -1024 lost, or "
            "windowed already) and the result is not to be trusted"
        )
    if seen.too_high:
        warnings.append(f"{name}: {seen.too_high} voxels above 32767 HU were set to 32767")
    return warnings


def _is_label_map(flat: NDArray[np.int16]) -> bool:
    """Few values, or nearly every voxel equal to its neighbour, which noise forbids in a CT."""
    counts = np.bincount(flat, minlength=256)
    if np.count_nonzero(counts) <= 32:
        return True
    return float((flat[1:] == flat[:-1]).mean()) > 0.97
