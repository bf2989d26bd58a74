"""Distances between the surfaces of two masks, each weighted with the area it stands for.

The numbers are those of DeepMind's surface-distance; the way to them is another. Only surface
cells are looked at, box by box. Most of a good prediction's surface lies within a few voxels of
the reference's, so the neighbourhood of each cell is searched first, nearest places first; what
finds nothing there asks a k-d tree of all surface cells. No distance map is ever made.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from renalis.boxes import bounding_box
from renalis.evaluation.surfels import area_table, cell_codes, on_surface
from renalis.evaluation.voxel_geometry import VoxelGeometry

__all__ = ["PlacedMasks", "SurfaceDistances", "surface_distances"]

_Mask = NDArray[np.bool_]

_REACH = 5  # voxels along each axis in which neighbours are searched before a tree is built
_PAD = _REACH + 1
_SHELLS = 40  # different distances tried


@dataclass(frozen=True)
class PlacedMasks:
    """Two masks in a box of a larger grid.

    Parameters
    ----------
    reference, prediction : ndarray of bool, shape (I, J, K)
        The masks inside the box.
    start : tuple of int
        Index of the box's first voxel in the grid.
    """

    reference: _Mask
    prediction: _Mask
    start: tuple[int, int, int]


@dataclass(frozen=True)
class SurfaceDistances:
    """From every surface cell of one mask to the nearest surface cell of the other.

    Parameters
    ----------
    reference_mm, prediction_mm : ndarray of float64
        Distances in mm from the reference's cells to the prediction's and the other way,
        ascending. ``inf`` when the other mask is empty.
    reference_mm2, prediction_mm2 : ndarray of float64
        Surface area of the same cells in mm².
    """

    reference_mm: NDArray[np.float64]
    reference_mm2: NDArray[np.float64]
    prediction_mm: NDArray[np.float64]
    prediction_mm2: NDArray[np.float64]

    def dice(self, tolerance_mm: float) -> float:
        """Surface Dice: share of both surfaces within ``tolerance_mm`` of the other.

        NaN when neither mask has a surface.
        """
        near = self.reference_mm2[self.reference_mm <= tolerance_mm].sum()
        near += self.prediction_mm2[self.prediction_mm <= tolerance_mm].sum()
        total = self.reference_mm2.sum() + self.prediction_mm2.sum()
        return float(near / total) if total else float("nan")

    def hausdorff(self, percent: float = 95.0) -> float:
        """Robust Hausdorff distance in mm: the larger of both directions' percentiles by area.

        ``inf`` when a mask is empty.
        """
        return max(
            _percentile(self.reference_mm, self.reference_mm2, percent),
            _percentile(self.prediction_mm, self.prediction_mm2, percent),
        )

    def mean(self) -> float:
        """Mean surface distance in mm: mean of both directions' means by area.

        ``inf`` when one mask is empty, NaN when both are.
        """
        if not len(self.reference_mm) and not len(self.prediction_mm):
            return float("nan")
        if not len(self.reference_mm) or not len(self.prediction_mm):
            return float("inf")
        one = (self.reference_mm * self.reference_mm2).sum() / self.reference_mm2.sum()
        two = (self.prediction_mm * self.prediction_mm2).sum() / self.prediction_mm2.sum()
        return float((one + two) / 2)


def surface_distances(
    boxes: Iterable[PlacedMasks], shape: tuple[int, int, int], geometry: VoxelGeometry
) -> SurfaceDistances:
    """Measure the distances between two masks' surfaces.

    Parameters
    ----------
    boxes : iterable of PlacedMasks
        The masks, in one box or in several that `label_boxes` found.
    shape : tuple of int
        Shape of the grid that the boxes lie in.
    geometry : VoxelGeometry
        Steps between its voxels, mm. Sheared grids are measured as they lie in the patient.

    Returns
    -------
    SurfaceDistances
        Equal to DeepMind's ``compute_surface_distances`` on the whole masks; that code knows only
        grids with perpendicular axes.

    Examples
    --------
    >>> one, two = np.zeros((2, 9, 9, 9), bool)
    >>> one[2:5, 2:5, 2:5] = two[2:5, 2:5, 3:6] = True
    >>> both = PlacedMasks(one, two, (0, 0, 0))
    >>> surface_distances([both], (9, 9, 9), VoxelGeometry.straight((1.0, 1.0, 2.0))).hausdorff(100)
    2.0
    """
    areas = area_table(geometry)
    cells = tuple(n + 1 for n in shape)
    found = [_of_box(box, cells, geometry, areas) for box in boxes]
    reference = _joined([one for one, _ in found])
    prediction = _joined([two for _, two in found])
    _finish(reference, prediction, cells, geometry)
    _finish(prediction, reference, cells, geometry)
    return SurfaceDistances(*_ascending(reference), *_ascending(prediction))


@dataclass
class _Surface:
    """Surface cells of one mask: place in the grid of cells, area, distance (NaN: not known)."""

    place: NDArray[np.int64]
    mm2: NDArray[np.float64]
    mm: NDArray[np.float64]


def _of_box(
    box: PlacedMasks, cells: tuple[int, ...], geometry: VoxelGeometry, areas: NDArray[np.float64]
) -> tuple[_Surface, _Surface]:
    """Surface cells in one box, with the distances that its neighbourhoods show."""
    crop = bounding_box(box.reference, box.prediction)
    if crop is None:
        empty = _Surface(np.empty(0, np.int64), np.empty(0), np.empty(0))
        return empty, empty
    start = [s + c.start for s, c in zip(box.start, crop, strict=True)]
    codes = [cell_codes(_padded(mask[crop])) for mask in (box.reference, box.prediction)]
    surfaces = [on_surface(code) for code in codes]
    flats = [np.flatnonzero(surface) for surface in surfaces]
    # Element (i, j, k) of the padded cells is the corner before voxel (i, j, k) + start - REACH.
    origin = np.ravel_multi_index([0, 0, 0], cells) + sum(
        (s - _REACH) * step for s, step in zip(start, _steps(cells), strict=True)
    )
    results = []
    for code, flat, other in zip(codes, flats, surfaces[::-1], strict=True):
        i, j, k = _coordinates(flat, code.shape)
        a, b, c = _steps(cells)
        results.append(
            _Surface(
                place=i * a + j * b + k * c + int(origin),
                mm2=areas[code.reshape(-1)[flat]],
                mm=_nearby(flat, other, geometry),
            )
        )
    return results[0], results[1]


def _padded(mask: _Mask) -> _Mask:
    """A copy of the mask with a margin of zeros."""
    wide = np.zeros([n + 2 * _PAD for n in mask.shape], dtype=bool)
    wide[_PAD:-_PAD, _PAD:-_PAD, _PAD:-_PAD] = mask
    return wide


def _steps(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Distance in elements between neighbours along each axis of a C-ordered array."""
    return shape[1] * shape[2], shape[2], 1


