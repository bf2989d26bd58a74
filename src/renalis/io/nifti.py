"""Read a CT from a NIfTI file: exact place, HU as int16, no second copy of the voxels."""

from __future__ import annotations

import contextlib
import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.scan import Scan, ScanSource, shown
from renalis.volume import Volume

__all__ = ["AIR", "read_nifti"]

_Scaling = tuple[float | None, float | None]

AIR = -1024
"""Lowest HU kept: scanners mark pixels outside the field of view by -2000, -2048 or -3024."""

_CHUNK = 1 << 21  # voxels converted at a time
_MOST_VOXELS = 1 << 31
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
    with _opened(source.path) as stream:
        header = _header(stream, name)
        shape = _shape(header, name)
        dtype = _dtype(header, name)
        affine, warnings = _affine(header, shape, name)
        offset = header.get_data_offset()
        packed = isinstance(stream, igzip.IGzipFile)
        _check_size(source.path, packed, offset + math.prod(shape) * dtype.itemsize, name)
        _skip(stream, offset - len(header.binaryblock), name)
        flat = np.empty(math.prod(shape), dtype=np.int16)
        seen = _read_voxels(stream, flat, dtype, _scaling(header, name))
    warnings += _check_values(flat, seen, name)
    volume = Volume(flat.reshape(shape, order="F"), affine)
    return Scan(
        case_id=source.case_id,
        volume=volume,
        source=replace(source, nifti_header=bytes(header.binaryblock)),
        warnings=tuple(warnings),
    )


@dataclass
class _Seen:
    """What was met while converting voxels."""

    not_finite: int = 0
    too_high: int = 0
    fractions: bool = False


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


def _header(stream: BinaryIO, name: str) -> Any:
    """Parse the header; NIfTI-1 or -2, either byte order."""
    start = stream.read(4)
    kinds: dict[int, Any] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
    for order in ("little", "big"):
        size = int.from_bytes(start, order)
        if size in kinds and len(start) == 4:
            block = start + stream.read(size - 4)
            if len(block) < size:
                break
            header = kinds[size](block, endianness="<" if order == "little" else ">", check=False)
            magic = bytes(header["magic"])[:3]
            if magic in (b"n+1", b"n+2"):
                return header
            if magic in (b"ni1", b"ni2"):
                raise InputError(
                    f"{name} is the header of a NIfTI pair (.hdr and .img); "
                    "convert the pair to one .nii.gz file"
                )
            raise InputError(
                f"{name} is an ANALYZE file, which does not tell left from right; "
                "convert the scan's DICOM files to NIfTI instead"
            )
    raise InputError(f"{name} is not a NIfTI file; give a CT as .nii, .nii.gz or DICOM")


def _shape(header: Any, name: str) -> tuple[int, int, int]:
    """The three axes; further axes are accepted when they have length one."""
    rank = int(header["dim"][0])
    sizes = [int(n) for n in header["dim"][1 : 1 + max(rank, 0)]]
    if not 1 <= rank <= 7 or min(sizes) < 1:
        raise InputError(f"{name} has no valid size ({sizes}); export the scan again")
    if any(n > 1 for n in sizes[3:]):
        raise InputError(
            f"{name} has {len(sizes)} axes ({_times(sizes)}); "
            "renalis reads one 3D scan per file, so split it"
        )
    if rank < 3 or min(sizes[:3]) < 2:
        raise InputError(
            f"{name} is a single slice ({_times(sizes)}); give the whole 3D scan instead"
        )
    if np.prod(sizes[:3], dtype=np.float64) > _MOST_VOXELS:
        raise InputError(
            f"{name} claims {_times(sizes)} voxels, more than a CT scan can have; "
            "check the file or export the scan again"
        )
    return sizes[0], sizes[1], sizes[2]


def _times(sizes: list[int]) -> str:
    return " × ".join(str(n) for n in sizes)


