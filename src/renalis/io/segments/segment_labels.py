"""Which label a segment stands for, by its code or, where that says nothing, by its name.

Codes (SNOMED CT, or the older SRT, DICOM PS3.16): kidney 64033007 (T-71000), also right 9846003
and left 18639004; tumor: neoplasm 108369006 (M-8FFFF), primary 86049000 (M-80003), renal cell
carcinoma 702391001; cyst 367643001 (M-3340A). A tumor or cyst whose anatomic region is another
organ is none of ours. "Mass" and "lesion" may be either tumor or cyst and are therefore unknown.

A name counts when each of its words is known: ``Kidney_L``, ``kidney_cyst_right``, ``Renal tumor
2``. ``Renal pelvis`` or ``Liver tumor`` hold another word and are unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from renalis.conventions import Label

__all__ = ["Code", "Segment", "label_of", "label_of_name", "unknown_note", "words_of"]

Code = tuple[str, str]
"""Coding scheme (``SCT`` or ``SRT``) and value."""

_KIDNEY = frozenset(
    [("SCT", "64033007"), ("SRT", "T-71000"), ("SCT", "9846003"), ("SCT", "18639004")]
)
_LESIONS = {
    ("SCT", "108369006"): Label.TUMOR,
    ("SRT", "M-8FFFF"): Label.TUMOR,
    ("SCT", "86049000"): Label.TUMOR,
    ("SRT", "M-80003"): Label.TUMOR,
    ("SCT", "702391001"): Label.TUMOR,
    ("SCT", "367643001"): Label.CYST,
    ("SRT", "M-3340A"): Label.CYST,
}
_SCHEMES = {"SCT": "SCT", "SRT": "SRT", "SNM3": "SRT", "99SDM": "SRT", "SNOMED": "SRT"}

_KIDNEY_WORDS = frozenset(["kidney", "kidneys", "renal", "ren"])
_LESION_WORDS = {
    "tumor": Label.TUMOR, "tumors": Label.TUMOR, "tumour": Label.TUMOR, "tumours": Label.TUMOR,
    "neoplasm": Label.TUMOR, "rcc": Label.TUMOR, "gtv": Label.TUMOR,
    "cyst": Label.CYST, "cysts": Label.CYST,
}  # fmt: skip
_SIDE_WORDS = frozenset(["left", "right", "l", "r", "lt", "rt", "side", "both", "bilateral"])
_FILLING = frozenset(["segment", "segmentation", "mask", "roi", "and", "with", "of", "the"])


@dataclass(frozen=True)
class Segment:
    """What a file says about one segment.

    Parameters
    ----------
    name : str
        Its name.
    codes : tuple of Code
        Codes of what was segmented.
    regions : tuple of Code
        Codes of the organ that it lies in, where the file tells.
    """

    name: str
    codes: tuple[Code, ...] = ()
    regions: tuple[Code, ...] = ()


def label_of(segment: Segment) -> Label | None:
    """The label that a segment stands for; None if it is none of ours.

    Examples
    --------
    >>> label_of(Segment("Segment_1", (("SCT", "64033007"),)))
    <Label.KIDNEY: 1>
    >>> label_of(Segment("Tumor", (("SCT", "108369006"),), (("SCT", "10200004"),))) is None
    True
    """
    elsewhere = bool(segment.regions) and _KIDNEY.isdisjoint(map(_plain, segment.regions))
    for code in map(_plain, segment.codes):
        if code in _KIDNEY:
            return Label.KIDNEY
        if code in _LESIONS:
            named = words_of(segment.name)
            foreign = not segment.regions and label_of_name(segment.name) is None and named
            return None if elsewhere or foreign else _LESIONS[code]
    return None if elsewhere else label_of_name(segment.name)


def label_of_name(name: str) -> Label | None:
    """The label that a name stands for; None if one of its words is not known.

    Examples
    --------
    >>> label_of_name("kidney_left"), label_of_name("Kidney_Cyst_R"), label_of_name("GTV")
    (<Label.KIDNEY: 1>, <Label.CYST: 3>, <Label.TUMOR: 2>)
    >>> label_of_name("renal pelvis") is None
    True
    """
    words = words_of(name)
    if any(w not in _KIDNEY_WORDS and w not in _LESION_WORDS for w in words):
        return None
    lesions = {_LESION_WORDS[w] for w in words if w in _LESION_WORDS}
    if len(lesions) == 1:
        return next(iter(lesions))
    # "renal" alone is an adjective without its noun.
    named = any(w in _KIDNEY_WORDS and w != "renal" for w in words)
    return Label.KIDNEY if named and not lesions else None


def words_of(name: str) -> list[str]:
    """The words of a name that tell what it is: no sides, no numbers."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = re.findall(r"[^\W\d_]+", spaced.lower())
    return [w for w in words if w not in _SIDE_WORDS | _FILLING]


def unknown_note(segments: Sequence[Segment]) -> tuple[str, ...]:
    """A sentence that names the segments that are not ours; none if there are none."""
    names = [s.name for s in segments if label_of(s) is None]
    if not names:
        return ()
    shown = ", ".join(repr(n[:40]) for n in names[:8]) + (", …" if len(names) > 8 else "")
    return (f"segments that stand for no kidney, tumor or cyst were left out: {shown}",)


def _plain(code: Code) -> Code:
    """A code under one name of its scheme."""
    return _SCHEMES.get(code[0], code[0]), code[1]
