"""DICOM RT Structure Sets (PS3.3 A.19): closed contours in patient coordinates.

A structure set has no grid of its own: its contours are filled in the slices of a grid that is
given, in patient coordinates.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from renalis.errors import InputError
from renalis.io.archive import opened_whole
from renalis.io.scan import shown
from renalis.io.segments.contours import filled
from renalis.io.segments.dicom_seg import codes_of
from renalis.io.segments.segment_labels import Segment, label_of, unknown_note
from renalis.io.segments.stored import Segmented, painted
from renalis.volume import Kind, Volume

__all__ = ["read_rtstruct"]

_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
_FLAT = 0.2
"""In slices: how far a contour's points may lie from their common plane."""
_SAME_PLANE = 0.05
_TIE = 1e-6


def read_rtstruct(path: Path, grid: Volume) -> Segmented:
    """Read the structures that `renalis.io.segments.segment_labels` knows, on a grid.

    Parameters
    ----------
    path : Path
        A DICOM RT Structure Set.
    grid : Volume
        Where they are wanted: that of the scan, or of a label map of it.

    Returns
    -------
    Segmented
        On the grid. Each of its slices takes the nearest plane of contours, at most half the
        distance between two planes away.

    Raises
    ------
    InputError
        If the file is damaged, or its contours do not lie in slices of the grid.
    """
    name = shown(path)
    try:
        return _read(path, grid, name)
    except InputError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged file leads it to
        raise InputError(
            f"{name} is damaged or no RT Structure Set ({error}); export it again"
        ) from error


def _read(path: Path, grid: Volume, name: str) -> Segmented:
    """See `read_rtstruct`; errors of all kinds pass."""
    with opened_whole(path) as stream:
        structures = _structures(dcmread(stream))
    array = np.zeros(grid.shape, np.uint8)
    known, drawn, outside = set(), 0, 0
    for segment, contours in structures:
        label = label_of(segment)
        if label is None:
            continue
        known.add(label)
        placed = [grid.index(c * _LPS_TO_RAS) for c in contours]
        axis = _slice_axis(placed, name)
        planes = _planes(placed, axis)
        drawn += len(planes)
        for index, contour in _slices(planes, grid.shape[axis]):
            others = [a for a in range(3) if a != axis]
            shape = (grid.shape[others[0]], grid.shape[others[1]])
            mask = filled([c[:, others] for c in contour], shape)
            plane = np.moveaxis(array, axis, 0)[index]
            painted(plane, [(label, mask)])
        outside += sum(not -0.5 <= at <= grid.shape[axis] - 0.5 for at in planes)
    if drawn and not array.any():
        raise InputError(
            f"the contours of {name} lie outside of the other label map's grid; check that both "
            "are of the same scan"
        )
    notes = list(unknown_note([s for s, _ in structures]))
    if outside:
        notes.append(f"{outside} of {drawn} planes of contours lie outside of the grid")
    return Segmented(Volume(array, grid.affine, Kind.LABELS), frozenset(known), tuple(notes))


def _structures(data: Dataset) -> list[tuple[Segment, list[NDArray[np.float64]]]]:
    """Every structure with its closed contours, (N, 3) in mm, LPS+."""
    codes = {
        int(item.ReferencedROINumber): codes_of(item, "RTROIIdentificationCodeSequence")
        for item in data.get("RTROIObservationsSequence", None) or []
    }
    contours: dict[int, list[NDArray[np.float64]]] = {}
    for item in data.get("ROIContourSequence", None) or []:
        found = contours.setdefault(int(item.ReferencedROINumber), [])
        for contour in item.get("ContourSequence", None) or []:
            points = np.array([float(v) for v in contour.ContourData]).reshape(-1, 3)
            closed = str(contour.get("ContourGeometricType", "")).startswith("CLOSED")
            if closed and len(points) >= 3:
                found.append(points)
    return [
        (
            Segment(str(item.get("ROIName", "")), codes.get(int(item.ROINumber), ())),
            contours.get(int(item.ROINumber), []),
        )
        for item in data.StructureSetROISequence
    ]


def _slice_axis(contours: list[NDArray[np.float64]], name: str) -> int:
    """The grid's axis along which every contour stays in one place."""
    if not contours:
        return 0
    spread = np.max([np.ptp(c, axis=0) for c in contours], axis=0)
    axis = int(np.argmin(spread))
    if spread[axis] > _FLAT:
        raise InputError(
            f"the contours of {name} do not lie in slices of the other label map's grid; check "
            "that both are of the same scan, or export the structures as DICOM Segmentation"
        )
    return axis


def _planes(
    contours: list[NDArray[np.float64]], axis: int
) -> dict[float, list[NDArray[np.float64]]]:
    """Contours by their place along an axis, in slices."""
    planes: dict[float, list[NDArray[np.float64]]] = {}
    last = -np.inf
    for contour in sorted(contours, key=lambda c: float(c[:, axis].mean())):
        at = float(contour[:, axis].mean())
        last = last if at - last <= _SAME_PLANE else at
        planes.setdefault(last, []).append(contour)
    return planes


def _slices(
    planes: dict[float, list[NDArray[np.float64]]], count: int
) -> list[tuple[int, list[NDArray[np.float64]]]]:
    """The plane of contours for each slice that has one: the nearest, if near enough."""
    places = np.array(sorted(planes))
    if not len(places):
        return []
    gaps = np.diff(places)
    reach = max(0.5, float(np.median(gaps)) / 2 if len(gaps) else 0.5)
    result = []
    for index in range(count):
        # Halfway between two planes the upper one counts, so that none counts twice.
        apart = np.abs(places - index - _TIE)
        if apart.min() <= reach:
            result.append((index, planes[float(places[np.argmin(apart)])]))
    return result
