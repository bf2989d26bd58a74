"""A kidney's own contour, sinus, long axis and polar lines, derived from its label map."""

from __future__ import annotations

from dataclasses import dataclass

import edt
import numpy as np
from numpy.typing import NDArray

from renalis.labels import Label
from renalis.measurement.frame import STEP_MM, sampled
from renalis.measurement.results import Side
from renalis.measurement.structures import Group
from renalis.postprocessing.components import find_pieces
from renalis.postprocessing.hull import hull_mask
from renalis.volume import Volume

__all__ = ["Anatomy", "along_mm", "distance_mm", "find_anatomy"]

LEAST_PARENCHYMA_ML = 15.0
"""With less parenchyma than this a kidney's shape is not restored."""
LEAST_PART = 0.1
"""Pieces of parenchyma below this share of the largest do not shape the contour."""
SINUS_OPENING_MM = 2.0
SINUS_ML = 0.5
MOUTH_MM = 4.0
"""The sinus opens where it comes this near to the contour."""
LEAST_HILUM_MM = 10.0
FUSED_RULE = "not given: the kidney is fused across the midline"
THIN_RULE = f"not given: less than {LEAST_PARENCHYMA_ML:g} ml of parenchyma is left"
THIRDS_RULE = "polar lines at the thirds of the kidney's length, because no hilum was seen"
HILUM_RULE = (
    "polar lines at the upper and lower end of the hilum, across the kidney's long axis "
    "(first principal axis of its restored contour)"
)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What shape questions are asked against, on an isotropic RAS frame.

    Attributes
    ----------
    frame : Volume
        uint8 labels of the kidney and its lesions on the frame.
    contour : ndarray of bool
        The kidney's own contour, restored: convex hull of its parenchyma.
    sinus : ndarray of bool or None
        Renal sinus; None when no hilum was seen.
    sinus_mm : ndarray of float32 or None
        Distance from each frame voxel to the sinus.
    center : ndarray, shape (3,)
        Center of the contour in mm.
    axis : ndarray, shape (3,)
        Unit vector of the long axis, towards the head.
    polar : tuple of float
        Lower and upper polar line, in mm along the axis from the center.
    polar_rule : str
        What the polar lines were derived from.
    front : ndarray, shape (3,), or None
        Unit normal of the kidney's own coronal plane, towards its front.
    """

    frame: Volume
    contour: NDArray[np.bool_]
    sinus: NDArray[np.bool_] | None
    sinus_mm: NDArray[np.float32] | None
    center: NDArray[np.float64]
    axis: NDArray[np.float64]
    polar: tuple[float, float]
    polar_rule: str
    front: NDArray[np.float64] | None


def distance_mm(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance in mm from each frame voxel's center to the nearest voxel center of a mask."""
    away = edt.edt(~mask, anisotropy=(STEP_MM,) * 3, black_border=False, parallel=1)
    return np.asarray(away, dtype=np.float32)


