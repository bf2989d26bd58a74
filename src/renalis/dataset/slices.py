"""Single axial slices with label maps: files of arrays, grey values to HU.

A file (``.npz``) holds ``image`` (N, Y, X) uint8, ``labels`` (N, Y, X) uint8 in the KiTS23
convention, ``case`` (N,) the patient's number, ``slice`` (N,) the place along the scan, and
``spacing_mm`` (N, 3): slice spacing, row spacing, column spacing; zeros mean unknown. Rows run to
the patient's back, columns to the patient's left. ``grey_hu`` (2,), the HU of the greys 0 and 255,
may be there too; without it they are told from the image (`grey_scale_of`).
"""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal
from skimage.morphology import convex_hull_image

from renalis.errors import InputError
from renalis.io import whole_file
from renalis.volume import Kind, Volume

__all__ = [
    "CLIPPED_SCALES",
    "SliceSet",
    "fill_unknown",
    "grey_of_hu",
    "grey_scale_of",
    "read_slices",
    "slice_hu",
    "slice_image",
    "slice_index",
    "slice_labels",
    "write_slices",
]

UNKNOWN_SPACING_MM = 0.75
"""In-plane spacing that is taken where none is given: the median of abdominal CT."""

CLIPPED_SCALES: tuple[tuple[float, float], ...] = ((-79.0, 304.0), (0.0, 255.0))
"""HU of the greys 0 and 255 of slices whose fat was clipped; the first holds 99 % of the voxels of
kidneys and tumors in KiTS (Isensee et al., 2019)."""

_KEYS = ("image", "labels", "case", "slice", "spacing_mm")
_SCALE = "grey_hu"
_SOFT_HU, _FAT_HU, _AIR_HU = 45.0, -100.0, -1000.0
_UNKNOWN_DISTANCE_MM = 1.0
_MOST_BYTES = 4 << 30
_DAMAGED = (
    OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile, zlib.error, EOFError,
    RuntimeError, SyntaxError, tokenize.TokenError,
)  # fmt: skip
"""What NumPy and zipfile raise of damaged files; headers of arrays are read as Python literals."""
_LEAST_PART_MM2 = 300.0


@dataclass(frozen=True, eq=False)
class SliceSet:
    """The slices of one file.

    Attributes
    ----------
    name : str
        The file's name without its ending.
    image, labels : ndarray, shape (N, Y, X), uint8
        Grey values, and KiTS23 labels.
    case : ndarray, shape (N,), int
        Number of the patient: slices are split by it.
    place : ndarray, shape (N,), float
        Index along the scan's slice axis; between two slices where fractional.
    spacing_mm : ndarray, shape (N, 3), float
        Of slices, rows, columns; unknown ones are `UNKNOWN_SPACING_MM` (0 along the body).
    grey_hu : tuple of float
        HU of the greys 0 and 255. What is darker or brighter was clipped.
    """

    name: str
    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    case: NDArray[np.int64]
    place: NDArray[np.float64]
    spacing_mm: NDArray[np.float64]
    grey_hu: tuple[float, float]

    def __len__(self) -> int:
        return len(self.image)

    def of_cases(self, wanted: Callable[[int], bool]) -> SliceSet:
        """The slices of patients whose number is wanted."""
        keep = np.array([wanted(int(case)) for case in self.case], bool)
        return replace(
            self,
            image=self.image[keep],
            labels=self.labels[keep],
            case=self.case[keep],
            place=self.place[keep],
            spacing_mm=self.spacing_mm[keep],
        )


def read_slices(path: Path, grey_hu: tuple[float, float] | None = None) -> SliceSet:
    """Read a file of slices.

    Parameters
    ----------
    path : Path
        ``.npz`` with the keys above.
    grey_hu : tuple of float, optional
        HU of the greys 0 and 255; default: what the file says, or else `grey_scale_of` finds.

    Raises
    ------
    InputError
        If it is no such file, or its arrays do not fit each other.
    """
    arrays = _arrays(path)
    image, labels = arrays["image"], arrays["labels"]
    if image.ndim != 3 or image.dtype != np.uint8 or labels.shape != image.shape:
        raise InputError(
            f"{path}: image is {image.dtype} {image.shape}, labels {labels.shape}; slices are "
            "stored as uint8 (N, rows, columns), labels alike"
        )
    spacing = np.asarray(arrays["spacing_mm"], np.float64)
    if spacing.shape != (len(image), 3) or not np.isfinite(spacing).all() or (spacing < 0).any():
        raise InputError(f"{path}: spacing_mm is not three numbers (mm) for each slice")
    for key in ("case", "slice"):
        if arrays[key].shape != (len(image),):
            raise InputError(f"{path}: {key} is not one number for each slice")
    if labels.dtype.kind not in "ui" or (labels.size and (labels.max() > 3 or labels.min() < 0)):
        raise InputError(f"{path}: labels other than 0, 1 kidney, 2 tumor, 3 cyst")
    spacing[:, 1:][spacing[:, 1:] == 0] = UNKNOWN_SPACING_MM
    grey_hu = grey_hu or _stored_scale(path, arrays)
    return SliceSet(
        path.stem,
        image.astype(np.uint8, copy=False),
        labels.astype(np.uint8),
        arrays["case"].astype(np.int64),
        arrays["slice"].astype(np.float64),
        spacing,
        grey_hu or grey_scale_of(image.astype(np.uint8, copy=False)),
    )


