"""Open a NIfTI file: understand its header and stand before its first voxel, or say why not."""

from __future__ import annotations

import contextlib
import gzip
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.nifti_header import HeaderDataError, Nifti1Header, Nifti2Header
from renalis.io.nifti_place import affine_of
from renalis.io.scan import shown
from renalis.io.scan_size import MOST_UNPACKED, scan_size
from renalis.io.signatures import what_else
from renalis.io.whole_hu import Scaling

__all__ = ["CHUNK", "StoredVoxels", "fill", "pair_voxels", "stored_voxels"]

CHUNK = 1 << 21
"""Voxels converted at a time."""
_NUMBERS = frozenset(
    {"uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"}
    | {"float32", "float64"}
)
_DAMAGED: tuple[type[Exception], ...] = (
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    cast(type[Exception], IsalError),
)


@dataclass(frozen=True)
class StoredVoxels:
    """An open NIfTI file whose header was understood, placed before its first voxel.

    Parameters
    ----------
    shape : tuple of int
        Voxels along each axis; the first axis is the fastest in the file.
    affine : ndarray, shape (4, 4), float64
        Index to patient mm (RAS+).
    dtype : dtype
        Stored type, in the file's byte order.
    scaling : tuple of (float or None)
        Slope and intercept; None where the header leaves them open.
    header : bytes
        The header as stored.
    warnings : tuple of str
        What is doubtful about the place in space; they name no file.
    stream : BinaryIO
        Uncompressed bytes.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    dtype: np.dtype[Any]
    scaling: Scaling
    header: bytes
    warnings: tuple[str, ...]
    stream: BinaryIO

    def chunks(self, voxels: int = CHUNK) -> Iterator[tuple[int, NDArray[Any]]]:
        """The stored values in file order: index of the first, then values, in one reused buffer.

        Raises
        ------
        EOFError
            If the file ends early; `stored_voxels` turns it into a sentence.
        """
        size = math.prod(self.shape)
        buffer = np.empty(min(voxels, size), dtype=self.dtype)
        for start in range(0, size, voxels):
            part = buffer[: min(voxels, size - start)]
            fill(self.stream, part)
            yield start, part
        self.stream.read(1)  # reaches the end of a packed file, where its checksum is compared


@contextlib.contextmanager
def stored_voxels(path: Path, wanted: str = "a CT") -> Iterator[StoredVoxels]:
    """Open a NIfTI file and understand its header.

    Parameters
    ----------
    path : Path
        NIfTI-1 or NIfTI-2 file, packed or not, whatever its name ends in, or the header of a
        pair (``.hdr``), whose voxels lie next to it (``.img``).
    wanted : str
        What the file should have been, for the sentence that refuses it.

    Raises
    ------
    InputError
        If the file is no 3D image of numbers, has no usable place, or cannot be read to its end.
    """
    name = shown(path)
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(_opened(path))
        header = _header(stream, name, wanted)
        shape = _shape(header, name)
        dtype = _dtype(header, name, wanted)
        affine, warnings = affine_of(header, shape, name)
        offset = _offset(header, name)
        start = len(header.binaryblock)
        holder = path
        if _is_pair(header):
            holder, start = _voxel_file(path, name), 0
            stream = stack.enter_context(_opened(holder))
        packed = isinstance(stream, igzip.IGzipFile)
        said = shown(holder)
        _check_size(holder, packed, offset + math.prod(shape) * dtype.itemsize, said)
        _skip(stream, offset - start, said)
        scaling = _scaling(header, name)
        block = bytes(header.binaryblock)
        yield StoredVoxels(shape, affine, dtype, scaling, block, tuple(warnings), stream)


def pair_voxels(path: Path) -> Path | None:
    """The file with the voxels of a NIfTI pair, next to its header; None if there is none."""
    stem = re.sub(r"(\.hdr|\.nii)?(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    names = [f"{stem}{ending}" for ending in (".img", ".img.gz", ".IMG")]
    return next((p for name in names if (p := path.with_name(name)).is_file()), None)


def _is_pair(header: Any) -> bool:
    return bytes(header["magic"])[:3] in (b"ni1", b"ni2")


def _voxel_file(path: Path, name: str) -> Path:
    voxels = pair_voxels(path)
    if voxels is None:
        raise InputError(
            f"{name} is the header of a NIfTI pair (.hdr and .img), and its .img file is not "
            "next to it; copy both files"
        )
    return voxels


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The uncompressed bytes of a file; every way in which reading can fail becomes a sentence."""
    name = shown(path)
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"  # the content decides, not the name
            raw.seek(0)
            if packed:
                with igzip.IGzipFile(fileobj=raw, mode="rb") as stream:
                    yield cast(BinaryIO, stream)
            else:
                yield raw
    except _DAMAGED as error:
        raise InputError(
            f"{name} is cut short or damaged ({error}); copy or download it again"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{name} cannot be read ({reason}); check the path") from error


def _header(stream: BinaryIO, name: str, wanted: str) -> Any:
    """Parse the header; NIfTI-1 or -2, either byte order."""
    start = stream.read(4)
    kinds: dict[int, Any] = {348: Nifti1Header, 540: Nifti2Header}
    for order in ("little", "big"):
        size = int.from_bytes(start, order)
        if size in kinds and len(start) == 4:
            block = start + stream.read(size - 4)
            if len(block) < size:
                break
            header = kinds[size](block, endianness="<" if order == "little" else ">", check=False)
            magic = bytes(header["magic"])[:3]
            if magic in (b"n+1", b"n+2", b"ni1", b"ni2"):
                return header
            raise InputError(
                f"{name} is an ANALYZE file, which does not tell left from right; "
                "convert the scan's DICOM files to NIfTI instead"
            )
    what, advice = what_else(start + stream.read(1020))
    if what:
        raise InputError(f"{name} is not a NIfTI file but {what}; {advice}")
    raise InputError(f"{name} is not a NIfTI file; give {wanted} as .nii or .nii.gz")


def _shape(header: Any, name: str) -> tuple[int, int, int]:
    """The three axes; further axes are accepted when they have length one."""
    rank = int(header["dim"][0])
    sizes = [int(n) for n in header["dim"][1 : 1 + max(rank, 0)]]
    if not 1 <= rank <= 7 or min(sizes) < 1:
        raise InputError(f"{name} has no valid size ({sizes}); export the scan again")
    return scan_size(sizes, name)


def _dtype(header: Any, name: str, wanted: str) -> np.dtype[Any]:
    """The stored type, in the file's byte order."""
    try:
        dtype: np.dtype[Any] = np.dtype(header.get_data_dtype())
    except (HeaderDataError, KeyError):
        dtype = np.dtype("V1")
    if dtype.name not in _NUMBERS:
        what = "colors" if dtype.names else f"values of type {header['datatype']}"
        if wanted == "a CT":
            raise InputError(
                f"{name} holds {what}, not CT numbers; "
                "give the CT itself (16-bit whole numbers, HU)"
            )
        raise InputError(f"{name} holds {what}; give {wanted}")
    return dtype


def _scaling(header: Any, name: str) -> Scaling:
    """Slope and intercept; none when the header leaves them open."""
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise InputError(f"{name} has an invalid slope ({error}); export it again") from error
    return slope, intercept


def _offset(header: Any, name: str) -> int:
    """Where the voxels begin."""
    try:
        return int(header.get_data_offset())
    except (ValueError, OverflowError, HeaderDataError) as error:
        raise InputError(f"{name} has a damaged header; copy or export it again") from error


def _check_size(path: Path, packed: bool, needed: int, name: str) -> None:
    """Refuse a header that promises more voxels than the file can hold, before making room."""
    if needed > path.stat().st_size * (MOST_UNPACKED if packed else 1):
        raise InputError(f"{name} is cut short; copy or download it again")


def _skip(stream: BinaryIO, count: int, name: str) -> None:
    """Read past header extensions."""
    if count < 0:
        raise InputError(f"{name} has a damaged header; copy or export it again")
    while count > 0:
        block = stream.read(min(count, 1 << 20))
        if not block:
            raise EOFError("it ends before its voxels")
        count -= len(block)


def fill(stream: BinaryIO, part: NDArray[Any]) -> None:
    """Read exactly as many values as ``part`` holds; EOFError if there are fewer."""
    view, done = memoryview(part.view(np.uint8).data), 0
    while done < len(view):
        count = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError("it ends before the last voxel")
        done += count
