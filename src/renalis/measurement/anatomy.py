"""A kidney's own contour, sinus, long axis and polar lines, derived from its label map."""

from __future__ import annotations

from dataclasses import dataclass

import edt
import numpy as np
from numpy.typing import NDArray

from renalis.conventions import Label
from renalis.measurement.contour import Contour, restored_contour
from renalis.measurement.distances import border_points
from renalis.measurement.frame import STEP_MM, sampled
from renalis.measurement.results import Side
from renalis.measurement.structures import Group
from renalis.postprocessing.components import find_components
from renalis.postprocessing.hull import hull_mask
from renalis.preparation.fast_morphology import within
from renalis.volume import Volume

__all__ = ["SIDES_MM", "Anatomy", "along_mm", "distance_mm", "find_anatomy"]

SIDES_MM = (STEP_MM, STEP_MM, STEP_MM)
LEAST_PARENCHYMA_ML = 15.0
"""With less parenchyma than this a kidney's shape is not restored."""
LEAST_PART = 0.1
"""Components of parenchyma below this share of the largest do not shape the contour."""
SINUS_OPENING_MM = 2.0
SINUS_ML = 0.5
SINUS_REGAIN_MM = 3.0
"""What the opening took from the ends of the sinus comes back within this distance."""
FILLED_DEPTH = 0.5
"""A lesion fills the sinus when it reaches this far from the hull towards the kidney's axis."""
MOUTH_MM = 4.0
"""The sinus opens where it comes this near to the hull."""
LEAST_HILUM_MM = 10.0
FUSED_RULE = "not given: the kidney is fused across the midline"
THIN_RULE = f"not given: less than {LEAST_PARENCHYMA_ML:g} ml of parenchyma is left"
THIRDS_RULE = "polar lines at the thirds of the kidney's length, because no hilum was seen"
HILUM_RULE = (
    "polar lines at the upper and lower end of the hilum, where the sinus no longer opens through "
    "the medial lip of parenchyma, across the kidney's long axis (first principal axis of the "
    "parenchyma's convex hull)"
)
SINUS_RULE = (
    "shortest distance from the lesion's surface to the renal sinus, taken as the largest pocket "
    "between the kidney and the convex hull of its parenchyma on the side of the midline"
)
FILLED_RULE = (
    "the lesion fills the renal sinus: no other pocket was seen on the side of the midline"
)
NO_SINUS_RULE = "not given: no hilum was seen"
RESTORED_RULE = (
    "share of the lesion outside the kidney's contour, restored with its own curvature from the "
    "surface that is left"
)
HULL_RULE = (
    "share of the lesion outside the convex hull of the kidney's parenchyma, because too little "
    "of its surface is left to restore its contour"
)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What shape questions are asked against, on an isotropic RAS frame.

    Attributes
    ----------
    frame : Volume
        uint8 labels of the kidney and its lesions on the frame.
    hull : ndarray of bool
        Convex hull of the parenchyma.
    contour : Contour or None
        The kidney's own contour, restored; None where too little of its surface is left.
    sinus : ndarray of bool or None
        Renal sinus; None when no hilum was seen.
    sinus_filled : bool
        Whether a lesion fills it.
    sinus_points : ndarray, shape (N, 3), or None
        Points of its border in mm.
    center : ndarray, shape (3,)
        Center of the hull in mm.
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
    hull: NDArray[np.bool_]
    contour: Contour | None
    sinus: NDArray[np.bool_] | None
    sinus_filled: bool
    sinus_points: NDArray[np.float64] | None
    center: NDArray[np.float64]
    axis: NDArray[np.float64]
    polar: tuple[float, float]
    polar_rule: str
    front: NDArray[np.float64] | None

    @property
    def exophytic_rule(self) -> str:
        """What a lesion's share outside is taken against."""
        return HULL_RULE if self.contour is None else RESTORED_RULE

    @property
    def sinus_rule(self) -> str:
        """What the distance to the sinus is, or why there is none."""
        if self.sinus is None:
            return NO_SINUS_RULE
        return FILLED_RULE if self.sinus_filled else SINUS_RULE


