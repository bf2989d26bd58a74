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
from renalis.measurement.frame import STEP_MM
from renalis.measurement.results import Nephrometry, Pole, Score, Shape

__all__ = ["Seat", "nephrometry", "seat_of", "shape_of"]

ENDOPHYTIC = 0.05
"""Up to this share outside counts as entirely endophytic: the contour is known to about a voxel."""
POLAR_SHARE = 0.05
"""Up to this share between the polar lines counts as entirely polar, for the same reason."""
FACE_SHARE = 2 / 3

EXOPHYTIC_RULE = (
    "share of the lesion outside the convex hull of the kidney's parenchyma, on a 1.5 mm grid"
)
SINUS_RULE = (
    "shortest distance from the lesion to the renal sinus, taken as the largest pocket between "
    "the kidney and the convex hull of its parenchyma on the side of the midline"
)
RADIUS_RULE = "largest diameter in any direction; up to 40 mm: 1, below 70 mm: 2, from 70 mm: 3"
FACE_RULE = (
    "a (anterior) or p (posterior) when at least two thirds of the tumor lie on that side of the "
    "plane through the kidney's long axis and hilum, otherwise x"
)


@dataclass(frozen=True)
class Seat:
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


def seat_of(lesion: NDArray[np.intp], anatomy: Anatomy) -> Seat:
    """Read a lesion's seat off the frame.

    Parameters
    ----------
    lesion : ndarray, shape (N, 3), int
        Indices of its voxels on the anatomy's frame; not empty.
    anatomy : Anatomy
        Of its kidney.
    """
    where = anatomy.frame.world(lesion) - anatomy.center
    along = where @ anatomy.axis
    lower, upper = anatomy.polar
    middle = (lower + upper) / 2
    ends = np.percentile(along, [5, 95])
    inside = anatomy.contour[tuple(lesion.T)]
    sinus_mm = None
    if anatomy.sinus_mm is not None:
        # Between voxel centers; the surfaces are half a voxel nearer on either side.
        sinus_mm = max(0.0, float(anatomy.sinus_mm[tuple(lesion.T)].min()) - STEP_MM)
    anterior = None
    if anatomy.front is not None:
        anterior = float((where @ anatomy.front > 0).mean())
    return Seat(
        exophytic=float(1 - inside.mean()),
        sinus_mm=sinus_mm,
        center_mm=float(along.mean()),
        interpolar=float(((along > lower) & (along < upper)).mean()),
        crosses_middle=bool(ends[0] < middle < ends[1]),
        anterior=anterior,
    )


def shape_of(seat: Seat | str, anatomy: Anatomy | None) -> Shape:
    """Pole, exophytic fraction and distance to the sinus, each with its rule."""
    if isinstance(seat, str) or anatomy is None:
        why = seat if isinstance(seat, str) else "not given"
        return Shape(None, None, None, why, why, why)
    lower, upper = anatomy.polar
    if seat.center_mm > upper:
        pole = Pole.UPPER
    elif seat.center_mm < lower:
        pole = Pole.LOWER
    else:
        pole = Pole.INTERPOLAR
    sinus_rule = SINUS_RULE if seat.sinus_mm is not None else "not given: no hilum was seen"
    return Shape(
        pole,
        seat.exophytic,
        seat.sinus_mm,
        f"the lesion's center against {anatomy.polar_rule}",
        EXOPHYTIC_RULE,
        sinus_rule,
    )


def nephrometry(diameter_mm: float, seat: Seat | str, anatomy: Anatomy | None) -> Nephrometry:
    """The R.E.N.A.L. letters that geometry can give.

    Parameters
    ----------
    diameter_mm : float
        Largest diameter of the tumor.
    seat : Seat or str
        Its seat, or the sentence that says why it is unknown.
    anatomy : Anatomy or None
        Of its kidney.
    """
    radius = Score(diameter_mm, _radius_points(diameter_mm), RADIUS_RULE)
    if isinstance(seat, str) or anatomy is None:
        why = Score(None, None, seat if isinstance(seat, str) else "not given")
        return Nephrometry(radius, why, why, why, why, None, None)
    scores = (
        radius,
        _exophytic(seat.exophytic),
        _nearness(seat.sinus_mm),
        _location(seat, anatomy),
    )
    points = [score.points for score in scores]
    total = None if None in points else sum(point for point in points if point is not None)
    return Nephrometry(
        radius=scores[0],
        exophytic=scores[1],
        nearness=scores[2],
        face=_face(seat.anterior),
        location=scores[3],
        total=total,
        complexity=None if total is None else _complexity(total),
    )


def _radius_points(diameter_mm: float) -> int:
    """R: at most 4 cm, more than 4 and less than 7 cm, at least 7 cm."""
    if diameter_mm <= 40:
        return 1
    return 2 if diameter_mm < 70 else 3


def _exophytic(share: float) -> Score:
    """E: at least half exophytic, less than half, entirely endophytic."""
    points = 1 if share >= 0.5 else 2
    if share <= ENDOPHYTIC:
        points = 3
    return Score(
        share,
        points,
        f"{EXOPHYTIC_RULE}; at least 0.5: 1, below: 2, up to {ENDOPHYTIC:g}: 3",
    )


def _nearness(sinus_mm: float | None) -> Score:
    """N: at least 7 mm, 4 to 7 mm, at most 4 mm from sinus or collecting system."""
    if sinus_mm is None:
        return Score(None, None, "not given: no hilum was seen")
    points = 2 if sinus_mm > 4 else 3
    if sinus_mm >= 7:
        points = 1
    return Score(sinus_mm, points, f"{SINUS_RULE}; from 7 mm: 1, above 4 mm: 2, up to 4 mm: 3")


def _face(anterior: float | None) -> Score:
    """A: anterior, posterior or neither; no points."""
    if anterior is None:
        return Score(None, None, "not given: the kidney's front is not known")
    letter = "a" if anterior >= FACE_SHARE else "x"
    if 1 - anterior >= FACE_SHARE:
        letter = "p"
    return Score(letter, None, FACE_RULE)


def _location(seat: Seat, anatomy: Anatomy) -> Score:
    """L: beyond the polar lines, crossing one, or central."""
    rule = (
        f"{anatomy.polar_rule}; up to {POLAR_SHARE:g} of the tumor between the lines: 1, "
        "more: 2, more than 0.5 or across the middle between the lines: 3; "
        "contact with the main vessels (suffix h) cannot be told"
    )
    if seat.interpolar > 0.5 or seat.crosses_middle:
        points = 3
    else:
        points = 1 if seat.interpolar <= POLAR_SHARE else 2
    return Score(seat.interpolar, points, rule)


def _complexity(total: int) -> str:
    """Groups of the total as published."""
    if total <= 6:
        return "low"
    return "moderate" if total <= 9 else "high"