def _dtype(header: Any, name: str) -> np.dtype[Any]:
    """The stored type, in the file's byte order."""
    try:
        dtype: np.dtype[Any] = np.dtype(header.get_data_dtype())
    except (HeaderDataError, KeyError):
        dtype = np.dtype("V1")
    if dtype.name not in _NUMBERS:
        what = "colors" if dtype.names else f"values of type {header['datatype']}"
        raise InputError(
            f"{name} holds {what}, not CT numbers; give the CT itself (16-bit whole numbers, HU)"
        )
    return dtype


def _scaling(header: Any, name: str) -> _Scaling:
    """Slope and intercept; none when the header leaves them open."""
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise InputError(f"{name} has an invalid slope ({error}); export it again") from error
    return slope, intercept


def _affine(
    header: Any, shape: tuple[int, int, int], name: str
) -> tuple[NDArray[np.float64], list[str]]:
    """The affine as nibabel chooses it, and what is doubtful about it."""
    advice = "export the scan again, best from DICOM with dcm2niix"
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    warnings = []
    try:
        header.set_data_shape(shape)
        affine = np.asarray(header.get_best_affine(), dtype=np.float64)
        if sform > 0 and qform > 0:
            apart = _largest_distance(affine, header.get_qform(), shape)
            if apart > 1:
                warnings.append(
                    f"{name} gives two places that differ by {apart:.0f} mm (sform and qform); "
                    "sform was used"
                )
    except (HeaderDataError, ValueError, np.linalg.LinAlgError) as error:
        raise InputError(f"{name} has an invalid place in space ({error}); {advice}") from error
    if not np.isfinite(affine).all():
        raise InputError(f"{name} has an affine with values that are not finite; {advice}")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if (spacing < 1e-4).any():
        raise InputError(f"{name} has a voxel spacing of zero; {advice}")
    try:
        Volume(np.empty((1, 1, 1), np.int16), affine)
    except ValueError as error:
        raise InputError(f"{name}: {error}; {advice}") from error
    if sform <= 0 and qform <= 0:
        warnings.append(
            f"{name} does not say how the patient lies (no sform, no qform): left and right, "
            "front and back are the NIfTI default and may be wrong"
        )
    if (spacing < 0.1).any() or (spacing > 20).any():
        words = " × ".join(f"{s:.3g}" for s in spacing)
        warnings.append(f"{name} has an unusual voxel spacing: {words} mm")
    return affine, warnings


def _largest_distance(
    one: NDArray[np.float64], two: NDArray[np.float64], shape: tuple[int, int, int]
) -> float:
    """Largest distance in mm between the places that two affines give to a corner voxel."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    points = np.vstack([corners, np.ones(8)])
    return float(np.linalg.norm(((one - two) @ points)[:3], axis=0).max())


def _check_size(path: Path, packed: bool, needed: int, name: str) -> None:
    """Refuse a header that promises more voxels than the file can hold, before making room."""
    # Deflate packs at most about 1032 : 1 (RFC 1951: 258 bytes per two bits).
    if needed > path.stat().st_size * (1040 if packed else 1):
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


def _read_voxels(
    stream: BinaryIO, out: NDArray[np.int16], dtype: np.dtype[Any], scaling: _Scaling
) -> _Seen:
    """Fill ``out`` with HU, a chunk at a time."""
    seen = _Seen()
    plain = dtype == np.dtype("<i2") and scaling in ((None, None), (1.0, 0.0))
    for start in range(0, out.size, _CHUNK):
        part = out[start : start + _CHUNK]
        raw: NDArray[Any] = part if plain else np.empty(part.size, dtype=dtype)
        view, done = memoryview(raw.view(np.uint8).data), 0
        while done < len(view):
            count = stream.readinto(view[done:])  # type: ignore[attr-defined]
            if not count:
                raise EOFError("it ends before the last voxel")
            done += count
        if not plain:
            _convert(raw, part, scaling, seen)
        np.maximum(part, AIR, out=part)
    stream.read(1)  # reaches the end of a packed file, where its checksum is compared
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
