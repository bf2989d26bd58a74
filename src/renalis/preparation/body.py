"""Where the patient's body is in a scan, and where its midline runs.

Both are found on a coarse grid (about 4 mm), so that a scan of any size costs tens of
milliseconds and a few megabytes. Left and right are decided against this midline, never against
array order and never against the middle of the field of view when something better is known:
patients lie off center, and scans are cropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from renalis.volume import CANONICAL, Kind, Volume

__all__ = ["Body", "Midline", "find_body"]

TISSUE_HU = -300
"""Above lung (-950 to -500 HU) and below fat (-120 to -50 HU)."""
BONE_HU = 250
"""Cortical bone; renal parenchyma stays below in almost every phase."""
STEP_MM = 4.0
MIN_BODY_ML = 200.0
"""Less tissue than this is no body: the midline then falls back to the field of view."""
SPINE_WINDOW_MM = 50.0
SPINE_LEVELS = 0.5
"""The spine has to show bone in at least this share of the levels to be trusted."""
PRIOR_MM = 60.0
MIN_FIT_MM = 100.0
"""A midline is tilted only when the spine was followed over at least this height."""
MAX_SLOPE = 0.15


@dataclass(frozen=True)
class Midline:
    """The line ``x = x_mm + slope * (z - z_mm)`` that parts the body's right from its left.

    Attributes
    ----------
    x_mm, z_mm : float
        A point of the line in patient coordinates (RAS+, mm).
    slope : float
        Sideways mm per mm towards the head (a patient who lies askew).
    rule : str
        What the line was derived from, in words for the reader of the measurements.
    """

    x_mm: float
    z_mm: float = 0.0
    slope: float = 0.0
    rule: str = "given"

    def offset_mm(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Distance from the midline, positive on the patient's right: (..., 3) in, (...) out."""
        points = np.asarray(points, dtype=np.float64)
        middle = self.x_mm + self.slope * (points[..., 2] - self.z_mm)
        return np.asarray(points[..., 0] - middle)