def _coordinates(
    flat: NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Indices along three axes of flat indices into a C-ordered array."""
    rows, k = np.divmod(flat, shape[2])
    i, j = np.divmod(rows, shape[1])
    return i, j, k


@lru_cache(maxsize=64)
def _shells(geometry: VoxelGeometry) -> tuple[tuple[float, tuple[tuple[int, int, int], ...]], ...]:
    """Offsets to neighbours by distance, as far as the reach shows all of them."""
    reach = range(-_REACH, _REACH + 1)
    offsets = np.array(list(itertools.product(reach, reach, reach)))
    lengths = geometry.lengths(offsets)
    seen = lengths < (_REACH + 0.5) * min(geometry.plane_distances)
    distances, shells = np.unique(lengths[seen], return_inverse=True)
    offsets = offsets[seen]
    return tuple(
        (float(distance), tuple((i, j, k) for i, j, k in offsets[shells == number].tolist()))
        for number, distance in enumerate(distances[:_SHELLS])
    )


def _nearby(flat: NDArray[np.int64], other: _Mask, geometry: VoxelGeometry) -> NDArray[np.float64]:
    """Distance to the nearest surface cell of the other mask; NaN if none is in reach."""
    steps = _steps(other.shape)
    lookup = other.reshape(-1)
    distances = np.full(len(flat), np.nan)
    if not lookup.any():
        return distances
    open_ones = np.arange(len(flat))
    places = flat
    for distance, offsets in _shells(geometry):
        hit = np.zeros(len(places), dtype=bool)
        for i, j, k in offsets:
            hit |= lookup[places + (i * steps[0] + j * steps[1] + k * steps[2])]
        if hit.any():
            distances[open_ones[hit]] = distance
            missed = ~hit
            open_ones, places = open_ones[missed], places[missed]
        if not len(places):
            break
    return distances


def _joined(parts: list[_Surface]) -> _Surface:
    """The surface cells of all boxes."""
    if not parts:
        return _Surface(np.empty(0, np.int64), np.empty(0), np.empty(0))
    return _Surface(
        np.concatenate([p.place for p in parts]),
        np.concatenate([p.mm2 for p in parts]),
        np.concatenate([p.mm for p in parts]),
    )


def _finish(
    here: _Surface, there: _Surface, cells: tuple[int, ...], geometry: VoxelGeometry
) -> None:
    """Fill in the distances that the neighbourhoods did not show."""
    unknown = np.flatnonzero(np.isnan(here.mm))
    if not len(unknown):
        return
    if not len(there.place):
        here.mm[unknown] = np.inf
        return
    ends = np.stack(_coordinates(there.place, cells), axis=1)
    starts = np.stack(_coordinates(here.place[unknown], cells), axis=1)
    tree = KDTree(geometry.placed(ends), leafsize=24, compact_nodes=False, balanced_tree=False)
    _, nearest = tree.query(geometry.placed(starts))
    # From whole indices again: the tree's rounding must not decide about a tolerance.
    here.mm[unknown] = geometry.lengths(starts - ends[nearest])


def _ascending(surface: _Surface) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances in ascending order and the areas that go with them."""
    order = np.argsort(surface.mm, kind="stable")
    return surface.mm[order], surface.mm2[order]


def _percentile(mm: NDArray[np.float64], mm2: NDArray[np.float64], percent: float) -> float:
    """The distance below which ``percent`` of the area lies."""
    if not len(mm):
        return float("inf")
    share = np.cumsum(mm2) / mm2.sum()
    return float(mm[min(int(np.searchsorted(share, percent / 100)), len(mm) - 1)])
