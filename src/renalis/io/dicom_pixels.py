"""Decode the frames of a stack into HU, several files at a time."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array
from scipy import ndimage

from renalis.errors import InputError
from renalis.io.archive import FileSet
from renalis.io.codestream import check_codestreams, decoder_of
from renalis.io.dicom_files import Frame
from renalis.io.dicom_geometry import Grid
from renalis.io.dicom_slices import checked_slices
from renalis.io.hu import AIR, HIGHEST, UNMEASURED
from renalis.io.jpeg12 import decoded, is_jpeg12
from renalis.io.scan_size import MOST_VOXELS

__all__ = ["voxels_of"]

_PIXEL_BYTES = 8  # four times what a CT needs, so that no unusual one is refused
_OTHER_BYTES = 64 << 20  # headers, icons, private elements
_TISSUE = (-900, 4000)  # HU between which a padding value may also be tissue

_PLAIN = frozenset(
    {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}
)
"""Transfer syntaxes whose pixels are not packed."""


def voxels_of(grid: Grid, files: FileSet, name: str) -> tuple[NDArray[np.int16], list[str]]:
    """Decode all frames of a grid.

    Parameters
    ----------
    grid : Grid
        Says which frames go where.
    files : FileSet
        Where they lie.
    name : str
        The series, for what is refused.

    Returns
    -------
    array : ndarray, shape (columns, rows, slices), int16, Fortran order
        HU, not below -1024.
    warnings : list of str
        What is doubtful about the values; sentences without the name.

    Raises
    ------
    InputError
        If a frame cannot be decoded; names the file. If the values are no HU.
    """
    columns, rows, slices = grid.shape
    places = grid.places.round().astype(int)
    count = len(grid.frames) if grid.uneven else slices
    if count * rows * columns > MOST_VOXELS:
        raise InputError(
            f"{name} claims {columns} × {rows} × {count} voxels, more than a CT scan can have; "
            "check the files or export the series again"
        )
    stack = np.empty((count, rows, columns), dtype=np.int16)
    rows_of = range(count) if grid.uneven else places.tolist()
    jobs = sorted(
        zip(grid.frames, rows_of, strict=True), key=lambda job: (job[0].file, job[0].frame)
    )
    batches = [list(batch) for _, batch in groupby(jobs, key=lambda job: job[0].file)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's remarks on values that are not read here
        pool = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1))
        try:
            for _ in pool.map(lambda batch: _decode_file(files, batch, stack), batches):
                pass
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    if not grid.uneven:
        stack[np.setdiff1d(np.arange(count), places)] = UNMEASURED  # still to be filled
    doubts, lost = checked_slices(stack, list(rows_of), grid, name)
    good = np.setdiff1d(np.arange(len(grid.frames)), lost)
    if grid.uneven:
        stack = _interpolated(stack[good] if lost else stack, grid.places[good], slices)
    else:
        _fill_missing(stack, places[good])
    return stack.transpose(2, 1, 0), doubts


def _decode_file(files: FileSet, batch: list[tuple[Frame, int]], stack: NDArray[np.int16]) -> None:
    """Decode the wanted frames of one file into their places."""
    name = batch[0][0].file
    _check_size(files, batch[0][0])
    data = None
    try:
        with files.open(name) as stream:
            data = pydicom.dcmread(stream, force=True)
        data.ensure_file_meta()
        if "TransferSyntaxUID" not in data.file_meta:
            implicit, little = data.original_encoding
            data.file_meta.TransferSyntaxUID = (
                (
                    pydicom.uid.ImplicitVRLittleEndian
                    if implicit
                    else pydicom.uid.ExplicitVRLittleEndian
                )
                if little
                else pydicom.uid.ExplicitVRBigEndian
            )
        single = int(data.get("NumberOfFrames") or 1) == 1
        in_one_go = single and not is_jpeg12(data)
        wanted = None if in_one_go else [0 if single else frame.frame for frame, _ in batch]
        check_codestreams(data, batch[0][0].rows, batch[0][0].columns, wanted)
        for frame, row in batch:
            stored = _stored(data, None if single else frame.frame)
            stack[row] = _to_hu(stored, frame, data)
    except MemoryError:
        raise
    except NotImplementedError as error:
        raise InputError(
            f"{files.shown(name)} is compressed in a way that cannot be decoded ({error}); "
            "convert the series to uncompressed DICOM, for example with gdcmconv --raw"
        ) from error
    except OSError as error:
        reason = error.strerror or "it is damaged"
        raise InputError(f"{files.shown(name)} cannot be read ({reason}); check it") from error
    except Exception as error:  # pydicom and the decoders raise whatever damage provokes
        one_slice = batch[0][0].frames_in_file == 1
        advice = ", or remove it to have its slice interpolated" if one_slice else ""
        raise InputError(
            f"{files.shown(name)} {_fault(data, batch[0][0])}; copy it again{advice}"
        ) from error


def _fault(data: pydicom.Dataset | None, frame: Frame) -> str:
    """What is wrong with a file whose pixels cannot be decoded, as far as its sizes tell."""
    if data is None:
        return "is damaged or cut short"
    syntax, pixels = data.file_meta.get("TransferSyntaxUID"), data.get("PixelData")
    have = len(pixels) if isinstance(pixels, bytes) else 0
    bytes_each = 2 if data.get("BitsAllocated") == 16 else 1
    need = frame.frames_in_file * frame.rows * frame.columns * bytes_each
    if str(syntax) in _PLAIN and have < need:
        return f"is cut short: {have} of {need} bytes of its pixels are there"
    return "has pixels that cannot be decoded, so it is probably damaged or cut short"


def _check_size(files: FileSet, frame: Frame) -> None:
    """Refuse a file much larger than its pixels, which would be read into memory as a whole."""
    pixels = frame.frames_in_file * frame.rows * frame.columns
    if files.size(frame.file) > pixels * _PIXEL_BYTES + _OTHER_BYTES:
        raise InputError(
            f"{files.shown(frame.file)} is much larger than its {frame.columns} × {frame.rows} "
            "pixels can be; export the series again, or remove the file to have its slice "
            "interpolated"
        )


def _stored(data: pydicom.Dataset, index: int | None) -> NDArray[Any]:
    """Stored values of one frame, shape (rows, columns)."""
    if is_jpeg12(data):
        return decoded(data, index or 0)
    stored = pixel_array(data, index=index, raw=True, decoding_plugin=decoder_of(data))
    return stored[0] if stored.ndim == 3 and len(stored) == 1 else stored


def _to_hu(stored: NDArray[Any], frame: Frame, data: pydicom.Dataset) -> NDArray[np.int16]:
    """Apply slope and intercept, clip to int16, and mark padding."""
    if frame.slope == 1 and float(frame.intercept).is_integer() and stored.dtype.itemsize <= 2:
        values: NDArray[Any] = stored.astype(np.int32)
        values += int(frame.intercept)
    else:
        values = np.rint(stored.astype(np.float64) * frame.slope + frame.intercept)
    padding = _padding(stored, frame, data)
    if padding is not None:
        values[padding] = UNMEASURED
    return np.asarray(np.clip(values, UNMEASURED, HIGHEST), dtype=np.int16)


def _padding(stored: NDArray[Any], frame: Frame, data: pydicom.Dataset) -> NDArray[np.bool_] | None:
    """Pixels outside the field of view by PixelPaddingValue (PS3.3 C.7.5.1.1.2).

    Where the padding value is one that tissue has as well, only regions that touch the picture's
    edge count. Values below air need nothing: they are clipped.
    """
    value = data.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = data.get("PixelPaddingRangeLimit")
    # The tag's sign follows PixelRepresentation, which writers get wrong: compare bit patterns.
    ends = [
        int(np.array(v).astype(np.int64).astype(stored.dtype))
        for v in (value, limit if isinstance(limit, int) else value)
    ]
    low, high = min(ends), max(ends)
    hu = [end * frame.slope + frame.intercept for end in (low, high)]
    if max(hu) <= AIR:
        return None
    mask = np.asarray((stored >= low) & (stored <= high))
    if not mask.any():
        return None
    if max(hu) < _TISSUE[0] or min(hu) > _TISSUE[1]:
        return mask
    parts, _ = ndimage.label(mask)
    edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    return np.asarray(np.isin(parts, edge[edge > 0]))


def _fill_missing(stack: NDArray[np.int16], places: NDArray[np.int_]) -> None:
    """Fill empty slices linearly from the nearest ones above and below, in place."""
    for low, high in pairwise(places.tolist()):
        for place in range(low + 1, high):
            part = (place - low) / (high - low)
            stack[place] = np.rint(stack[low] * (1 - part) + stack[high] * part)


def _interpolated(
    stack: NDArray[np.int16], places: NDArray[np.float64], slices: int
) -> NDArray[np.int16]:
    """Slices at whole places from slices at fractional ones, linearly."""
    out = np.empty((slices, *stack.shape[1:]), dtype=np.int16)
    for place in range(slices):
        above = int(np.clip(np.searchsorted(places, place), 1, len(places) - 1))
        low, high = places[above - 1], places[above]
        part = float(np.clip((place - low) / (high - low), 0, 1))
        out[place] = np.rint(stack[above - 1] * (1 - part) + stack[above] * part)
    return out
