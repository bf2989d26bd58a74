"""The regions that are scored, and which of them a file can express.

A label map is read in the convention it was written in and scored in another. Nothing is guessed:
a region is scored only where both files can express it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from renalis.conventions import REGIONS, Convention, Label, translation

__all__ = ["Region", "Side", "expressed", "mapping", "regions"]


class Side(StrEnum):
    """Half of the patient that a region is restricted to."""

    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True)
class Region:
    """A named union of labels that is scored as one mask.

    Parameters
    ----------
    name : str
        Name in tables.
    values : frozenset of int
        Label values, in the convention that is scored.
    tolerance_mm : float
        Tolerance of the surface Dice.
    headline : bool
        Whether the region is a column of ``metrics.csv``.
    side : Side or None
        Restricts the region to one half of the patient.
    lesions : bool
        Whether the region consists of lesions that are detected one by one.
    """

    name: str
    values: frozenset[int]
    tolerance_mm: float
    headline: bool = True
    side: Side | None = None
    lesions: bool = False


# Tolerances of the KiTS21 and KiTS23 challenges (their configuration/labels.py), derived there
# from the distance between annotators. KiTS has none for single labels: cysts and abnormalities
# take that of masses, parenchyma and single kidneys that of the kidney.
_KIDNEY_MM = 1.0330772532390826
_MASSES_MM = 1.1328796488598762
_TUMOR_MM = 1.1498198361434828
_TOLERANCES_MM = {
    "kidney": _KIDNEY_MM,
    "parenchyma": _KIDNEY_MM,
    "masses": _MASSES_MM,
    "abnormality": _MASSES_MM,
    "tumor": _TUMOR_MM,
    "cyst": _MASSES_MM,
}

_SCORED_BY = {
    Convention.KITS19: ("kidney", "tumor"),
    Convention.KITS23: ("kidney", "masses", "tumor", "cyst"),
    Convention.RADBOUD: ("kidney", "parenchyma", "abnormality"),
}
_NO_HEADLINE = ("cyst",)


def regions(convention: Convention) -> tuple[Region, ...]:
    """The regions that a convention is scored by, the headline ones first.

    Examples
    --------
    >>> [r.name for r in regions(Convention.KITS23) if r.headline]
    ['kidney', 'masses', 'tumor']
    """
    named = tuple(
        Region(
            name,
            convention.region(name) or frozenset(),
            _TOLERANCES_MM[name],
            headline=name not in _NO_HEADLINE,
            lesions=Label.KIDNEY not in REGIONS[name],
        )
        for name in _SCORED_BY[convention]
    )
    everything = convention.region("kidney") or frozenset()
    sides = tuple(
        Region(f"{side.value}_kidney", everything, _KIDNEY_MM, headline=False, side=side)
        for side in Side
    )
    return named + sides


def mapping(written: Convention, scored: Convention) -> tuple[NDArray[np.uint8], frozenset[str]]:
    """How to read a file of one convention in another.

    Returns
    -------
    table : ndarray of uint8, shape (256,)
        New value for each stored value; 255 marks values that the file's convention lacks.
    names : frozenset of str
        Names of the regions that the file can express.

    Examples
    --------
    >>> table, names = mapping(Convention.KITS23, Convention.KITS19)
    >>> int(table[3]), "masses" in names
    (1, False)
    """
    table = np.full(256, 255, dtype=np.uint8)
    table[0] = 0
    for old, new in translation(written, scored).items():
        table[old] = new
    names = (r.name for r in regions(scored) if r.side or written.region(r.name) is not None)
    return table, frozenset(names)


def expressed(known: frozenset[Label], scored: Convention) -> frozenset[str]:
    """Names of the regions that a file can express which says nothing of some labels.

    Parameters
    ----------
    known : frozenset of Label
        Labels that the file has segments for.
    scored : Convention
        Convention of the score.

    Examples
    --------
    >>> sorted(expressed(frozenset({Label.KIDNEY, Label.CYST}), Convention.KITS23))
    ['cyst', 'kidney', 'left_kidney', 'right_kidney']
    """
    # A kidney is one with or without its lesions; what is parenchyma only lesions tell.
    needed = REGIONS | {"kidney": REGIONS["parenchyma"], "parenchyma": REGIONS["kidney"]}
    kidney = frozenset({Label.KIDNEY})
    return frozenset(r.name for r in regions(scored) if needed.get(r.name, kidney) <= known)
