"""Label conventions, what one can express of another, and the regions that are scored.

A label map is read in the convention it was written in and scored in another. Nothing is guessed:
a region is scored only where both files can express it. A KiTS19 file, for example, counts cysts
as kidney, so neither cysts nor masses can be scored from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from renalis.errors import UsageError
from renalis.labels import KITS19, KITS23, RADBOUD, TOTALSEGMENTATOR, Label

__all__ = ["Convention", "Region", "Side", "expressed", "mapping", "regions"]


class Convention(StrEnum):
    """What the values in a label map mean."""

    KITS19 = "kits19"
    """1 kidney with its cysts, 2 tumor."""
    KITS23 = "kits23"
    """1 kidney, 2 tumor, 3 cyst."""
    RADBOUD = "radboud"
    """1 parenchyma, 2 abnormality (tumor or cyst)."""
    TOTALSEGMENTATOR = "totalsegmentator"
    """2 right kidney, 3 left kidney, 23 and 24 their cysts, 1 to 117 other organs. Files may be
    written in it; nothing is scored in it."""

    @property
    def values(self) -> dict[str, int]:
        """Name and value of each label."""
        return {
            "kits19": KITS19,
            "kits23": KITS23,
            "radboud": RADBOUD,
            "totalsegmentator": TOTALSEGMENTATOR,
        }[self.value]


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


def regions(convention: Convention) -> tuple[Region, ...]:
    """The regions that a convention is scored by, the headline ones first.

    Examples
    --------
    >>> [r.name for r in regions(Convention.KITS23) if r.headline]
    ['kidney', 'masses', 'tumor']
    """
    everything = frozenset(convention.values.values())
    two = frozenset({2})
    named: tuple[Region, ...]
    if convention is Convention.KITS23:
        named = (
            Region("kidney", everything, _KIDNEY_MM),
            Region("masses", frozenset({2, 3}), _MASSES_MM, lesions=True),
            Region("tumor", two, _TUMOR_MM, lesions=True),
            Region("cyst", frozenset({3}), _MASSES_MM, headline=False, lesions=True),
        )
    elif convention is Convention.KITS19:
        named = (
            Region("kidney", everything, _KIDNEY_MM),
            Region("tumor", two, _TUMOR_MM, lesions=True),
        )
    else:
        named = (
            Region("kidney", everything, _KIDNEY_MM),
            Region("parenchyma", frozenset({1}), _KIDNEY_MM),
            Region("abnormality", two, _MASSES_MM, lesions=True),
        )
    sides = tuple(
        Region(f"{side.value}_kidney", everything, _KIDNEY_MM, headline=False, side=side)
        for side in Side
    )
    return named + sides


# (written in, scored in): value to value, and the regions that survive. Kidney always means
# everything renal. "masses" of KiTS23 and "abnormality" of Radboud are the same thing.
_KIDNEYS = frozenset({"kidney", "left_kidney", "right_kidney"})
_OTHER_ORGANS = dict.fromkeys(range(1, 118), 0)
_MAPPINGS: dict[tuple[str, str], tuple[dict[int, int], frozenset[str]]] = {
    ("kits19", "kits23"): ({1: 1, 2: 2}, _KIDNEYS | {"tumor"}),
    ("kits19", "radboud"): ({1: 1, 2: 2}, _KIDNEYS),
    ("kits23", "kits19"): ({1: 1, 2: 2, 3: 1}, _KIDNEYS | {"tumor"}),
    ("kits23", "radboud"): ({1: 1, 2: 2, 3: 2}, _KIDNEYS | {"parenchyma", "abnormality"}),
    ("radboud", "kits19"): ({1: 1, 2: 2}, _KIDNEYS),
    ("radboud", "kits23"): ({1: 1, 2: 2}, _KIDNEYS | {"masses"}),
    ("totalsegmentator", "kits19"): (_OTHER_ORGANS | {2: 1, 3: 1, 23: 1, 24: 1}, _KIDNEYS),
    ("totalsegmentator", "kits23"): (
        _OTHER_ORGANS | {2: 1, 3: 1, 23: 3, 24: 3},
        _KIDNEYS | {"cyst"},
    ),
    ("totalsegmentator", "radboud"): (_OTHER_ORGANS | {2: 1, 3: 1, 23: 2, 24: 2}, _KIDNEYS),
}


def mapping(written: Convention, scored: Convention) -> tuple[NDArray[np.uint8], frozenset[str]]:
    """How to read a file of one convention in another.

    Parameters
    ----------
    written : Convention
        Convention of the file.
    scored : Convention
        Convention of the score.

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
    if written is scored:
        for value in written.values.values():
            table[value] = value
        return table, frozenset(r.name for r in regions(scored))
    values, names = _MAPPINGS[written.value, scored.value]
    for old, new in values.items():
        table[old] = new
    return table, names


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
    lesions = frozenset({Label.TUMOR, Label.CYST})
    needed: dict[str, frozenset[Label]] = {
        "tumor": frozenset({Label.TUMOR}),
        "cyst": frozenset({Label.CYST}),
        "masses": lesions,
        "abnormality": lesions,
        "parenchyma": lesions | {Label.KIDNEY},
    }
    kidney = frozenset({Label.KIDNEY})
    return frozenset(r.name for r in regions(scored) if needed.get(r.name, kidney) <= known)


def convention(name: str) -> Convention:
    """The convention of that name; UsageError names the known ones otherwise."""
    try:
        return Convention(name)
    except ValueError:
        known = ", ".join(c.value for c in Convention)
        raise UsageError(f"there is no label convention {name!r}; known are {known}") from None
