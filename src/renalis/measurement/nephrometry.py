"""How a lesion sits in its kidney, and the R.E.N.A.L. score of a tumor.

Kutikov A, Uzzo RG. The R.E.N.A.L. nephrometry score: a comprehensive standardized system for
quantitating renal tumor size, location and depth. J Urol 2009;182:844-853. The score is read by
eye from pictures; here each letter has a rule that geometry can follow, and says it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.measurement.anatomy import Anatomy
from renalis.measurement.distances import least_distance_mm
from renalis.measurement.frame import STEP_MM
from renalis.measurement.results import Nephrometry, Pole, Score, Shape

__all__ = ["LesionPosition", "nephrometry", "position_of", "shape_of"]

ENDOPHYTIC = 0.05
"""Up to this share outside counts as entirely endophytic: the contour is known to about a voxel."""
POLAR_SHARE = 0.05
"""Up to this share between the polar lines counts as entirely polar, for the same reason."""
FACE_SHARE = 2 / 3

RADIUS_RULE = (
    "largest diameter in any direction; up to 40 mm: 1, below 70 mm: 2, from 70 mm: 3; as "
    "published, but measured in space, where a reader takes the largest that a picture shows"
)
FACE_RULE = (
    "a (anterior) or p (posterior) when at least two thirds of the tumor lie on that side of the "
    "plane through the kidney's long axis and hilum, otherwise x; published: the side of the "
    "kidney's coronal plane as read on axial pictures, x where neither can be said; the two thirds "
    "are ours"
)


@dataclass(frozen=True)
class LesionPosition:
    """Where a lesion sits in a kidney whose anatomy is known.

    Attributes
    ----------
    exophytic : float
        Share outside the kidney's own contour.
    sinus_mm : float or None
        Distance to the sinus.
    center_mm : float
        Of the lesion, along the kidney's axis.
    interpolar : float
        Share between the polar lines.
    crosses_middle : bool
        Whether it crosses the middle between the polar lines.
    anterior : float or None
        Share in front of the kidney's coronal plane.
    """

    exophytic: float
    sinus_mm: float | None
    center_mm: float
    interpolar: float
    crosses_middle: bool
    anterior: float | None


def position_of(
    lesion: NDArray[np.intp], surface: NDArray[np.float64], anatomy: Anatomy
) -> LesionPosition:
    """Read a lesion's position off the frame.

    Parameters
    ----------
    lesion : ndarray, shape (N, 3), int
        Indices of its voxels on the anatomy's frame; not empty.
    surface : ndarray, shape (M, 3)
        Points of its surface in mm.
    anatomy : Anatomy
        Of its kidney.
    """
    places = anatomy.frame.world(lesion)
    where = places - anatomy.center
    along = where @ anatomy.axis
    lower, upper = anatomy.polar
    middle = (lower + upper) / 2
    ends = np.percentile(along, [5, 95])
    if anatomy.contour is None:
        inside = anatomy.hull[tuple(lesion.T)].astype(float)
    else:
        # A voxel that the contour cuts counts in part.
        inside = np.clip(anatomy.contour.depth_mm(places) / STEP_MM + 0.5, 0, 1)
    sinus_mm = None
    if anatomy.sinus is not None and anatomy.sinus_points is not None:
        in_sinus = anatomy.sinus[tuple(lesion.T)].any()
        sinus_mm = 0.0 if in_sinus else least_distance_mm(surface, anatomy.sinus_points)
    anterior = None
    if anatomy.front is not None:
        anterior = float((where @ anatomy.front > 0).mean())
    return LesionPosition(
        exophytic=float(1 - inside.mean()),
        sinus_mm=sinus_mm,
        center_mm=float(along.mean()),
        interpolar=float(((along > lower) & (along < upper)).mean()),
        crosses_middle=bool(ends[0] < middle < ends[1]),
        anterior=anterior,
    )


def shape_of(position: LesionPosition | str, anatomy: Anatomy | None) -> Shape:
    """Pole, exophytic fraction and distance to the sinus, each with its rule."""
    if isinstance(position, str) or anatomy is None:
        why = position if isinstance(position, str) else "not given"
        return Shape(None, None, None, why, why, why)
    lower, upper = anatomy.polar
    if position.center_mm > upper:
        pole = Pole.UPPER
    elif position.center_mm < lower:
        pole = Pole.LOWER
    else:
        pole = Pole.INTERPOLAR
    return Shape(
        pole,
        position.exophytic,
        position.sinus_mm,
        f"the lesion's center against {anatomy.polar_rule}",
        anatomy.exophytic_rule,
        anatomy.sinus_rule,
    )


def nephrometry(
    diameter_mm: float, position: LesionPosition | str, anatomy: Anatomy | None
) -> Nephrometry:
    """The R.E.N.A.L. letters that geometry can give.

    Parameters
    ----------
    diameter_mm : float
        Largest diameter of the tumor.
    position : LesionPosition or str
        Its position, or the sentence that says why it is unknown.
    anatomy : Anatomy or None
        Of its kidney.
    """
    radius = Score(diameter_mm, _radius_points(diameter_mm), RADIUS_RULE)
    if isinstance(position, str) or anatomy is None:
        why = Score(None, None, position if isinstance(position, str) else "not given")
        return Nephrometry(radius, why, why, why, why, None, None)
    scores = (
        radius,
        _exophytic(position.exophytic, anatomy.exophytic_rule),
        _nearness(position.sinus_mm, anatomy.sinus_rule),
        _location(position, anatomy),
    )
    points = [score.points for score in scores]
    total = None if None in points else sum(point for point in points if point is not None)
    return Nephrometry(
        radius=scores[0],
        exophytic=scores[1],
        nearness=scores[2],
        face=_face(position.anterior),
        location=scores[3],
        total=total,
        complexity=None if total is None else _complexity(total),
    )


def _radius_points(diameter_mm: float) -> int:
    """R: at most 4 cm, more than 4 and less than 7 cm, at least 7 cm."""
    shown = round(diameter_mm, 2)  # as written, so that points and numbers agree
    if shown <= 40:
        return 1
    return 2 if shown < 70 else 3


def _exophytic(share: float, rule: str) -> Score:
    """E: at least half exophytic, less than half, entirely endophytic."""
    points = 1 if share >= 0.5 else 2
    if share <= ENDOPHYTIC:
        points = 3
    return Score(
        share,
        points,
        f"{rule}; at least 0.5: 1, below: 2, up to {ENDOPHYTIC:g}: 3; published: 3 for entirely "
        f"endophytic, and by eye; the contour is known to about a voxel, so {ENDOPHYTIC:g} is ours",
    )


def _nearness(sinus_mm: float | None, rule: str) -> Score:
    """N: at least 7 mm, 4 to 7 mm, at most 4 mm from sinus or collecting system."""
    if sinus_mm is None:
        return Score(None, None, rule)
    shown = round(sinus_mm, 2)
    points = 2 if shown > 4 else 3
    if shown >= 7:
        points = 1
    return Score(
        sinus_mm,
        points,
        f"{rule}; from 7 mm: 1, above 4 mm: 2, up to 4 mm: 3; published: to the collecting system "
        "or sinus, whichever is nearer; calyces that reach out of the sinus are not labeled",
    )


def _face(anterior: float | None) -> Score:
    """A: anterior, posterior or neither; no points."""
    if anterior is None:
        return Score(None, None, "not given: the kidney's front is not known")
    letter = "a" if anterior >= FACE_SHARE else "x"
    if 1 - anterior >= FACE_SHARE:
        letter = "p"
    return Score(letter, None, FACE_RULE)


def _location(position: LesionPosition, anatomy: Anatomy) -> Score:
    """L: beyond the polar lines, crossing one, or central."""
    rule = (
        f"{anatomy.polar_rule}; up to {POLAR_SHARE:g} of the tumor between the lines: 1, "
        "more: 2, more than 0.5 or across the middle between the lines: 3; as published, but for "
        f"the {POLAR_SHARE:g}, about a voxel, and for the kidney's middle, which is the lines'; "
        "suffix h is not given: it means contact with the main renal artery or vein, which a label "
        "map does not hold"
    )
    if position.interpolar > 0.5 or position.crosses_middle:
        points = 3
    else:
        points = 1 if position.interpolar <= POLAR_SHARE else 2
    return Score(position.interpolar, points, rule)


def _complexity(total: int) -> str:
    """Groups of the total as published."""
    if total <= 6:
        return "low"
    return "moderate" if total <= 9 else "high"
