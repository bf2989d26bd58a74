"""Label conventions: what the values in a label map mean, and the regions that are unions of them.

Every convention is described by the three labels of KiTS23, which tell most apart: a class of
another convention is the union of some of them. What one convention can express of another follows
from that, and nothing is guessed: the kidney of KiTS19 holds cysts, so that neither cysts nor
masses can be told from a KiTS19 file.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Literal, NamedTuple

from renalis.errors import UsageError

__all__ = [
    "REGIONS",
    "SCORED",
    "Classes",
    "Convention",
    "Label",
    "LabelClass",
    "ScoredName",
    "convention",
    "translation",
]


class Label(IntEnum):
    """Voxel values that renalis writes: the KiTS23 convention."""

    BACKGROUND = 0
    KIDNEY = 1
    TUMOR = 2
    CYST = 3


Classes = tuple[frozenset[int], ...]
"""What the classes of a label map or a network stand for, background left out: the KiTS23 labels
whose union each is."""

_PARENCHYMA = frozenset({Label.KIDNEY})
_TUMOR = frozenset({Label.TUMOR})
_CYST = frozenset({Label.CYST})

REGIONS: dict[str, frozenset[Label]] = {
    "kidney": _PARENCHYMA | _TUMOR | _CYST,
    "parenchyma": _PARENCHYMA,
    "masses": _TUMOR | _CYST,
    "abnormality": _TUMOR | _CYST,
    "tumor": _TUMOR,
    "cyst": _CYST,
}
"""Named unions of labels. *Kidney* always means everything renal; *masses* of KiTS23 and
*abnormality* of Radboud are the same thing."""


class LabelClass(NamedTuple):
    """One value of a convention.

    Attributes
    ----------
    name : str
        What the convention calls it.
    value : int
        Value in label maps.
    labels : frozenset of Label
        The labels whose union it is.
    """

    name: str
    value: int
    labels: frozenset[Label]


class Convention(StrEnum):
    """What the values in a label map mean."""

    KITS19 = "kits19"
    """KiTS 2019: 1 kidney with its cysts, 2 tumor."""
    KITS23 = "kits23"
    """KiTS 2021 and 2023: 1 kidney, 2 tumor, 3 cyst."""
    RADBOUD = "radboud"
    """Radboud kidney abnormality data: 1 parenchyma, 2 abnormality (tumor or cyst)."""
    TOTALSEGMENTATOR = "totalsegmentator"
    """The task ``total`` of TotalSegmentator 2: 2 right kidney, 3 left kidney, 23 and 24 their
    cysts, 1 to 117 other organs; in version 1, 23 and 24 are vertebrae. Files may be written in it;
    nothing is scored in it."""

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """The renal classes, background left out."""
        return _CLASSES[self.value]

    @property
    def values(self) -> dict[str, int]:
        """Name and value of each class."""
        return {one.name: one.value for one in self.classes}

    @property
    def label_sets(self) -> Classes:
        """The labels that each class stands for."""
        return tuple(one.labels for one in self.classes)

    def holding(self, label: Label) -> tuple[int, ...]:
        """The values whose class holds a label.

        >>> Convention.KITS19.holding(Label.CYST), Convention.TOTALSEGMENTATOR.holding(Label.KIDNEY)
        ((1,), (2, 3))
        """
        return tuple(one.value for one in self.classes if label in one.labels)

    def region(self, name: str) -> frozenset[int] | None:
        """The values whose union is a region of `REGIONS`; None if no union of them is.

        >>> sorted(Convention.KITS23.region("masses")), Convention.KITS19.region("masses")
        ([2, 3], None)
        """
        wanted = REGIONS[name]
        within = [one for one in self.classes if one.labels <= wanted]
        found: frozenset[Label] = frozenset().union(*(one.labels for one in within))
        return frozenset(one.value for one in within) if found == wanted else None


_CLASSES: dict[str, tuple[LabelClass, ...]] = {
    "kits19": (
        LabelClass("kidney", 1, _PARENCHYMA | _CYST),
        LabelClass("tumor", 2, _TUMOR),
    ),
    "kits23": (
        LabelClass("kidney", 1, _PARENCHYMA),
        LabelClass("tumor", 2, _TUMOR),
        LabelClass("cyst", 3, _CYST),
    ),
    "radboud": (
        LabelClass("parenchyma", 1, _PARENCHYMA),
        LabelClass("abnormality", 2, _TUMOR | _CYST),
    ),
    "totalsegmentator": (
        LabelClass("kidney_right", 2, _PARENCHYMA | _TUMOR),
        LabelClass("kidney_left", 3, _PARENCHYMA | _TUMOR),
        LabelClass("kidney_cyst_left", 23, _CYST),
        LabelClass("kidney_cyst_right", 24, _CYST),
    ),
}
_OTHER_ORGANS = {"totalsegmentator": range(1, 118)}

ScoredName = Literal["kits19", "kits23", "radboud"]
"""Names of the conventions that label maps are scored, trained and written in."""
SCORED = (Convention.KITS19, Convention.KITS23, Convention.RADBOUD)


def translation(written: Convention, wanted: Convention) -> dict[int, int]:
    """The value of one convention for each value of another, as near as it comes.

    A class that the other convention divides becomes what holds its first label: the kidney of
    KiTS19, with its cysts, a kidney, and an abnormality a tumor. Which regions survive is
    `Convention.region` of what was written.

    Parameters
    ----------
    written : Convention
        Convention of the file.
    wanted : Convention
        Convention of the result, one of `SCORED`.

    Examples
    --------
    >>> translation(Convention.KITS23, Convention.RADBOUD)
    {1: 1, 2: 2, 3: 2}
    """
    table = dict.fromkeys(_OTHER_ORGANS.get(written.value, ()), 0)
    for one in written.classes:
        table[one.value] = wanted.holding(min(one.labels))[0]
    return table


def convention(name: str) -> Convention:
    """The convention of that name; UsageError names the known ones otherwise."""
    try:
        return Convention(name)
    except ValueError:
        known = ", ".join(c.value for c in Convention)
        raise UsageError(f"there is no label convention {name!r}; known are {known}") from None
