"""DICOM Segmentation objects (PS3.3 A.51): frames with a place, each of one segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

from renalis.conventions import Label
from renalis.errors import InputError
from renalis.io.archive import opened_whole
from renalis.io.codestream import check_codestreams, decoder_of
from renalis.io.scan import shown
from renalis.io.segments.segment_labels import Code, Segment, label_of, unknown_note
from renalis.io.segments.stored import Segmented, painted
from renalis.volume import Kind, Volume

__all__ = ["codes_of", "read_dicom_seg"]

_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
_SAME_MM = 0.01
_UNEVEN = 0.3
"""Of the distance between slices: how far a frame may lie from its place on an even grid. Series
that are read as even have a third of that; a fit through few frames may be as far off."""
_ASIDE_MM, _ASIDE_NOTED_MM = 5.0, 0.5
"""How far frames may be shifted in their planes, as in series; from when on that is noted."""
_MOST_SLICES = 5000


@dataclass(frozen=True)
class _Frame:
    """One frame: its segment (0: its values are segments), place (LPS+, mm) and pixels."""

    segment: int
    position: NDArray[np.float64]
    pixels: NDArray[Any]


@dataclass(frozen=True)
class _Planes:
    """What all frames share: directions of a row and a column (LPS+), spacing in mm."""

    row: NDArray[np.float64]
    column: NDArray[np.float64]
    between_rows: float
    between_columns: float
    thickness: float
    between: float
    """Distance between slices that the file states, or 0."""

    @property
    def normal(self) -> NDArray[np.float64]:
        return np.asarray(np.cross(self.row, self.column))


def read_dicom_seg(path: Path) -> Segmented:
    """Read the segments that `renalis.io.segments.segment_labels` knows.

    Parameters
    ----------
    path : Path
        A DICOM Segmentation: binary, fractional (from half on), or a label map.

    Returns
    -------
    Segmented
        On a grid through its frames, array axes (column, row, slice); slices between them that
        have no frame are empty, as the standard allows them to be left out.

    Raises
    ------
    InputError
        If the file is damaged, lacks the place of a frame, or its frames are no even stack.
    """
    name = shown(path)
    try:
        return _read(path, name)
    except InputError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged file leads it to
        raise InputError(
            f"{name} is damaged or no DICOM Segmentation ({error}); export it again"
        ) from error


def _read(path: Path, name: str) -> Segmented:
    """See `read_dicom_seg`; errors of all kinds pass."""
    with opened_whole(path) as stream:
        data = dcmread(stream)
    segments = {int(s.SegmentNumber): segment_of(s) for s in data.get("SegmentSequence", [])}
    segments.pop(0, None)  # what lies outside of all segments of a label map
    planes = _planes(data)
    frames = list(_frames(data))
    if not frames:
        raise InputError(f"{name} holds no frames; export the segmentation again")
    affine, places, shifted = _grid(planes, frames, name)
    rows, columns = frames[0].pixels.shape
    array = np.zeros((columns, rows, max(places) + 1), np.uint8)
    labels = {number: label_of(segment) for number, segment in segments.items()}
    for frame, place in zip(frames, places, strict=True):
        painted(array[:, :, place], _masks(frame, labels))
    notes = (*unknown_note(list(segments.values())), *shifted)
    if str(data.get("SegmentationType", "")).upper() == "FRACTIONAL":
        notes += ("its segments are fractional; a voxel belongs to one from half on",)
    known = frozenset(label for label in labels.values() if label is not None)
    return Segmented(Volume(array, affine, Kind.LABELS), known, notes)


def segment_of(item: Dataset) -> Segment:
    """Name and codes of a segment."""
    return Segment(
        str(item.get("SegmentLabel", "") or item.get("SegmentDescription", "")),
        codes_of(item, "SegmentedPropertyTypeCodeSequence"),
        codes_of(item, "AnatomicRegionSequence"),
    )


def codes_of(item: Dataset, sequence: str) -> tuple[Code, ...]:
    """The codes in a sequence of an item."""
    return tuple(
        (str(code.get("CodingSchemeDesignator", "")), str(code.get("CodeValue", "")))
        for code in item.get(sequence, None) or []
    )


def _planes(data: Dataset) -> _Planes:
    shared = data.SharedFunctionalGroupsSequence[0]
    first = data.PerFrameFunctionalGroupsSequence[0]

    turned = {
        tuple(f"{float(v):.3f}" for v in f.PlaneOrientationSequence[0].ImageOrientationPatient)
        for f in data.PerFrameFunctionalGroupsSequence
        if "PlaneOrientationSequence" in f
    }
    if len(turned) > 1:
        raise ValueError("its frames are not parallel")

    def group(name: str) -> Dataset:
        holder = shared if name in shared else first
        found: Dataset = holder[name].value[0]
        return found

    orientation = [float(v) for v in group("PlaneOrientationSequence").ImageOrientationPatient]
    measures = group("PixelMeasuresSequence")
    between_rows, between_columns = (float(v) for v in measures.PixelSpacing)
    thickness = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 1
    return _Planes(
        np.array(orientation[:3]),
        np.array(orientation[3:]),
        between_rows,
        between_columns,
        abs(float(thickness)),
        abs(float(measures.get("SpacingBetweenSlices") or 0)),
    )


def _frames(data: Dataset) -> Iterator[_Frame]:
    """Every frame; the values of fractional ones become 0 and 1."""
    check_codestreams(data, int(data.Rows), int(data.Columns))
    pixels = pixel_array(data, decoding_plugin=decoder_of(data))
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    kind = str(data.get("SegmentationType", "")).upper()
    if kind == "FRACTIONAL":
        pixels = pixels >= 0.5 * float(data.get("MaximumFractionalValue", 255))
    shared = data.SharedFunctionalGroupsSequence[0]
    for item, plane in zip(data.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        number = 0
        if kind != "LABELMAP":
            holder = item if "SegmentIdentificationSequence" in item else shared
            number = int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        position = item.PlanePositionSequence[0].ImagePositionPatient
        yield _Frame(number, np.array([float(v) for v in position]), plane)


def _grid(
    planes: _Planes, frames: Sequence[_Frame], name: str
) -> tuple[NDArray[np.float64], list[int], tuple[str, ...]]:
    """Affine (RAS+) of the stack of frames, the slice of each, and what to know about it.

    Frames lie where their images say, which may be a little off an even grid and its line; the
    grid is fitted to all of them.
    """
    positions = np.array([f.position for f in frames])
    along = positions @ planes.normal
    places = _places(along, planes.between)
    if places is None:
        gaps = np.diff(np.sort(along))
        gaps = gaps[gaps > _SAME_MM]
        raise InputError(
            f"the frames of {name} are spaced unevenly ({gaps.min():.2f} to {gaps.max():.2f} "
            "mm); export the segmentation on the grid of its scan"
        )
    step, origin = planes.normal * planes.thickness, positions.mean(axis=0)
    if places.any():
        centered = places - places.mean()
        step = centered @ positions / (centered @ centered)
        origin = origin - places.mean() * step
    affine = np.eye(4)
    affine[:3, 0] = planes.row * planes.between_columns
    affine[:3, 1] = planes.column * planes.between_rows
    affine[:3, 2] = step
    affine[:3, 3] = origin
    affine[:3] *= _LPS_TO_RAS[:, None]
    off = positions - (origin + places[:, None] * step)
    aside = float(np.linalg.norm(off - np.outer(off @ planes.normal, planes.normal), axis=1).max())
    if aside > _ASIDE_MM:
        raise InputError(
            f"the frames of {name} do not lie on one line; export the segmentation on the grid of "
            "its scan"
        )
    notes = (f"its frames are shifted against each other by up to {aside:.1f} mm",)
    return affine, [int(p) for p in places], notes if aside > _ASIDE_NOTED_MM else ()


def _places(along: NDArray[np.float64], stated: float) -> NDArray[np.float64] | None:
    """Whole-numbered slices of distances on an even grid; None if there is none.

    Parameters
    ----------
    along : ndarray, shape (N,)
        Distances along the normal in mm, in any order.
    stated : float
        Distance between slices that the file states in mm, or 0; counts where it fits, since
        frames without a segment are left out and all gaps may be several slices long.
    """
    order = np.argsort(along)
    group = np.zeros(len(along), int)
    group[order[1:]] = np.cumsum(np.diff(along[order]) > _SAME_MM)
    distances = np.bincount(group, along) / np.bincount(group)
    gaps = np.diff(distances)
    if not len(gaps):
        return np.zeros(len(along))
    for first in (stated, float(gaps.min())):
        step = _step(gaps, first)
        if step <= 0:
            continue
        whole = np.concatenate([[0.0], np.cumsum(np.rint(gaps / step))])
        if (np.diff(whole) < 1).any() or whole[-1] > _MOST_SLICES:
            continue
        slope, start = np.polyfit(whole, distances, 1)
        if np.abs(distances - start - slope * whole).max() <= _UNEVEN * slope:
            return np.asarray(whole[group])
    return None


def _step(gaps: NDArray[np.float64], first: float) -> float:
    """The distance that all gaps are multiples of, from a first guess; short gaps count first.

    Each gap adds to what is known, so that errors of single positions are averaged before long
    gaps are divided.
    """
    if first <= 0:
        return 0.0
    length = count = 0.0
    step = first
    for gap in np.sort(gaps).tolist():
        count += round(gap / step)
        length += gap
        step = length / count if count else step
    return step


def _masks(frame: _Frame, labels: dict[int, Label | None]) -> list[tuple[Label, NDArray[np.bool_]]]:
    """What a frame says, axes (column, row)."""
    numbers = [frame.segment] if frame.segment else [int(v) for v in np.unique(frame.pixels) if v]
    found = []
    for number in numbers:
        label = labels.get(number)
        if label is not None:
            mask = frame.pixels > 0 if frame.segment else frame.pixels == number
            found.append((label, mask.T))
    return found
