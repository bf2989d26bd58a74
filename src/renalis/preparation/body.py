"""Where the patient's body is in a scan, and where its midline runs.

Both are found on a coarse grid (about 4 mm), so that a scan of any size costs tens of
milliseconds and a few megabytes. Left and right are decided against this midline, never against
array order and never against the middle of the field of view when something better is known:
patients lie off center, and scans are cropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.boxes import Box
from renalis.laterality import Midline, field_middle, field_midline
from renalis.preparation.fast_morphology import eroded, filled_levels, spread
from renalis.volume import CANONICAL, Kind, Volume

__all__ = ["Body", "find_body"]

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

    def inside(self, box: Box) -> NDArray[np.bool_]:
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

    The body is the largest connected component of a coarse sampling above -300 HU after an opening
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
    mask = _body_mask(coarse)
    if mask is None:
        midline = field_midline(coarse, "no body was found")
        return Body(None, (steps[0], steps[1], steps[2]), midline)
    midline = _midline(coarse, _levels(coarse, mask))
    wider = spread(mask, corners=True)
    return Body(
        coarse.like(wider.astype(np.uint8), Kind.LABELS), (steps[0], steps[1], steps[2]), midline
    )


def _body_mask(coarse: Volume) -> NDArray[np.bool_] | None:
    """Largest connected component of tissue, without the table, holes of axial slices filled."""
    tissue = coarse.array > TISSUE_HU
    # Outside the scan counts as body while eroding: a cropped scan is body to its last voxel.
    opened = spread(eroded(tissue, beyond=True))
    components = cc3d.connected_components(opened & tissue, connectivity=6)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    if sizes.max() * coarse.voxel_ml < MIN_BODY_ML:
        return None
    mask = components == sizes.argmax()
    return filled_levels(mask)


@dataclass(frozen=True, eq=False)
class _Levels:
    """Body and bone in patient coordinates, sorted into axial levels of about 4 mm.

    Patient coordinates, because the array axes of an oblique scan are nobody's left and right.
    """

    center: NDArray[np.float64]
    """Middle of the field of view."""
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    """Smallest and largest x of the body in each level."""
    cut: NDArray[np.bool_]
    """Whether the field of view cuts the body's flanks in a level."""
    bone: NDArray[np.float64]
    """Bone in the back half of the body, (N, 3)."""
    bone_level: NDArray[np.intp]

    @property
    def flanks(self) -> float | None:
        """Median middle between the flanks, unless most levels are cut."""
        whole = np.isfinite(self.low) & ~self.cut
        if whole.sum() < 0.5 * np.isfinite(self.low).sum():
            return None
        return float(np.median((self.low + self.high)[whole] / 2))


def _levels(coarse: Volume, mask: NDArray[np.bool_]) -> _Levels:
    """Sort the body's voxels into levels."""
    index = np.concatenate([_row_ends(mask, axis) for axis in (1, 2)])
    points = coarse.world(index)
    floor, step = points[:, 2].min(), max(STEP_MM, coarse.spacing[0])
    level = ((points[:, 2] - floor) / step).astype(np.intp)
    count = int(level.max()) + 1
    low, front = np.full((2, count), np.inf)
    high, back = np.full((2, count), -np.inf)
    np.minimum.at(low, level, points[:, 0])
    np.maximum.at(high, level, points[:, 0])
    np.minimum.at(front, level, points[:, 1])
    np.maximum.at(back, level, points[:, 1])
    # Levels between two coarse slices hold nothing.
    for extent in (low, high, front, back):
        extent[np.isinf(extent)] = np.nan
    edge = (index[:, 2] == 0) | (index[:, 2] == mask.shape[2] - 1)
    cut = np.bincount(level[edge], minlength=count) > 0
    bone = coarse.world(np.argwhere(mask & (coarse.array > BONE_HU)))
    bone_level = np.clip((bone[:, 2] - floor) / step, 0, count - 1).astype(np.intp)
    behind = bone[:, 1] < ((front + back) / 2)[bone_level]
    center = field_middle(coarse)
    return _Levels(center, low, high, cut, bone[behind], bone_level[behind])


def _row_ends(mask: NDArray[np.bool_], axis: int) -> NDArray[np.intp]:
    """Indices of the first and last voxel of every row along an axis: enough for extents."""
    turned = np.moveaxis(mask, axis, -1)
    rows = np.argwhere(turned.any(axis=-1))
    lines = turned[tuple(rows.T)]
    ends = (lines.argmax(axis=1), mask.shape[axis] - 1 - lines[:, ::-1].argmax(axis=1))
    return np.concatenate([np.insert(rows, axis, end, axis=1) for end in ends])


def _midline(coarse: Volume, levels: _Levels) -> Midline:
    """Spine first, flanks second, field of view last."""
    spine = _spine(levels)
    if spine is not None:
        return spine
    if levels.flanks is not None:
        z_mm = float(levels.center[2])
        return Midline(levels.flanks, z_mm, rule="middle between the body's flanks")
    return field_midline(coarse, "it cuts the body's flanks and shows no spine")


def _spine(levels: _Levels) -> Midline | None:
    """A line through the bone in the back half of the body, or None when there is no spine."""
    bone = levels.bone
    if not len(bone):
        return None
    start = bone[:, 0].min()
    counts = np.bincount(((bone[:, 0] - start) / STEP_MM).astype(np.intp)).astype(float)
    smooth = ndimage.uniform_filter1d(counts, round(SPINE_WINDOW_MM / STEP_MM), mode="constant")
    place = start + STEP_MM * (np.arange(len(counts)) + 0.5)
    if levels.flanks is not None:
        smooth = smooth * np.exp(-0.5 * ((place - levels.flanks) / PRIOR_MM) ** 2)
    near = np.abs(bone[:, 0] - place[smooth.argmax()]) <= SPINE_WINDOW_MM / 2
    bone, level = bone[near], levels.bone_level[near]
    shown = np.unique(level)
    if len(shown) < max(2.0, SPINE_LEVELS * np.isfinite(levels.low).sum()):
        return None
    middles = np.array([np.median(bone[level == one], axis=0) for one in shown])
    x_mm, z_mm = middles[:, 0], middles[:, 2]
    slope = 0.0
    if np.ptp(z_mm) >= MIN_FIT_MM:
        fitted = _median_slope(z_mm, x_mm)
        slope = float(np.clip(fitted, -MAX_SLOPE, MAX_SLOPE))
    middle_z = float(np.median(z_mm))
    return Midline(
        float(np.median(x_mm - slope * (z_mm - middle_z))), middle_z, slope, "along the spine"
    )


def _median_slope(along: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    """Theil and Sen's slope, the median over all pairs; importing scipy.stats takes longer than all
    of the body."""
    step = along[:, None] - along
    rise = value[:, None] - value
    return float(np.median(rise[step > 0] / step[step > 0]))
