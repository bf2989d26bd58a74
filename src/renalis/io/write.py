"""Write label maps on the scan's own grid, and volumes of our own, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from renalis.errors import OutputError
from renalis.io.label_names import label_table
from renalis.io.nifti_header import Nifti1Header, Nifti2Header
from renalis.io.scan import Scan, shown
from renalis.volume import Volume

__all__ = ["whole_file", "write_labels", "write_text", "write_volume"]

_CHUNK = 1 << 24
_LABEL_INTENT = 1002  # NIFTI_INTENT_LABEL
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when it is complete.

    Bytes go to a temporary name in the same folder, are flushed to disk and then renamed. When
    the block raises, also by Ctrl-C, nothing is left behind and an older file stays as it was.

    Parameters
    ----------
    path : path-like
        The file to write; missing folders are made.

    Yields
    ------
    BinaryIO
        The open temporary file.

    Raises
    ------
    OutputError
        If the folder or file cannot be written or the disk is full.
    """
    target = Path(path)
    part = target.parent / f".{target.name[:60]}.{secrets.token_hex(4)}.part"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    except OSError as error:
        raise _output_error(target, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except OSError as error:
        raise _output_error(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


_BINARY = getattr(os, "O_BINARY", 0)  # Windows would otherwise translate line ends


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a file of text in UTF-8, whole or not at all: see `whole_file`."""
    with whole_file(path) as file:
        file.write(text.encode())
    return Path(path)


def write_labels(
    path: str | os.PathLike[str], labels: Volume, like: Scan, named: bool = True
) -> Path:
    """Write a label map as NIfTI exactly on a scan's grid.

    Parameters
    ----------
    path : path-like
        Ends in ``.nii.gz`` (or ``.nii``); replaced if it exists.
    labels : Volume
        Whole numbers 0 to 255, on the grid of ``like``.
    like : Scan
        The scan that was segmented. If it was NIfTI, qform, sform, their codes and the units are
        copied as they are stored, so that the affine is equal bit by bit; of other header fields,
        free text in particular, nothing is copied.
    named : bool
        Whether they are KiTS23's labels, whose names and colors are then written into the header.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OutputError
        If the file cannot be written.
    ValueError
        If the labels are not on the scan's grid or do not fit uint8.
    """
    target = Path(path)
    if not labels.same_grid(like.volume):
        raise ValueError("the labels are not on the scan's grid")
    stored = like.source.nifti_header
    header = _header_from_nifti(stored) if stored else _header_from_affine(like.volume)
    header.set_data_dtype(np.uint8)
    header.set_data_shape(labels.shape)
    header.set_slope_inter(1, 0)
    header["intent_code"] = _LABEL_INTENT
    header["descrip"] = b"renalis label map"
    for words in ("aux_file", "intent_name", *(n for n in ("db_name",) if n in header)):
        header[words] = b""  # what they say is about the scan, if not about the patient
    _write_whole(target, header, labels.array, label_table() if named else b"")
    return target


def write_volume(path: str | os.PathLike[str], volume: Volume) -> Path:
    """Write a volume that comes from no file, such as a synthetic scan, as NIfTI.

    Parameters
    ----------
    path : path-like
        Ends in ``.nii.gz`` (or ``.nii``); replaced if it exists.
    volume : Volume
        int16 or uint8 voxels.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    target = Path(path)
    header = _header_from_affine(volume)
    header.set_data_shape(volume.shape)
    header.set_data_dtype(volume.array.dtype)
    header.set_slope_inter(1, 0)
    _write_whole(target, header, volume.array)
    return target


def _write_whole(target: Path, header: Any, array: NDArray[Any], extension: bytes = b"") -> None:
    """Header and voxels, compressed if the name says so; the file appears when complete."""
    with whole_file(target) as file:
        if target.suffix == ".gz":
            # No name and no time in the gzip header: equal voxels give equal files.
            with igzip.IGzipFile(
                filename="", mode="wb", compresslevel=2, fileobj=file, mtime=0
            ) as packed:
                _write_nifti(packed, header, array, extension)
        else:
            _write_nifti(file, header, array, extension)


def _header_from_nifti(stored: bytes) -> Any:
    """A new header with the geometry fields of a stored one, copied field by field."""
    kind: Any = Nifti1Header if len(stored) == 348 else Nifti2Header
    source = kind(stored, check=False).as_byteswapped("<")
    header = kind(endianness="<")
    for name in _GEOMETRY_FIELDS:
        header[name] = source[name]
    return header


_GEOMETRY_FIELDS = (
    "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
)  # fmt: skip


def _header_from_affine(volume: Volume) -> Any:
    """A header for an affine; a sheared grid (gantry tilt) has no qform, which cannot hold it.

    See `renalis.io.straight` for those who need one.
    """
    header = Nifti1Header(endianness="<")
    header.set_data_shape(volume.shape)
    header.set_zooms(volume.spacing)
    header.set_sform(volume.affine, code="scanner")
    axes = volume.affine[:3, :3] / np.asarray(volume.spacing)
    if np.allclose(axes.T @ axes, np.eye(3), atol=1e-4):
        header.set_qform(volume.affine, code="scanner")
    header.set_xyzt_units("mm")
    return header


def _write_nifti(file: Any, header: Any, array: NDArray[Any], extension: bytes) -> None:
    """Write header and voxels; in slabs, so that no second copy of the whole map exists."""
    first = int(header["sizeof_hdr"]) == 348
    offset = 352 if first else 544
    header["vox_offset"] = offset + len(extension)
    header["magic"] = b"n+1" if first else b"n+2\x00\r\n\x1a\n"
    flag = bytes([bool(extension), 0, 0, 0])
    file.write(header.binaryblock + flag + extension)
    step = max(1, _CHUNK // max(1, array.shape[0] * array.shape[1]))
    for start in range(0, array.shape[2], step):
        slab = array[:, :, start : start + step]
        stored = slab.astype(header.get_data_dtype(), copy=False)
        if stored is not slab and not np.array_equal(stored, slab):
            raise ValueError(f"the voxels are not whole numbers that fit {stored.dtype}")
        # Without a copy where voxels lie in memory as in a NIfTI file, the first axis fastest
        file.write(np.ascontiguousarray(stored.T).reshape(-1).view(np.uint8))


def _output_error(path: Path, error: OSError) -> OutputError:
    """The sentence for a failed write."""
    name = shown(path, 300)
    if error.errno in _FULL:
        return OutputError(f"{name} was not written: the disk is full; make room and run again")
    if error.errno in _DENIED:
        return OutputError(
            f"{name} cannot be written: no permission; choose another output folder with -o"
        )
    reason = error.strerror or str(error)
    return OutputError(f"{name} cannot be written ({reason}); choose another output folder with -o")
