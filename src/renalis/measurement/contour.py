"""A kidney's own contour where a lesion has broken it: its curvature goes on.

Rays from the kidney's center meet its surface. Where parenchyma borders on something else than a
lesion, the surface is known; an ellipsoid is fitted to it, robustly, and how far the kidney lies
off it is carried across the gaps by a thin-plate spline. A convex hull would be flat across a gap
at a pole, and would follow parenchyma that is splayed around a lesion (claw).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from renalis.measurement.frame import STEP_MM
from renalis.preparation.fast_morphology import within
from renalis.volume import Volume

__all__ = ["Contour", "restored_contour"]

RAYS = 900
RAY_STEP_MM = 1.0
CLAW_MM = 7.0
"""Surface nearer than this to a lesion may be pushed out by it, so it is not trusted."""
POCKET_MM = 4.0
"""Surface deeper than this below the convex hull is the sinus' or a scar's."""
LEAST_KNOWN = 0.3
"""With a smaller share of known surface the contour is not restored."""
FITS = 16
LEAST_SCALE_MM = 1.0
OUTLIER = 3.0
"""Surface farther from the ellipsoid than this many scales has no say."""
STIFFNESS = 300.0
"""Smoothing of the spline: its points are known to about a voxel of the scan, and steps of thick
slices must not be carried on across a gap."""


@dataclass(frozen=True, eq=False)
class Contour:
    """A closed surface around a center: an ellipsoid, and how far off it lies along rays.

    Attributes
    ----------
    center : ndarray, shape (3,)
        In mm (RAS+); the ellipsoid need not lie around its own center.
    form, shift : ndarray, shapes (3, 3) and (3,)
        The ellipsoid ``p' F p + s' p = 1``, p from the center in mm.
    rays : ndarray, shape (N, 3)
        Unit vectors.
    off_mm : ndarray, shape (N,)
        Along each ray, how far outside of the ellipsoid the surface lies.
    """

    center: NDArray[np.float64]
    form: NDArray[np.float64]
    shift: NDArray[np.float64]
    rays: NDArray[np.float64]
    off_mm: NDArray[np.float64]

    def depth_mm(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far points lie below the surface, along their ray; (N, 3) in mm in, (N,) out."""
        away = points - self.center
        far = np.linalg.norm(away, axis=1)
        towards = away / np.maximum(far, 1e-9)[:, None]
        apart, near = cKDTree(self.rays).query(towards, k=4)
        weights = 1 / np.maximum(apart, 1e-6)
        off = (self.off_mm[near] * weights).sum(axis=1) / weights.sum(axis=1)
        return np.asarray(_radii_of(self.form, self.shift, towards) + off - far)


def restored_contour(
    parenchyma: NDArray[np.bool_],
    lesions: NDArray[np.bool_],
    hull: NDArray[np.bool_],
    frame: Volume,
) -> Contour | None:
    """Restore a kidney's contour from the surface that lesions have left.

    Parameters
    ----------
    parenchyma, lesions, hull : ndarray of bool, shape of ``frame``
        Parenchyma without specks, tumors and cysts, and the parenchyma's convex hull.
    frame : Volume
        Isotropic grid, axes R, A, S.

    Returns
    -------
    Contour or None
        None when too little of the surface is known.
    """
    center = frame.world(np.argwhere(hull)).mean(axis=0)
    rays = _rays(RAYS)
    radii, known = _surface(parenchyma, lesions, hull, frame, center, rays)
    if known.mean() < LEAST_KNOWN:
        return None
    fitted = _ellipsoid(rays[known] * radii[known, None])
    if fitted is None:
        return None
    form, shift, trusted = fitted
    smooth = _radii_of(form, shift, rays)
    off = radii[known][trusted] - smooth[known][trusted]
    places = rays * smooth[:, None]
    return Contour(center, form, shift, rays, spline(places[known][trusted], off, places))