def slice_index(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Patient and place of each slice of a file, (N,) both; its images are not unpacked.

    Raises
    ------
    InputError
        If it is no file of slices.
    """
    arrays = _arrays(path, ("case", "slice"))
    case, place = arrays["case"], arrays["slice"]
    if case.ndim != 1 or case.shape != place.shape or case.dtype.kind not in "ui":
        raise InputError(f"{path}: case and slice are not one number for each slice")
    return case.astype(np.int64), place.astype(np.float64)


def _stored_scale(path: Path, arrays: dict[str, NDArray[np.generic]]) -> tuple[float, float] | None:
    """HU of the greys 0 and 255, if the file says so."""
    if _SCALE not in arrays:
        return None
    ends = np.asarray(arrays[_SCALE], np.float64)
    if ends.shape != (2,) or not np.isfinite(ends).all() or ends[0] >= ends[1]:
        raise InputError(f"{path}: {_SCALE} is not the HU of the greys 0 and 255, two that rise")
    return float(ends[0]), float(ends[1])


def write_slices(path: Path, slices: SliceSet) -> None:
    """Write a file of slices, with its grey scale, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with whole_file(path) as file:
        np.savez_compressed(
            file,
            image=slices.image,
            labels=slices.labels,
            case=slices.case.astype(np.int32),
            slice=slices.place.astype(np.float32),
            spacing_mm=slices.spacing_mm.astype(np.float32),
            grey_hu=np.asarray(slices.grey_hu, np.float32),
        )


def _arrays(path: Path, keys: tuple[str, ...] = (*_KEYS, _SCALE)) -> dict[str, NDArray[np.generic]]:
    """Arrays of a file, refused before they are unpacked if they are absurdly large."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            for entry in archive.infolist():
                _check_array(archive, entry)
        if size > _MOST_BYTES:
            raise InputError(f"{path} unpacks to {size >> 20} MB; split it into smaller files")
        with np.load(path, allow_pickle=False) as stored:
            missing = [key for key in _KEYS if key not in stored.files]
            if missing:
                raise InputError(f"{path} holds no {', '.join(missing)}; it is no file of slices")
            return {key: np.asarray(stored[key]) for key in keys if key in stored.files}
    except _DAMAGED as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be read as .npz ({reason}); copy it again") from error


def _check_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Refuse an array whose header promises more than its file holds, before NumPy makes room."""
    formats = np.lib.format
    with archive.open(entry) as member:
        version = formats.read_magic(member)
        read = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
        shape, _, dtype = read(member)
    if dtype.kind not in "buif":
        raise ValueError(f"{entry.filename} holds no numbers")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > entry.file_size:
        raise ValueError(f"{entry.filename} is shorter than its header says")


def grey_scale_of(image: NDArray[np.uint8]) -> tuple[float, float]:
    """HU of the greys 0 and 255: of `CLIPPED_SCALES` the one that fits where greys pile up.

    Most pixels that are neither black nor white are soft tissue of about 45 HU. Other scales than
    these two have to be given: piles of fat and bowel make guesses about them wrong too often.

    Parameters
    ----------
    image : ndarray, shape (N, Y, X), uint8
        All slices of a file: what they share is sought.
    """
    counts = np.bincount(image[:, ::2, ::2].ravel(), minlength=256).astype(np.float64)
    smooth = ndimage.gaussian_filter1d(counts[6:250], 3.0)
    peaks, found = signal.find_peaks(smooth, prominence=0)
    soft = 6 + peaks[found["prominences"].argmax()] if len(peaks) else 80
    return min(
        CLIPPED_SCALES, key=lambda ends: abs(ends[0] + soft * (ends[1] - ends[0]) / 255 - _SOFT_HU)
    )


def slice_hu(slices: SliceSet, number: int) -> NDArray[np.float32]:
    """A slice in HU (Y, X), what was clipped as black filled by `fill_unknown`."""
    low, high = slices.grey_hu
    grey = slices.image[number]
    hu = np.asarray(grey, np.float32) * np.float32((high - low) / 255) + np.float32(low)
    if low <= _AIR_HU:
        return hu
    y, x = slices.spacing_mm[number, 1:]
    return fill_unknown(hu, grey <= 1, (float(y), float(x)))


def grey_of_hu(hu: NDArray[Any], grey_hu: tuple[float, float]) -> NDArray[np.uint8]:
    """Greys of HU, clipped where the scale ends: the inverse of `slice_hu` within it.

    Parameters
    ----------
    hu : ndarray, any shape
        HU.
    grey_hu : tuple of float
        HU of the greys 0 and 255.
    """
    low, high = grey_hu
    grey = np.clip(np.rint((hu - low) * (255 / (high - low))), 0, 255)
    return np.asarray(grey, np.uint8)


def slice_image(slices: SliceSet, number: int) -> Volume:
    """A slice as a scan of one slice.

    Rows run to the back and columns to the left, as everywhere in canonical orientation; the middle
    of the slice is the origin. Slices whose distance is not known are taken to be 1 mm apart.

    Returns
    -------
    Volume
        (1, Y, X) int16, HU as `slice_hu` gives them, rounded.
    """
    hu = np.rint(slice_hu(slices, number)).astype(np.int16)
    return Volume(hu[None], _affine(slices, number), Kind.IMAGE)


def slice_labels(slices: SliceSet, number: int) -> Volume:
    """A slice's label map (1, Y, X) uint8, on the grid of `slice_image`."""
    return Volume(slices.labels[number][None], _affine(slices, number), Kind.LABELS)


def _affine(slices: SliceSet, number: int) -> NDArray[np.float64]:
    between, row, column = (float(mm) for mm in slices.spacing_mm[number])
    between = between or _UNKNOWN_DISTANCE_MM
    rows, columns = slices.image.shape[1:]
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = between, -row, -column, 1
    middle = [column * (columns - 1) / 2, row * (rows - 1) / 2]
    affine[:3, 3] = [*middle, between * slices.place[number]]
    return affine


def fill_unknown(
    hu: NDArray[np.float32], unknown: NDArray[np.bool_], spacing_mm: tuple[float, float]
) -> NDArray[np.float32]:
    """Air outside of the body and fat inside for pixels that are only known to be dark.

    Parameters
    ----------
    hu : ndarray, shape (Y, X), float32
        HU; changed in place where unknown.
    unknown : ndarray, shape (Y, X), bool
        Pixels that were clipped from below.
    spacing_mm : tuple of float
        Of rows and columns.

    Returns
    -------
    ndarray, shape (Y, X), float32
        The same array.
    """
    inside = body_outline(hu, spacing_mm)
    hu[unknown] = np.where(inside[unknown], np.float32(_FAT_HU), np.float32(_AIR_HU))
    return hu


def body_outline(hu: NDArray[np.float32], spacing_mm: tuple[float, float]) -> NDArray[np.bool_]:
    """The body in a slice (Y, X), whose fat may be as dark as air.

    What is brighter than air, with the gaps of up to 7 mm in the skin closed and everything inside
    of it filled; the thin lines of a table and specks are left out. A trunk is about convex: where
    the skin cannot be seen, the hull of the rest is taken.
    """
    bright = hu > max(-60.0, float(hu.min()) + 4)
    mm = max(min(spacing_mm), 0.1)
    steps = max(1, round(3.5 / mm))
    inner = slice(steps + 2, -steps - 2)
    closed = ndimage.binary_closing(np.pad(bright, steps + 2), iterations=steps)[inner, inner]
    filled = ndimage.binary_fill_holes(closed)
    thick = ndimage.binary_opening(filled, iterations=max(2, round(1.6 / mm)))
    parts, count = ndimage.label(thick)
    if not count:
        return np.zeros(hu.shape, bool)
    large = np.bincount(parts.ravel()) * spacing_mm[0] * spacing_mm[1] >= _LEAST_PART_MM2
    large[0] = False
    if not large.any():
        return np.zeros(hu.shape, bool)
    return np.asarray(convex_hull_image(large[parts]))  # type: ignore[no-untyped-call]
