"""Read label maps: one byte per voxel, and no memory for pages that hold background only."""

from __future__ import annotations

import contextlib
import hashlib
import math
import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.affine_check import NO_DIRECTIONS
from renalis.io.itk import itk_map
from renalis.io.itk_header import ENDINGS
from renalis.io.nifti_stored import stored_voxels
from renalis.io.scan import shown
from renalis.io.whole_hu import Scaling
from renalis.volume import Kind, Volume

__all__ = ["content_hash", "read_label_map"]

_PAGE = 4096


def read_label_map(path: Path, placed: bool = True) -> Volume:
    """Read a label map from a NIfTI file.

    Parameters
    ----------
    path : Path
        NIfTI-1 or NIfTI-2, packed or not, of any numeric type; slope and intercept are applied.
        MetaImage or NRRD by its name's ending (needs SimpleITK).
    placed : bool
        Whether the header must say how the patient lies.

    Returns
    -------
    Volume
        uint8 labels on the file's grid, in the file's memory order.

    Raises
    ------
    InputError
        If the file is damaged, does not say how the patient lies, or holds a value that is no
        whole number from 0 to 255.
    """
    name = shown(path)
    if path.name.lower().endswith(ENDINGS):
        values, affine, known = itk_map(path)
        if placed and not known:
            raise _nowhere(name, "no direction of its axes")
        flat = _labels(values.reshape(-1, order="F"), (None, None), name)
        return Volume(flat.reshape(values.shape, order="F"), affine, Kind.LABELS)
    with stored_voxels(path, wanted="a label map") as stored:
        if placed and any(NO_DIRECTIONS in w for w in stored.warnings):
            raise _nowhere(name, "no sform, no qform")
        flat = _lazy_zeros(math.prod(stored.shape))
        for start, values in stored.chunks():
            labels = _labels(values, stored.scaling, name)
            _write_pages(flat[start : start + labels.size], labels)
        return Volume(flat.reshape(stored.shape, order="F"), stored.affine, Kind.LABELS)


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"{shown(path)} cannot be read ({error.strerror or error}); check the path"
        ) from error


def _nowhere(name: str, lacking: str) -> InputError:
    """The sentence for a header without a place."""
    return InputError(
        f"{name} {NO_DIRECTIONS} ({lacking}), so left and right are unknown; "
        "copy the geometry of the scan into it"
    )


def _labels(values: NDArray[Any], scaling: Scaling, name: str) -> NDArray[np.uint8]:
    """Stored values as labels, or a sentence about the first that is none."""
    slope, intercept = scaling
    plain = slope is None or (slope == 1 and not intercept)
    if plain and values.dtype == np.uint8:
        return values
    scaled: NDArray[Any] = values if plain else values * float(slope or 1) + float(intercept or 0)
    if scaled.dtype.kind == "f":
        if not np.isfinite(scaled).all():
            raise InputError(
                f"{name} holds values that are not numbers (NaN or infinite), so it is no label "
                "map; write it again with whole numbers"
            )
        whole = np.rint(scaled)
        # A slope stored as float32 leaves tiny remainders on whole numbers.
        off = np.abs(scaled - whole) > 1e-4
        if off.any():
            raise InputError(
                f"{name} holds the value {float(scaled[off][0]):g}: labels are whole numbers, so "
                "it was interpolated or holds probabilities; give the label map itself"
            )
        scaled = whole
    low, high = scaled.min(), scaled.max()
    if low < 0 or high > 255:
        raise InputError(
            f"{name} holds values from {float(low):g} to {float(high):g}, so it is no label map "
            "(a CT?); give the label map itself"
        )
    return scaled.astype(np.uint8)


def _lazy_zeros(size: int) -> NDArray[np.uint8]:
    """Zeros that take memory only where something is written.

    NumPy asks for pages of 2 MB, of which one label makes all resident; this asks for small ones.
    """
    if not hasattr(mmap, "MADV_NOHUGEPAGE"):  # not Linux: no large pages to avoid
        return np.zeros(size, dtype=np.uint8)
    memory = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # kernels without large pages
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype=np.uint8, count=size)


def _write_pages(out: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
    """Copy only those pages that hold a label."""
    whole = labels.size - labels.size % _PAGE
    pages = labels[:whole].view(np.uint64).reshape(-1, _PAGE // 8)
    used = np.flatnonzero(pages.any(axis=1))
    out[:whole].view(np.uint64).reshape(pages.shape)[used] = pages[used]
    out[whole:] = labels[whole:]