def distance_mm(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance in mm from each frame voxel's center to the nearest voxel center of a mask."""
    away = edt.edt(~mask, anisotropy=SIDES_MM, black_border=False, parallel=1)
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

    The sinus is the largest pocket between the convex hull of the parenchyma and the kidney
    (opened by 2 mm) on the side of the midline. See ``docs/explanation/measurements.md``.

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
    hull = hull_mask(parenchyma)
    inside = frame.world(np.argwhere(hull))
    center = np.asarray(inside.mean(axis=0))
    axis = np.linalg.eigh(np.cov(inside.T))[1][:, -1]
    axis = axis * (1.0 if axis[2] >= 0 else -1.0)
    medial = {Side.RIGHT: -1.0, Side.LEFT: 1.0}.get(group.side)
    sinus = _sinus(hull & (labels == 0), frame, center, medial)
    polar, rule = _polar_lines(sinus, hull, along_mm(frame, center, axis))
    front = _front(sinus, frame, center, axis, medial=medial)
    filled = sinus is None and medial is not None
    if filled:
        sinus = _sinus(hull & ~parenchyma, frame, center, medial)
        sinus = sinus if sinus is not None and _is_deep(sinus, hull, frame, center) else None
    return Anatomy(
        frame=frame.like(labels, frame.kind),
        hull=hull,
        contour=restored_contour(parenchyma, labels > Label.KIDNEY, hull, frame),
        sinus=sinus,
        sinus_filled=filled and sinus is not None,
        sinus_points=None if sinus is None else _border(sinus, group, frame),
        center=center,
        axis=axis,
        polar=polar,
        polar_rule=rule,
        front=front,
    )


def _main_parts(parenchyma: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Parenchyma without specks, which would stretch the contour."""
    found = find_components(parenchyma)
    if len(found.each) <= 1:
        return parenchyma
    keep = [p.number for p in found.each if p.voxels >= LEAST_PART * found.each[0].voxels]
    return np.isin(found.array, keep)


def _sinus(
    pocket: NDArray[np.bool_],
    frame: Volume,
    center: NDArray[np.float64],
    medial: float | None,
) -> NDArray[np.bool_] | None:
    """The largest pocket on the medial half, after an opening that drops thin crescents."""
    inner = pocket & ~within(~pocket, SINUS_OPENING_MM, SIDES_MM)
    if not inner.any():
        return None
    opened = pocket & within(inner, SINUS_OPENING_MM, SIDES_MM)
    if medial is not None:
        x_mm = frame.affine[0, 3] + STEP_MM * np.arange(frame.shape[0])
        opened &= ((x_mm - center[0]) * medial >= 0)[:, None, None]
    found = find_components(opened, connectivity=6)
    if not found.each or found.each[0].voxels * frame.voxel_ml < SINUS_ML:
        return None
    largest = np.asarray(found.array == found.each[0].number)
    regained = find_components(pocket & within(largest, SINUS_REGAIN_MM, SIDES_MM), connectivity=6)
    inside = regained.array[largest][0]
    return np.asarray(regained.array == inside)


def _is_deep(
    pocket: NDArray[np.bool_],
    hull: NDArray[np.bool_],
    frame: Volume,
    center: NDArray[np.float64],
) -> bool:
    """Whether a pocket reaches as far into the kidney as a sinus, not only a bite at its edge."""
    index = tuple(np.round(frame.index(center)).astype(int))
    depth = distance_mm(~hull)
    return bool(depth[pocket].max() >= FILLED_DEPTH * depth[index])


def _border(sinus: NDArray[np.bool_], group: Group, frame: Volume) -> NDArray[np.float64]:
    """Points of the sinus' border with the kidney in mm, on the scan's own grid."""
    points, outside = border_points(group.labels.array > 0, group.labels)
    index = np.round(frame.index(outside)).astype(np.intp)
    # A voxel of the scan may reach beyond those of the frame that its center lies next to.
    found = points[within(sinus, STEP_MM, SIDES_MM)[tuple(index.T)]]
    return found if len(found) else frame.world(np.argwhere(sinus))


def _polar_lines(
    sinus: NDArray[np.bool_] | None,
    hull: NDArray[np.bool_],
    along: NDArray[np.float64],
) -> tuple[tuple[float, float], str]:
    """Ends of the hilum along the axis, or thirds of the length."""
    low, high = float(along[hull].min()), float(along[hull].max())
    thirds = (low + (high - low) / 3, high - (high - low) / 3)
    if sinus is None:
        return thirds, THIRDS_RULE
    mouth = sinus & within(~hull, MOUTH_MM, SIDES_MM)
    if not mouth.any():
        return thirds, THIRDS_RULE
    places = along[mouth]
    ends = float(places.min()) - STEP_MM / 2, float(places.max()) + STEP_MM / 2
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