@dataclass(frozen=True, eq=False)
class Body:
    """The body in one scan.

    Attributes
    ----------
    mask : Volume or None
        uint8, 1 inside the body, on a coarse grid in canonical orientation whose voxel ``i`` lies
        on the scan's canonical voxel ``i * steps``; one coarse voxel wider than the body. None
        when no body was found.
    steps : tuple of int
        Scan voxels per coarse voxel along each canonical axis.
    midline : Midline
        Parts right from left.
    """

    mask: Volume | None
    steps: tuple[int, int, int]
    midline: Midline

    def inside(self, box: tuple[slice, slice, slice]) -> NDArray[np.bool_]:
        """Whether each voxel of a box of the canonical scan lies in the body (nearest lookup)."""
        lengths = [part.stop - part.start for part in box]
        if self.mask is None:
            return np.ones(lengths, dtype=bool)
        picks = [
            np.minimum((np.arange(part.start, part.stop) + step // 2) // step, size - 1)
            for part, step, size in zip(box, self.steps, self.mask.shape, strict=True)
        ]
        return np.asarray(self.mask.array[np.ix_(*picks)] > 0)


def find_body(image: Volume) -> Body:
    """Find the body and its midline.

    The body is the largest connected piece of a coarse sampling above -300 HU after an opening
    that cuts off the table, with the holes of every axial slice (lungs, bowel gas) filled. The
    midline follows the spine (bone in the back half of the body) where the spine shows in at
    least half of the levels, otherwise the middle between the body's flanks, otherwise the middle
    of the field of view.

    Parameters
    ----------
    image : Volume
        HU, any orientation.

    Returns
    -------
    Body
        Mask, coarse steps and midline.
    """
    canonical = image.reoriented(CANONICAL)
    steps = tuple(max(1, round(STEP_MM / size)) for size in canonical.spacing)
    sample = canonical.array[:: steps[0], :: steps[1], :: steps[2]]
    affine = canonical.affine.copy()
    affine[:3, :3] *= steps
    coarse = Volume(np.ascontiguousarray(sample), affine, Kind.IMAGE)
    center = coarse.world((np.array(coarse.shape) - 1) / 2)
    mask = _body_mask(coarse)
    if mask is None:
        rule = "middle of the field of view, because no body was found"
        return Body(None, (steps[0], steps[1], steps[2]), Midline(float(center[0]), rule=rule))
    midline = _midline(coarse, mask, center)
    wider = ndimage.binary_dilation(mask, np.ones((3, 3, 3)))
    return Body(
        coarse.like(wider.astype(np.uint8), Kind.LABELS), (steps[0], steps[1], steps[2]), midline
    )


def _body_mask(coarse: Volume) -> NDArray[np.bool_] | None:
    """Largest piece of tissue, table cut off, holes of axial slices filled; None without one."""
    tissue = coarse.array > TISSUE_HU
    # Outside the scan counts as body while eroding: a cropped scan is body to its last voxel.
    opened = ndimage.binary_dilation(ndimage.binary_erosion(tissue, border_value=1))
    pieces = cc3d.connected_components(opened & tissue, connectivity=6)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    if sizes.max() * coarse.voxel_ml < MIN_BODY_ML:
        return None
    mask = pieces == sizes.argmax()
    return np.stack([ndimage.binary_fill_holes(level) for level in mask])


def _midline(coarse: Volume, mask: NDArray[np.bool_], center: NDArray[np.float64]) -> Midline:
    """Spine first, flanks second, field of view last."""
    flanks, cut = _flanks(mask)
    spine = _spine(coarse, mask, None if cut else flanks)
    if spine is not None:
        return spine
    if not cut:
        return _at(coarse, center, flanks, "middle between the body's flanks")
    return _at(
        coarse,
        center,
        (mask.shape[2] - 1) / 2,
        "middle of the field of view, because the body's flanks are cut off and no spine was seen",
    )


def _at(coarse: Volume, center: NDArray[np.float64], column: float, rule: str) -> Midline:
    """An upright midline through a coarse column."""
    middle = (np.array(coarse.shape) - 1) / 2
    x_mm = coarse.world(np.array([middle[0], middle[1], column]))[0]
    return Midline(float(x_mm), float(center[2]), rule=rule)


def _flanks(mask: NDArray[np.bool_]) -> tuple[float, bool]:
    """Median middle between the flanks (in columns), and whether the body is cut off sideways."""
    width = mask.shape[2]
    rows: NDArray[np.bool_] = np.asarray(mask.any(axis=1))
    levels: NDArray[np.bool_] = np.asarray(rows.any(axis=1))
    first = rows.argmax(axis=1)[levels]
    last = width - 1 - rows[:, ::-1].argmax(axis=1)[levels]
    whole = (first > 0) & (last < width - 1)
    if whole.mean() < 0.5:
        return (width - 1) / 2, True
    return float(np.median((first + last)[whole] / 2)), False


def _spine(coarse: Volume, mask: NDArray[np.bool_], flanks: float | None) -> Midline | None:
    """A line through the bone in the back half of the body, or None when there is no spine."""
    depth = np.arange(mask.shape[1])[None, :]
    columns: NDArray[np.bool_] = np.asarray(mask.any(axis=2))
    front = columns.argmax(axis=1)
    back = mask.shape[1] - 1 - columns[:, ::-1].argmax(axis=1)
    posterior = depth > ((front + back) / 2)[:, None]
    profile = ((coarse.array > BONE_HU) & mask & posterior[:, :, None]).sum(axis=1)
    step = coarse.spacing[2]
    smooth = ndimage.uniform_filter1d(
        profile.sum(axis=0).astype(float), max(1, round(SPINE_WINDOW_MM / step)), mode="constant"
    )
    place = np.arange(mask.shape[2])
    if flanks is not None:
        smooth = smooth * np.exp(-0.5 * ((place - flanks) * step / PRIOR_MM) ** 2)
    near = np.abs(place - smooth.argmax()) * step <= SPINE_WINDOW_MM / 2
    levels = np.flatnonzero(profile[:, near].any(axis=1))
    if len(levels) < max(1, SPINE_LEVELS * mask.any(axis=(1, 2)).sum()) or len(levels) < 2:
        return None
    middles = np.array([_weighted_median(place[near], profile[level, near]) for level in levels])
    world = coarse.world(np.stack([levels, np.full(len(levels), mask.shape[1] / 2), middles], -1))
    x_mm, z_mm = world[:, 0], world[:, 2]
    slope = 0.0
    if np.ptp(z_mm) >= MIN_FIT_MM:
        fitted = float(stats.theilslopes(x_mm, z_mm).slope)
        slope = float(np.clip(fitted, -MAX_SLOPE, MAX_SLOPE))
    middle_z = float(np.median(z_mm))
    return Midline(
        float(np.median(x_mm - slope * (z_mm - middle_z))), middle_z, slope, "along the spine"
    )


def _weighted_median(values: NDArray[Any], weights: NDArray[Any]) -> float:
    """The median of whole-number positions counted ``weights`` times."""
    return float(np.median(np.repeat(values, weights)))