def spline(
    known: NDArray[np.float64], values: NDArray[np.float64], places: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A thin-plate spline with `STIFFNESS` through values at known points (N, 3), at others (M, 3).

    What `scipy.interpolate.RBFInterpolator` computes, whose import takes a tenth of a second.
    """
    middle = known.mean(axis=0)
    size = np.maximum(np.ptp(known, axis=0).max(), 1e-9)

    def kernel(points: NDArray[np.float64]) -> NDArray[np.float64]:
        square = np.asarray(cdist(points, known, "sqeuclidean"))
        return np.asarray(0.5 * square * np.log(np.maximum(square, 1e-300)))

    def plane(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack([np.ones(len(points)), (points - middle) / size])

    across = plane(known)
    bending = kernel(known) + STIFFNESS * np.eye(len(known))
    left = np.block([[bending, across], [across.T, np.zeros((4, 4))]])
    weights = np.linalg.solve(left, np.concatenate([values, np.zeros(4)]))
    return np.asarray(np.column_stack([kernel(places), plane(places)]) @ weights)


def _rays(count: int) -> NDArray[np.float64]:
    """Unit vectors spread evenly over the sphere (golden spiral), shape (count, 3)."""
    place = np.arange(count) + 0.5
    height = 1 - 2 * place / count
    turn = np.pi * (1 + np.sqrt(5)) * place
    across = np.sqrt(1 - height**2)
    return np.column_stack([across * np.cos(turn), across * np.sin(turn), height])


def _surface(
    parenchyma: NDArray[np.bool_],
    lesions: NDArray[np.bool_],
    hull: NDArray[np.bool_],
    frame: Volume,
    center: NDArray[np.float64],
    rays: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Distance of the outermost parenchyma along each ray, and whether it is known surface."""
    reach = np.linalg.norm(np.array(frame.shape)) * STEP_MM / 2
    steps = np.arange(0.0, reach, RAY_STEP_MM)
    places = frame.index(center + rays[:, None] * steps[None, :, None]).reshape(-1, 3).T
    filled = ndimage.map_coordinates(parenchyma.astype(np.float32), places, order=1)
    inside = filled.reshape(len(rays), -1)
    there = inside >= 0.5
    met = there.any(axis=1)
    last = there.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
    last = np.minimum(last, there.shape[1] - 2)
    row = np.arange(len(rays))
    before, after = inside[row, last], inside[row, last + 1]
    # Where the interpolated mask passes one half.
    radii = RAY_STEP_MM * (last + np.clip((before - 0.5) / np.maximum(before - after, 1e-6), 0, 1))
    at = frame.index(center + rays * radii[:, None])
    index = tuple(np.clip(np.round(at).astype(int), 0, np.array(frame.shape) - 1).T)
    sides = (STEP_MM,) * 3
    # The frame has a margin all round, so that no surface lies on its border.
    near_hull, near_lesions = within(~hull, POCKET_MM, sides), within(lesions, CLAW_MM, sides)
    return radii, met & near_hull[index] & ~near_lesions[index]


def _ellipsoid(
    points: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]] | None:
    """Ellipsoid ``p' F p + s' p = 1`` through points (N, 3), and which of them lie on it.

    Distances are those of Sampson (value over gradient); the sum of their amounts is made small
    first, then that of their squares without outliers (Tukey's weights).
    """
    size = float(np.abs(points).max())
    x, y, z = (points / size).T
    terms = np.column_stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z, x, y, z])
    weights: NDArray[np.float64] = np.ones(len(points))
    form: NDArray[np.float64] = np.eye(3)
    shift: NDArray[np.float64] = np.zeros(3)
    trusted = np.ones(len(points), dtype=bool)
    for fit in range(FITS):
        found = np.linalg.lstsq(terms * weights[:, None], weights, rcond=None)[0]
        form = np.array(
            [
                [found[0], found[3], found[4]],
                [found[3], found[1], found[5]],
                [found[4], found[5], found[2]],
            ]
        )
        shift = np.asarray(found[6:], dtype=np.float64)
        slope = np.linalg.norm(2 * (points / size) @ form + shift, axis=1)
        away = (terms @ found - 1) / np.maximum(slope, 1e-3) * size
        scale = max(LEAST_SCALE_MM, 1.4826 * float(np.median(np.abs(away))))
        ratio = np.abs(away) / (OUTLIER * scale)
        trusted = ratio < 1
        if fit < FITS // 2:
            share = 1 / np.sqrt(np.maximum(np.abs(away), LEAST_SCALE_MM / 2))
        else:
            share = 1 - np.minimum(ratio, 1) ** 2
        weights = np.asarray(share / np.maximum(slope, 1e-3), dtype=np.float64)
    if np.linalg.eigvalsh(form).min() <= 0.05 or trusted.mean() < 0.5:
        return None
    return form / size**2, shift / size, trusted


def _radii_of(
    form: NDArray[np.float64], shift: NDArray[np.float64], rays: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of the ellipsoid from the origin along rays."""
    square = np.einsum("ni,ij,nj->n", rays, form, rays)
    linear = rays @ shift
    return np.asarray((-linear + np.sqrt(linear**2 + 4 * square)) / (2 * square))
