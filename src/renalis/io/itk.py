"""Read a CT from a MetaImage or NRRD file with SimpleITK, an optional extra."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.affine_check import NO_DIRECTIONS, check_place
from renalis.io.itk_header import ItkHeader, read_header
from renalis.io.scan import Scan, ScanSource, shown
from renalis.io.scan_size import MOST_UNPACKED, scan_size
from renalis.io.volume_slices import slice_doubts
from renalis.io.whole_hu import Seen, to_whole_hu
from renalis.volume import Volume

__all__ = ["check_size", "itk_affine", "itk_map", "opened", "read_itk", "stored_values"]

_CHUNK = 1 << 21
_AGAIN = "save it again with its spacing in mm, or convert the scan to .nii.gz"
_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_PATIENT_SPACES = frozenset(
    {"left-posterior-superior", "lps", "right-anterior-superior", "ras"}
    | {"left-anterior-superior", "las"}
)
_MM = frozenset({"", "mm", "millimeter", "millimeters", "millimetre", "millimetres", "???"})
"""Units of space that are mm, or are left open."""


def read_itk(source: ScanSource) -> Scan:
    """Read a ``.mha``, ``.mhd``, ``.nrrd`` or ``.nhdr`` file.

    Returns
    -------
    Scan
        Volume of int16 HU with the axis order of the file; affine from ITK's origin, spacing and
        direction (LPS+), turned to RAS+.

    Raises
    ------
    InputError
        If SimpleITK is not installed, or the file cannot be read, is no 3D image of numbers, has
        no usable place, or does not hold HU. The sentence says which.
    """
    name = shown(source.path)
    header = read_header(source.path)
    with opened(source.path, header) as reader:
        shape = _shape(reader, name)
        warnings = _doubts(header, name)
        affine = itk_affine(reader, name)
        warnings += check_place(affine, name)
        check_size(reader, header, name)
        image = reader.Execute()
        flat, seen = _voxels(_values(image), math.prod(shape))
    array = flat.reshape(shape, order="F")
    warnings += seen.settled(array, name)
    volume = Volume(array, affine)
    warnings += slice_doubts(volume)
    return Scan(
        case_id=source.case_id,
        volume=volume,
        source=source,
        # The case and no path: kept with the result, and folders are named after patients.
        warnings=tuple(f"{source.case_id}: {text}" for text in warnings),
    )


def stored_values(path: Path, bytes_only: bool) -> NDArray[Any] | None:
    """The voxels of a file as they are stored, the first axis fastest.

    Parameters
    ----------
    path : Path
        MetaImage or NRRD file.
    bytes_only : bool
        Return None, and read the header alone, unless voxels have 8 bits.

    Raises
    ------
    InputError
        If it cannot be read as one 3D image of numbers.
    """
    name = shown(path)
    header = read_header(path)
    with opened(path, header) as reader:
        _shape(reader, name)
        if bytes_only and not _kind(reader).startswith("8-bit"):
            return None
        check_size(reader, header, name)
        image = reader.Execute()
        return _values(image).copy()


def itk_map(path: Path) -> tuple[NDArray[Any], NDArray[np.float64], bool]:
    """A label map as it is stored.

    Parameters
    ----------
    path : Path
        MetaImage or NRRD file.

    Returns
    -------
    values : ndarray, shape (I, J, K)
        In the file's order, the first axis fastest in memory.
    affine : ndarray, shape (4, 4)
        Index to patient mm (RAS+).
    placed : bool
        Whether the header says how the patient lies.

    Raises
    ------
    InputError
        If it cannot be read as one 3D image of numbers with a usable place.
    """
    name = shown(path)
    header = read_header(path)
    with opened(path, header, "the label map") as reader:
        shape = _shape(reader, name)
        placed = not any(NO_DIRECTIONS in doubt for doubt in _doubts(header, name))
        affine = itk_affine(reader, name)
        check_place(affine, name)
        check_size(reader, header, name)
        image = reader.Execute()
        return _values(image).copy().reshape(shape, order="F"), affine, placed


@contextlib.contextmanager
def opened(path: Path, header: ItkHeader, wanted: str = "the scan") -> Iterator[Any]:
    """A reader that knows the header; its errors become sentences, its remarks are not shown.

    What it opens has to be looked at before (`read_header`), and is opened in that format alone.
    """
    name = shown(path)
    try:
        import SimpleITK as sitk
    except ImportError as error:
        raise InputError(
            f"{name} needs SimpleITK, which is not installed: pip install 'renalis[itk]', or "
            f"convert {wanted} to .nii.gz"
        ) from error
    shows = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        reader = sitk.ImageFileReader()
        # As the header was read: of all its formats, ITK would take the first that fits, and a
        # file may look like several.
        reader.SetImageIO("NrrdImageIO" if header.nrrd else "MetaImageIO")
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        yield reader
    except RuntimeError as error:  # all that ITK raises
        raise InputError(
            f"{name} cannot be read with SimpleITK: it is damaged or cut short, or breaks its "
            f"format's rules; copy it again, or convert {wanted} to .nii.gz"
        ) from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shows)


def _shape(reader: Any, name: str) -> tuple[int, int, int]:
    """The three axes; further axes are accepted when they have length one."""
    sizes = [int(n) for n in reader.GetSize()]
    kind = _kind(reader)
    if reader.GetNumberOfComponents() != 1 or kind.startswith("complex"):
        count = reader.GetNumberOfComponents()
        what = f"{count} values" if count > 1 else "a complex number"
        raise InputError(
            f"{name} holds {what} for each voxel (colors, or images at several times), not CT "
            "numbers; give the CT itself"
        )
    return scan_size(sizes, name)


def _kind(reader: Any) -> str:
    """The type of its values in ITK's words, such as ``16-bit signed integer``."""
    import SimpleITK as sitk

    return str(sitk.GetPixelIDValueAsString(reader.GetPixelID()))


