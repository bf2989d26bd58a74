"""Liver, spleen, muscle and aorta in a single axial slice without labels, by fixed rules.

The rules find clear examples and leave out the rest: what is measured is the organ's CT number, not
where it ends. How often they pick something else is measured on synthetic slices, whose tissues are
known (`synthesis_against_real.py` reports it). Bowel is left out: its content cannot be told from
other organs in one slice.

All slices are (Y, X): rows run to the patient's back, columns to the patient's left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops

from renalis.dataset.slices import body_outline

Mask = NDArray[np.bool_]
Array = NDArray[np.float32]

_STEP_MM = 1.6
"""Organs are sought on a grid of about this size."""
_BONE_HU = 150.0
_ABOVE_MUSCLE_HU = {"spleen": 15.0, "aorta": 45.0}
_LEAST_MM2 = {"liver": 3000.0, "spleen": 1200.0, "muscle": 500.0, "aorta": 100.0}
_OPENING_MM = {"liver": 10.0, "spleen": 7.0, "muscle": 5.0}
_MOST_UNEVEN_HU = 14.0
"""Standard deviation after smoothing of what is one organ and not several."""


@dataclass(frozen=True)
class _Coarse:
    """A slice on the grid on which organs are sought; ``mm`` of rows and columns."""

    hu: Array
    free: Mask
    """In the body, and not near a kidney."""
    body: Mask
    mm: tuple[float, float]


def organs(hu: Array, labels: NDArray[np.uint8], spacing: tuple[float, float]) -> dict[str, Mask]:
    """Masks of the organs that are found, on the slice's own grid.

    Parameters
    ----------
    hu : ndarray, shape (Y, X), float32
        CT numbers; those of fat and air may be clipped.
    labels : ndarray, shape (Y, X), uint8
        KiTS23 labels; organs keep 5 mm away from kidneys.
    spacing : tuple of float
        Of rows and columns in mm.
    """
    factor = max(1, round(_STEP_MM / spacing[0]))
    smooth = ndimage.gaussian_filter(hu, [2.0 / mm for mm in spacing])[::factor, ::factor]
    mm = (spacing[0] * factor, spacing[1] * factor)
    body = body_outline(hu[::factor, ::factor], mm)
    near = ndimage.distance_transform_edt(labels[::factor, ::factor] == 0, sampling=mm) < 5
    coarse = _Coarse(smooth, body & ~near, body, mm)
    found: dict[str, Mask] = {}
    spine = _spine(coarse)
    if spine is None:
        return found
    candidates = {"muscle": _muscle(coarse, spine), "liver": _liver(coarse, spine)}
    if candidates["muscle"] is not None:
        level = float(np.median(smooth[candidates["muscle"]]))
        candidates["spleen"] = _spleen(coarse, spine, level)
        candidates["aorta"] = _aorta(coarse, spine, level)
    for name, mask in candidates.items():
        if mask is None:
            continue
        fine = np.repeat(np.repeat(mask, factor, 0), factor, 1)[: hu.shape[0], : hu.shape[1]]
        found[name] = ndimage.distance_transform_edt(fine, sampling=spacing) > 2.0
    return {name: mask for name, mask in found.items() if mask.any()}


def _spine(slice_: _Coarse) -> tuple[float, float, float] | None:
    """Middle column, front row and middle row of the vertebra; None where no bone is seen."""
    rows, columns = np.nonzero(slice_.body)
    if len(rows) == 0:
        return None
    middle = 0.5 * (columns.min() + columns.max())
    y, x = np.indices(slice_.hu.shape)
    central = np.abs(x - middle) * slice_.mm[1] < 45
    back = y > 0.5 * (rows.min() + rows.max())
    parts, count = ndimage.label((slice_.hu > _BONE_HU) & central & back & slice_.body)
    if count == 0:
        return None
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    bone = parts == sizes.argmax()
    if sizes.max() * np.prod(slice_.mm) < 300:
        return None
    y, x = np.nonzero(bone)
    column = float(np.median(x))
    inner = y[np.abs(x - column) * slice_.mm[1] < 15]
    return column, float(np.percentile(inner if len(inner) else y, 3)), float(np.median(y))


def _parts(mask: Mask) -> Iterator[tuple[Any, Mask]]:
    """Connected components with their properties, the largest first."""
    labels, _ = ndimage.label(mask)
    for part in sorted(regionprops(labels), key=lambda p: -p.area):  # type: ignore[no-untyped-call]
        yield part, labels == part.label


def _opened(mask: Mask, slice_: _Coarse, radius: float) -> Mask:
    """Morphological opening with a disk of a radius in mm."""
    deep = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=slice_.mm) > radius
    wide = ndimage.distance_transform_edt(~deep, sampling=slice_.mm) <= radius
    return np.asarray(wide[1:-1, 1:-1] & mask)


def _area(part: Any, slice_: _Coarse) -> float:
    return float(part.area) * slice_.mm[0] * slice_.mm[1]


def _muscle(slice_: _Coarse, spine: tuple[float, float, float]) -> Mask | None:
    """The muscles behind the transverse processes on both sides of the spine."""
    column, _, row = spine
    y, x = np.indices(slice_.hu.shape)
    aside, behind = np.abs(x - column) * slice_.mm[1], (y - row) * slice_.mm[0]
    place = (aside > 15) & (aside < 60) & (behind > 8) & (behind < 70)
    tissue = (slice_.hu > 10) & (slice_.hu < 110) & slice_.free & place
    mask = _opened(tissue, slice_, _OPENING_MM["muscle"])
    enough = np.count_nonzero(mask) * np.prod(slice_.mm) >= _LEAST_MM2["muscle"]
    return mask if enough else None


def _at_wall(mask: Mask, slice_: _Coarse, side: int) -> bool:
    """Whether the outermost part of a mask lies within 35 mm of the body's surface; -1: right."""
    rows, columns = np.nonzero(mask)
    outermost = columns.min() if side < 0 else columns.max()
    row = int(np.median(rows[columns == outermost]))
    surface = np.nonzero(slice_.body[row])[0]
    edge = surface.min() if side < 0 else surface.max()
    return bool(abs(int(edge) - int(outermost)) * slice_.mm[1] < 35)


