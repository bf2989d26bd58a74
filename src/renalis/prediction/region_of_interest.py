"""Where the coarse pass found kidneys, and where the fine pass is run."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import edt
import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box, around_all, component_boxes, whole
from renalis.preparation.fast_morphology import eroded, spread, within

__all__ = [
    "KidneyRegion",
    "find",
    "large_mass",
    "nearest",
    "tissue_box",
    "unconfirmed_ml",
    "without_skin",
]

_WEAK = 1 / 3
"""Share of the threshold above which the coarse pass is unsure that nothing is there."""

_KIDNEY_ML, _TRACE_ML = 30.0, 1.0
"""Kidney tissue from which a part holds a kidney, and below which it holds none. On 27 synthetic
scans this leaves out two false parts and no true one, on the real enhanced scan a pelvic mass."""

_UNCONFIRMED_ML = 10.0
"""Least volume for which the reader is told that the fine pass did not confirm it."""

_SMALL = 20
"""A part of the body that the table or the border cuts off counts from this share of the largest,
one in so many."""


_FRONT_MM, _WALL_MM = 8.0, 20.0
"""Of skin and wall of the body, in front of kidneys and elsewhere around them, at least. In 48
synthetic scans the nearest kidney lies 80 mm behind the front, 44 mm from a side and 33 mm from the
back; these are the thinnest patients' and a transplanted kidney's."""


@dataclass(frozen=True, eq=False)
class KidneyRegion:
    """What the coarse pass predicts: the region of interest of the fine pass.

    Attributes
    ----------
    allowed : ndarray, shape (Z, Y, X), bool
        Where the fine pass may find renal tissue; all False when nothing was found, all True when
        the coarse pass is unsure.
    boxes : tuple of Box
        Bounding boxes of the allowed region's connected components, in coarse voxels.
    unsure : bool
        Whether only weak signs were found.
    """

    allowed: NDArray[np.bool_]
    boxes: tuple[Box, ...]
    unsure: bool = False


def find(
    probability: NDArray[np.float32],
    spacing_mm: tuple[float, float, float],
    find_at: float,
    find_ml: float,
    reach_mm: float,
) -> KidneyRegion:
    """Decide where the fine pass is run.

    It runs over connected components of at least ``find_ml`` with a renal probability above
    ``find_at``, with ``reach_mm`` around them. However many there are, wherever they lie: kidneys
    may be missing, joined, in the pelvis or transplanted. Only where two of them hold a kidney,
    others without any kidney tissue are strangers: masses of other organs. When there is none, but
    there are components at a third of that probability, the coarse pass is unsure and the fine
    pass runs over the whole scan.

    Parameters
    ----------
    probability : ndarray, shape (3, Z, Y, X), float32
        Kidney, tumor, cyst on the coarse grid.
    spacing_mm : tuple of float
        Of the coarse grid.
    find_at, find_ml, reach_mm : float
        See `renalis.thresholds.Thresholds`.
    """
    renal = probability.sum(0)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    least = find_ml / voxel_ml
    found = _without_small(renal > find_at, least)
    if not found.any():
        unsure = bool(_without_small(renal > find_at * _WEAK, least).any())
        allowed = np.full(renal.shape, unsure)
        everything = whole((renal.shape[0], renal.shape[1], renal.shape[2]))
        return KidneyRegion(allowed, (everything,) if unsure else (), unsure)
    found = _without_strangers(found, probability[0] > find_at, voxel_ml)
    allowed = within(found, reach_mm, spacing_mm)
    return KidneyRegion(allowed, tuple(component_boxes(allowed)))


def _without_strangers(
    found: NDArray[np.bool_], kidney: NDArray[np.bool_], voxel_ml: float
) -> NDArray[np.bool_]:
    """Leave out parts without kidney tissue where two others hold a kidney."""
    parts = cc3d.connected_components(found, connectivity=26)
    tissue_ml = voxel_ml * np.bincount(parts[kidney & found], minlength=int(parts.max()) + 1)
    if np.count_nonzero(tissue_ml[1:] >= _KIDNEY_ML) < 2:
        return found
    stranger = tissue_ml < _TRACE_ML
    stranger[0] = False
    return np.asarray(found & ~stranger[parts])


def unconfirmed_ml(
    probability: NDArray[np.float32],
    confirmed: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
) -> float:
    """Volume (ml) that the coarse pass takes for kidney tissue and the fine pass does not at all.

    Parts of at least 10 ml with a probability of kidney above 0.5.

    Parameters
    ----------
    probability : ndarray, shape (3, Z, Y, X), float32
        Kidney, tumor, cyst on the coarse grid.
    confirmed : ndarray, shape (Z, Y, X), bool
        Where on it the fine pass found anything renal.
    spacing_mm : tuple of float
        Of the coarse grid.
    """
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    parts = cc3d.connected_components(probability[0] > 0.5, connectivity=26)
    counts = np.bincount(parts.ravel())
    lost = counts * voxel_ml >= _UNCONFIRMED_ML
    lost[0] = False
    lost[np.unique(parts[confirmed])] = False
    return float(counts[lost].sum() * voxel_ml)


def large_mass(
    renal: NDArray[np.float32], spacing_mm: tuple[float, float, float], diameter_mm: float
) -> NDArray[np.bool_]:
    """Where a ball of a diameter fits into what the coarse pass calls renal.

    Parameters
    ----------
    renal : ndarray, shape (Z, Y, X), float32
        Probability of anything renal on the coarse grid.
    spacing_mm : tuple of float
        Of the coarse grid.
    diameter_mm : float
        Diameter of the ball; above the thickness of a kidney, so that only large masses hold it.
    """
    middle = _distance_to(renal <= 0.5, spacing_mm) > diameter_mm / 2
    if not middle.any():
        return middle
    return _distance_to(middle, spacing_mm) < diameter_mm / 2


def tissue_box(image: NDArray[np.float32]) -> Box:
    """The box around the body: everything that hangs together and is not small.

    Parameters
    ----------
    image : ndarray, shape (Z, Y, X), float32
        Windowed CT, -1 below the HU window.

    Returns
    -------
    Box
        Around all connected tissue of at least a twentieth of the largest; empty (stops at 0) when
        there is only air.
    """
    tissue = spread(eroded(image > -1 + 1e-3, beyond=False))
    parts = cc3d.connected_components(tissue, connectivity=6, binary_image=True)
    found = cc3d.statistics(parts)
    counts, boxes = found["voxel_counts"][1:], found["bounding_boxes"][1:]
    if not len(counts):
        return slice(0, 0), slice(0, 0), slice(0, 0)
    return around_all(
        box for box, n in zip(boxes, counts, strict=True) if n * _SMALL >= counts.max()
    )


def without_skin(box: Box, shape: tuple[int, int, int], spacing_mm: tuple[float, ...]) -> Box:
    """The part of the body's box in which kidneys may lie.

    Skin, fat and muscles are left out in front (where a transplanted kidney may lie close), behind
    and at both sides; not where the body goes on beyond the scan.

    Parameters
    ----------
    box : Box
        From `tissue_box`.
    shape : tuple of int
        Of the scan in canonical orientation (SPL): Y runs backwards, X to the left.
    spacing_mm : tuple of float
        Of its voxels.
    """

    def inner(axis: int, before_mm: float, after_mm: float) -> slice:
        side, size = box[axis], spacing_mm[axis]
        start = side.start + int(before_mm / size) * (side.start > 0)
        stop = side.stop - int(after_mm / size) * (side.stop < shape[axis])
        return slice(start, stop) if start < stop else side

    return box[0], inner(1, _FRONT_MM, _WALL_MM), inner(2, _WALL_MM, _WALL_MM)


def nearest(mask: NDArray[np.bool_], box: Box, ratio: tuple[float, ...]) -> NDArray[np.bool_]:
    """A coarse mask on a box of a finer corner-aligned grid; ``ratio`` is fine / coarse spacing."""
    index = [
        np.clip(((np.arange(b.start, b.stop) + 0.5) * r).astype(np.int64), 0, n - 1)
        for b, r, n in zip(box, ratio, mask.shape, strict=True)
    ]
    return np.asarray(mask[np.ix_(*index)])


def _distance_to(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Distance in mm from each voxel to the nearest one of a mask."""
    outside = np.ascontiguousarray(~mask)
    return np.asarray(edt.edt(outside, anisotropy=spacing_mm, black_border=False))


def _without_small(mask: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    """The mask without connected parts of fewer than ``least`` voxels."""
    parts = cc3d.connected_components(mask, connectivity=26, binary_image=True)
    counts = cc3d.statistics(parts)["voxel_counts"]
    keep = counts >= least
    keep[0] = False
    return np.asarray(keep[parts])