def along_mm(
    frame: Volume, origin: NDArray[np.float64], direction: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Coordinate in mm of every frame voxel along a direction, from an origin; frame's shape."""
    x, y, z = (
        (frame.affine[a, 3] - origin[a] + STEP_MM * np.arange(frame.shape[a])) * direction[a]
        for a in range(3)
    )
    return np.asarray(x[:, None, None] + y[None, :, None] + z[None, None, :])


def find_anatomy(group: Group, frame: Volume) -> Anatomy | str:
    """Restore a kidney's contour and find its sinus, axis and polar lines.

    The contour is the convex hull of the parenchyma: it bridges the bites that lesions take out
    of a kidney. The sinus is the largest pocket between contour and kidney (opened by 2 mm) on
    the side of the midline. See ``docs/measurements.md``.

    Parameters
    ----------
    group : Group
        A kidney with its lesions.
    frame : Volume
        Isotropic grid around it.

    Returns
    -------
    Anatomy or str
        Or, where shape cannot be told, the sentence that says why.
    """
    labels = np.asarray(sampled(group.labels, frame), dtype=np.uint8)
    parenchyma = _main_parts(labels == Label.KIDNEY)
    if group.fused:
        return FUSED_RULE
    if np.count_nonzero(parenchyma) * frame.voxel_ml < LEAST_PARENCHYMA_ML:
        return THIN_RULE
    contour = hull_mask(parenchyma)
    inside = frame.world(np.argwhere(contour))
    center = np.asarray(inside.mean(axis=0))
    axis = np.linalg.eigh(np.cov(inside.T))[1][:, -1]
    axis = axis * (1.0 if axis[2] >= 0 else -1.0)
    medial = {Side.RIGHT: -1.0, Side.LEFT: 1.0}.get(group.side)
    sinus = _sinus(contour & (labels == 0), frame, center, medial)
    polar, rule = _polar_lines(sinus, contour, along_mm(frame, center, axis))
    front = _front(sinus, frame, center, axis, medial=medial)
    return Anatomy(
        frame=frame.like(labels, frame.kind),
        contour=contour,
        sinus=sinus,
        sinus_mm=None if sinus is None else distance_mm(sinus),
        center=center,
        axis=axis,
        polar=polar,
        polar_rule=rule,
        front=front,
    )


def _main_parts(parenchyma: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Parenchyma without specks, which would stretch the contour."""
    found = find_pieces(parenchyma)
    if len(found.pieces) <= 1:
        return parenchyma
    keep = [p.number for p in found.pieces if p.voxels >= LEAST_PART * found.pieces[0].voxels]
    return np.isin(found.array, keep)


def _sinus(
    pocket: NDArray[np.bool_],
    frame: Volume,
    center: NDArray[np.float64],
    medial: float | None,
) -> NDArray[np.bool_] | None:
    """The largest pocket on the medial half, after an opening that drops thin crescents."""
    core = edt.edt(pocket, anisotropy=(STEP_MM,) * 3, black_border=True, parallel=1)
    opened = pocket & (distance_mm(np.asarray(core > SINUS_OPENING_MM)) <= SINUS_OPENING_MM)
    if not (core > SINUS_OPENING_MM).any():
        return None
    if medial is not None:
        x_mm = frame.affine[0, 3] + STEP_MM * np.arange(frame.shape[0])
        opened &= ((x_mm - center[0]) * medial >= 0)[:, None, None]
    found = find_pieces(opened, connectivity=6)
    if not found.pieces or found.pieces[0].voxels * frame.voxel_ml < SINUS_ML:
        return None
    return np.asarray(found.array == found.pieces[0].number)


def _polar_lines(
    sinus: NDArray[np.bool_] | None,
    contour: NDArray[np.bool_],
    along: NDArray[np.float64],
) -> tuple[tuple[float, float], str]:
    """Ends of the hilum along the axis, or thirds of the length."""
    low, high = float(along[contour].min()), float(along[contour].max())
    thirds = (low + (high - low) / 3, high - (high - low) / 3)
    if sinus is None:
        return thirds, THIRDS_RULE
    mouth = sinus & (distance_mm(~contour) <= MOUTH_MM)
    if not mouth.any():
        return thirds, THIRDS_RULE
    places = along[mouth]
    ends = float(np.percentile(places, 2)), float(np.percentile(places, 98))
    if ends[1] - ends[0] < LEAST_HILUM_MM:
        return thirds, THIRDS_RULE
    return ends, HILUM_RULE


def _front(
    sinus: NDArray[np.bool_] | None,
    frame: Volume,
    center: NDArray[np.float64],
    axis: NDArray[np.float64],
    *,
    medial: float | None,
) -> NDArray[np.float64] | None:
    """Normal of the plane through the long axis and the hilum, towards the patient's front."""
    if sinus is not None:
        towards = frame.world(np.argwhere(sinus)).mean(axis=0) - center
    elif medial is not None:
        towards = np.array([medial, 0.0, 0.0])
    else:
        return None
    towards = towards - (towards @ axis) * axis
    normal = np.cross(axis, towards)
    length = float(np.linalg.norm(normal))
    if length < 1e-6 or abs(normal[1]) < 0.2 * length:
        return None
    return np.asarray(normal / length * np.sign(normal[1]))