def itk_affine(reader: Any, name: str) -> NDArray[np.float64]:
    """Index to patient mm, RAS+."""
    axes = reader.GetDimension()
    spacing = np.array(reader.GetSpacing())[:3]
    if (spacing < 0).any():
        raise InputError(f"{name} has a negative voxel spacing; {_AGAIN}")
    affine = np.eye(4)
    direction = np.array(reader.GetDirection()).reshape(axes, axes)[:3, :3]
    affine[:3, :3] = direction * spacing
    affine[:3, 3] = np.array(reader.GetOrigin())[:3]
    return np.asarray(_FROM_LPS @ affine)


def _doubts(header: ItkHeader, name: str) -> list[str]:
    """What the header leaves open, and what ITK does not read of it."""
    fields = header.fields
    if header.nrrd:
        units = {unit.lower() for unit in re.findall(r'"([^"]*)"', fields.get("spaceunits", ""))}
        if not units <= _MM:
            raise InputError(
                f"{name} has its spacing in {', '.join(sorted(units))}, which ITK does not "
                f"convert; {_AGAIN}"
            )
        space = fields.get("space", "").lower()
        known = space in _PATIENT_SPACES and "spacedirections" in fields
        what = f"its space is {shown(space, 40)}" if space else "no space"
    else:
        known = not {"transformmatrix", "rotation", "orientation"}.isdisjoint(fields)
        what = "no TransformMatrix"
    warnings = []
    if not known:
        warnings.append(
            f"the header {NO_DIRECTIONS} ({what}): left and right, front and back are ITK's "
            "default and may be wrong"
        )
    slope = fields.get("elementtointensityfunctionslope", "1")
    offset = fields.get("elementtointensityfunctionoffset", "0")
    if (_number(slope), _number(offset)) != (1.0, 0.0):
        warnings.append(
            f"the header has an intensity function (slope {shown(slope, 20)}, offset "
            f"{shown(offset, 20)}), which ITK does not apply, so values may not be HU"
        )
    return warnings


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def check_size(reader: Any, header: ItkHeader, name: str) -> None:
    """Refuse a header that promises more voxels than the file can hold, before making room."""
    bits = re.search(r"(\d+)-bit", _kind(reader))
    if bits is None:
        return
    need = math.prod(reader.GetSize()) * reader.GetNumberOfComponents() * int(bits[1]) // 8
    have = header.data.stat().st_size - header.offset
    if header.packed and have * MOST_UNPACKED < need:
        raise InputError(f"{name} is cut short; copy or download it again")
    if not header.packed and have < need:
        raise InputError(
            f"{name} is cut short: {have} of {need} bytes of its voxels are there; copy or "
            "download it again"
        )


def _values(image: Any) -> NDArray[Any]:
    """All voxels as stored, the first axis fastest; the image has to outlive them."""
    import SimpleITK as sitk

    return np.asarray(sitk.GetArrayViewFromImage(image)).reshape(-1)


def _voxels(stored: NDArray[Any], size: int) -> tuple[NDArray[np.int16], Seen]:
    """Stored values as whole HU."""
    flat = np.empty(size, dtype=np.int16)
    seen = Seen()
    for start in range(0, size, _CHUNK):
        part = flat[start : start + _CHUNK]
        to_whole_hu(stored[start : start + _CHUNK], part, (None, None), seen)
    return flat, seen
