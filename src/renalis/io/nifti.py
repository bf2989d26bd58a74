"""Read a CT from a NIfTI file: exact place, HU as int16, no second copy of the voxels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from renalis.io.nifti_stored import CHUNK, StoredVoxels, fill, stored_voxels
from renalis.io.scan import Scan, ScanSource, shown
from renalis.io.volume_slices import slice_doubts
from renalis.io.whole_hu import Seen, to_whole_hu
from renalis.volume import Volume

__all__ = ["read_nifti"]


def read_nifti(source: ScanSource) -> Scan:
    """Read a NIfTI-1 or NIfTI-2 file, packed or not, whatever its name ends in.

    The affine is chosen as nibabel does: sform when its code is set, else qform, else spacing
    alone, of which the reader is warned. Slope and intercept are applied; values are rounded to
    whole HU.

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
    array = flat.reshape(stored.shape, order="F")
    warnings = [*stored.warnings, *seen.settled(array, name)]
    volume = Volume(array, stored.affine)
    warnings += slice_doubts(volume)
    return Scan(
        case_id=source.case_id,
        volume=volume,
        source=replace(source, nifti_header=stored.header),
        # The case and no path: kept with the result, and folders are named after patients.
        warnings=tuple(f"{source.case_id}: {text}" for text in warnings),
    )


def _read_voxels(stored: StoredVoxels, out: NDArray[np.int16]) -> Seen:
    """Fill ``out`` with what the header calls HU, a chunk at a time."""
    seen = Seen()
    if stored.dtype == np.dtype("<i2") and stored.scaling in ((None, None), (1.0, 0.0)):
        for start in range(0, out.size, CHUNK):
            part = out[start : start + CHUNK]
            fill(stored.stream, part)
        stored.stream.read(1)
        return seen
    for start, raw in stored.chunks():
        part = out[start : start + raw.size]
        to_whole_hu(raw, part, stored.scaling, seen)
    return seen