def _liver(slice_: _Coarse, spine: tuple[float, float, float]) -> Mask | None:
    """The largest even region of 20 to 180 HU at the right wall, after an opening of 10 mm."""
    tissue = (slice_.hu > 20) & (slice_.hu < 180) & slice_.free
    for part, mask in _parts(_opened(tissue, slice_, _OPENING_MM["liver"])):
        if _area(part, slice_) < _LEAST_MM2["liver"]:
            break
        aside = (part.centroid[1] - spine[0]) * slice_.mm[1]
        even = slice_.hu[mask].std() < _MOST_UNEVEN_HU
        if aside < -25 and even and _at_wall(mask, slice_, -1):
            return mask
    return None


def _spleen(slice_: _Coarse, spine: tuple[float, float, float], muscle: float) -> Mask | None:
    """An even region at the left wall, not far in front of the spine, brighter than muscle."""
    tissue = (slice_.hu > muscle + _ABOVE_MUSCLE_HU["spleen"]) & (slice_.hu < 220) & slice_.free
    for part, mask in _parts(_opened(tissue, slice_, _OPENING_MM["spleen"])):
        if _area(part, slice_) < _LEAST_MM2["spleen"]:
            break
        aside = (part.centroid[1] - spine[0]) * slice_.mm[1]
        ahead = (spine[1] - part.centroid[0]) * slice_.mm[0]
        even = slice_.hu[mask].std() < _MOST_UNEVEN_HU
        if aside > 50 and ahead < 45 and even and _at_wall(mask, slice_, 1):
            return mask
    return None


def _aorta(slice_: _Coarse, spine: tuple[float, float, float], muscle: float) -> Mask | None:
    """A round bright spot of 12 to 35 mm in front of the vertebra or to the left of it."""
    column, front, _ = spine
    y, x = np.indices(slice_.hu.shape)
    aside, ahead = (x - column) * slice_.mm[1], (front - y) * slice_.mm[0]
    place = (aside > -14) & (aside < 38) & (ahead > -14) & (ahead < 42)
    bright = (slice_.hu > muscle + _ABOVE_MUSCLE_HU["aorta"]) & slice_.free & place
    best, nearest = None, np.inf
    for part, mask in _parts(bright):
        width = 2 * np.sqrt(_area(part, slice_) / np.pi)
        if not 12 <= width <= 35 or part.solidity < 0.88 or part.eccentricity > 0.8:
            continue
        away = float(np.hypot(aside[mask].mean() - 8, ahead[mask].mean() - 12))
        if away < nearest:
            best, nearest = mask, away
    return best
