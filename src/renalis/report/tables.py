"""Measurements as the rows and sentences of the report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from renalis.measurement import Kidney, Lesion, Measurements
from renalis.report.findings import short_name

__all__ = [
    "Card",
    "Table",
    "cards",
    "doubted_name",
    "doubts",
    "kidney_name",
    "kidney_table",
    "largest",
    "lesion_table",
    "nephrometry_table",
    "right_first",
    "rules",
    "summary",
]

NONE = "–"
_DECIMALS_OF_LETTERS = (1, 2, 1, 0, 2)
"""R and N in mm, E and L as shares; A is a letter."""
UNSURE, WIDE = 0.65, 2.0
"""Lesions with a mean probability below the first, or a range wider than the second, are noted."""
DOUBTED = 0.6
"""Lesions of which fewer findings alike were right are noted; a quarter of all in
``docs/explanation/confidence.md``."""
DOUBTED_CASE = 0.85
"""Cases of which a smaller Dice is to be expected are noted; a tenth of all there."""
RANGE = "Range: the volume if the network's probability had to be above 0.75, or only above 0.25."


@dataclass(frozen=True)
class Table:
    """A table of words; ``words`` are the columns that are not numbers."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[int, ...] = ()
    jumps: tuple[int | None, ...] = ()
    """For each row the picture of the stack that shows it."""


@dataclass(frozen=True)
class Card:
    """One number of the summary."""

    title: str
    value: str
    detail: str


def kidney_name(kidney: Kidney) -> str:
    """A kidney in words: ``"Right kidney"``, ``"Other kidney 1"``."""
    side, _, number = kidney.id.partition("-")
    return f"{side.capitalize()} kidney {number}".strip()


def doubted_name(kidney: Kidney) -> str:
    """Its name, and that it is doubtful as a kidney where it is: ``"Left kidney (doubtful)"``."""
    return kidney_name(kidney) + ("" if kidney.is_kidney.answer.counts else " (doubtful)")


def summary(measurements: Measurements) -> str:
    """What was found, in one sentence."""
    if not measurements.kidneys and not measurements.lesions:
        return "No kidney, no tumor and no cyst was found in this scan."
    names = [doubted_name(kidney).lower() for kidney in right_first(measurements.kidneys)]
    tumors = [lesion for lesion in measurements.lesions if lesion.kind == "tumor"]
    cysts = [lesion for lesion in measurements.lesions if lesion.kind == "cyst"]
    parts = [_joined(names) if names else "no kidney", _counted(tumors, "tumor")]
    return f"Found: {parts[0]}; {parts[1]}; {_counted(cysts, 'cyst')}."


def cards(measurements: Measurements) -> list[Card]:
    """The numbers that are looked for first."""
    shown = []
    for kidney in right_first(measurements.kidneys):
        detail = f"parenchyma; {kidney.length_mm:.0f} mm long"
        if kidney.location.borders:
            detail += "; cut by the scan's border"
        if not kidney.is_kidney.answer.counts:
            detail += "; doubtful whether it is a kidney"
        shown.append(Card(kidney_name(kidney), f"{kidney.parenchyma_ml:.0f} ml", detail))
    for kind, total in (
        ("tumor", measurements.totals.tumor_ml),
        ("cyst", measurements.totals.cyst_ml),
    ):
        lesions = [lesion for lesion in measurements.lesions if lesion.kind == kind]
        if lesions:
            largest = max(lesions, key=lambda lesion: lesion.volume_ml).diameter_mm
            detail = f"{total:.1f} ml; the largest measures {largest:.0f} mm"
            shown.append(Card(f"{kind.capitalize()}s", str(len(lesions)), detail))
    return shown


def kidney_table(measurements: Measurements) -> Table | None:
    """One row per kidney, or None."""
    if not measurements.kidneys:
        return None
    rows = []
    for kidney in right_first(measurements.kidneys):
        rows.append(
            (
                kidney_name(kidney),
                _sure(kidney),
                _number(kidney.volume_ml),
                _number(kidney.parenchyma_ml),
                _number(kidney.tumor_ml),
                _number(kidney.cyst_ml),
                _range(kidney),
                _number(kidney.length_mm, 0),
                _hu(kidney),
                ", ".join(kidney.location.borders) or "no",
            )
        )
    columns = (
        "Kidney", "Is it one?", "All (ml)", "Parenchyma (ml)", "Tumor (ml)", "Cyst (ml)",
        "Range of all (ml)", "Length (mm)", "Parenchyma (HU)", "Cut by the scan's border",
    )  # fmt: skip
    caption = (
        "Is it one?: by HU in and around it, fat, lungs, and the network's mean probability (in "
        "brackets, not calibrated). "
        f"All = parenchyma + tumor + cyst. {RANGE} Length: largest diameter of the parenchyma. "
        "HU: mean ± standard deviation."
    )
    return Table(caption, columns, tuple(rows), words=(1, 9))


def lesion_table(measurements: Measurements, jumps: Sequence[int | None] = ()) -> Table | None:
    """One row per lesion, or None."""
    if not measurements.lesions:
        return None
    count = measurements.grid.shape[measurements.grid.slice_axis]
    rows = []
    for lesion in measurements.lesions:
        rows.append(
            (
                short_name(lesion),
                str(lesion.kind),
                _where(lesion),
                _number(lesion.volume_ml),
                _range(lesion),
                f"{lesion.axial_mm:.0f} × {lesion.axial_short_mm:.0f}",
                _number(lesion.diameter_mm, 0),
                _percent(lesion.shape.exophytic_fraction),
                _number(lesion.shape.sinus_mm, 0),
                _hu(lesion),
                _right(lesion),
                str(lesion.axial_slice + 1),
            )
        )
    columns = (
        "Name", "Kind", "Where", "Volume (ml)", "Range (ml)", "Axial (mm)", "3D (mm)",
        "Exophytic", "To the sinus (mm)", "HU", "Right in tests",
        f"Slice of {count}",
    )  # fmt: skip
    caption = (
        "Axial: largest diameter in an axial slice and the width across it; 3D: largest diameter "
        f"in any direction. {RANGE} HU: mean ± standard deviation. T1 is tumor-1 "
        "in measurements.json; slices are counted from 1 in the order of the scan's file. "
        "Right in tests: of findings like it, how many touched a tumor or cyst of the reference "
        "where the model was tested; it says nothing about this patient."
    )
    return Table(caption, columns, tuple(rows), words=(1, 2), jumps=tuple(jumps))


def nephrometry_table(measurements: Measurements) -> Table | None:
    """The letters of the R.E.N.A.L. score of each tumor, or None."""
    rows = []
    for lesion in measurements.lesions:
        if lesion.nephrometry is None:
            continue
        score = lesion.nephrometry
        letters = (score.radius, score.exophytic, score.nearness, score.face, score.location)
        cells = [
            _letter(letter.value, letter.points, decimals)
            for letter, decimals in zip(letters, _DECIMALS_OF_LETTERS, strict=True)
        ]
        total = NONE if score.total is None else f"{score.total} ({score.complexity})"
        rows.append((short_name(lesion), *cells, total))
    if not rows:
        return None
    caption = (
        "Points, and in brackets what they are read from (Kutikov and Uzzo, J Urol 2009). "
        "Read by a program from its own outlines; – where geometry cannot tell."
    )
    columns = ("Tumor", "R radius (mm)", "E exophytic", "N nearness (mm)", "A face", "L location")
    return Table(caption, (*columns, "Total"), tuple(rows), words=(1, 2, 3, 4, 5, 6))


def rules(measurements: Measurements) -> list[tuple[str, str]]:
    """How the letters of the R.E.N.A.L. score were read; each rule once, with its tumors."""
    seen: dict[tuple[str, str], list[str]] = {}
    for lesion in measurements.lesions:
        score = lesion.nephrometry
        if score is None:
            continue
        letters = (score.radius, score.exophytic, score.nearness, score.face, score.location)
        for letter, read in zip("RENAL", letters, strict=True):
            seen.setdefault((letter, read.rule), []).append(short_name(lesion))
    ordered = sorted(seen.items(), key=lambda item: "RENAL".index(item[0][0]))
    return [(f"{letter} ({', '.join(names)})", rule) for (letter, rule), names in ordered]


def doubts(measurements: Measurements, others: Sequence[str] = ()) -> list[str]:
    """What is uncertain, as sentences with the tables' names, each once.

    Parameters
    ----------
    measurements : Measurements
        Says what it knows about its own limits.
    others : sequence of str
        What the other rooms had to say, as it is; comes first.
    """
    notes = [*measurements.notes]
    notes += [
        f"kidney {kidney.id} is likely one, although {'; '.join(kidney.is_kidney.reasons)}"
        for kidney in measurements.kidneys
        if kidney.is_kidney.answer == "likely"
    ]
    case = measurements.confidence
    if (
        case is not None
        and case.case_confidence is not None
        and (case.case_confidence < DOUBTED_CASE)
    ):
        notes.append(
            "the kidneys' outline is doubtful: of scans like this one, labels and reference "
            f"overlapped by a Dice of {case.case_confidence:.2f} where the model was tested"
        )
    for lesion in measurements.lesions:
        if lesion.location.borders:
            sides = _joined(lesion.location.borders)
            notes.append(f"{lesion.id} touches the scan's {sides} border and may go on outside")
        sure = lesion.confidence
        right = None if sure is None else sure.lesion_confidence
        if right is not None and right < DOUBTED:
            notes.append(
                f"{lesion.id} is doubtful: about {_right(lesion)} findings like it were lesions "
                "where the model was tested"
            )
        elif right is None and sure is not None and sure.mean_probability < UNSURE:
            notes.append(
                f"{lesion.id} is uncertain: the network's mean probability in it is "
                f"{sure.mean_probability:.2f} (not calibrated)"
            )
        if sure is not None and sure.high_ml > WIDE * sure.low_ml:
            notes.append(
                f"the size of {lesion.id} is uncertain: between {sure.low_ml:.1f} and "
                f"{sure.high_ml:.1f} ml, depending on the threshold"
            )
    names = {lesion.id: short_name(lesion) for lesion in measurements.lesions}
    called = [
        re.sub(r"\b(tumor|cyst)-\d+\b", lambda match: names.get(match[0], match[0]), note)
        for note in notes
    ]
    return list(dict.fromkeys(_sentence(note) for note in (*others, *called) if note.strip()))


def _sentence(note: str) -> str:
    """A note with a capital and a full stop."""
    words = note.strip()
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")


def right_first(kidneys: Sequence[Kidney]) -> list[Kidney]:
    """In the order of the pictures: the patient's right is on the viewer's left."""
    order = {"right": 0, "left": 1}
    return sorted(kidneys, key=lambda kidney: order.get(kidney.id, 2))


def largest(lesions: Sequence[Lesion], most: int) -> list[Lesion]:
    """The largest by volume, in the order of the table."""
    by_size = sorted(lesions, key=lambda lesion: -lesion.volume_ml)[:most]
    return [lesion for lesion in lesions if lesion in by_size]


def _counted(lesions: Sequence[Lesion], kind: str) -> str:
    """``"no cyst"``, ``"1 cyst"``, ``"2 cysts"``."""
    if not lesions:
        return f"no {kind}"
    return f"1 {kind}" if len(lesions) == 1 else f"{len(lesions)} {kind}s"


def _joined(names: Sequence[str]) -> str:
    """Names as in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _where(lesion: Lesion) -> str:
    """Side and pole."""
    side = str(lesion.side) if lesion.kidney is not None else f"{lesion.side}, in no kidney"
    return f"{side}, {lesion.shape.pole}" if lesion.shape.pole is not None else side


def _sure(kidney: Kidney) -> str:
    """Whether it is a kidney, with the network's mean probability."""
    verdict = kidney.is_kidney
    sure = verdict.evidence.mean_probability
    return str(verdict.answer) if sure is None else f"{verdict.answer} ({sure:.2f})"


def _range(structure: Kidney | Lesion) -> str:
    """Volume between a strict and a generous threshold on the network's probability."""
    confidence = structure.confidence
    return NONE if confidence is None else f"{confidence.low_ml:.1f} to {confidence.high_ml:.1f}"


def _right(lesion: Lesion) -> str:
    """``"8 of 10"``: how many findings like it were right; a tenth is as exact as it gets."""
    sure = lesion.confidence
    if sure is None or sure.lesion_confidence is None:
        return NONE
    return f"{round(10 * sure.lesion_confidence)} of 10"


def _hu(structure: Kidney | Lesion) -> str:
    """Mean and standard deviation."""
    intensity = structure.intensity
    if intensity is None:
        return NONE
    return f"{_number(intensity.mean_hu, 0)} ± {_number(intensity.sd_hu, 0)}"


def _number(value: float | None, decimals: int = 1) -> str:
    """A number with fixed decimals; no negative zero."""
    return NONE if value is None else f"{round(value, decimals) + 0.0:.{decimals}f}"


def _percent(value: float | None) -> str:
    """A share in percent."""
    return NONE if value is None else f"{100 * value:.0f} %"


def _letter(value: float | str | None, points: int | None, decimals: int) -> str:
    """Points and value of one letter."""
    shown = value if isinstance(value, str) else _number(value, decimals)
    return shown if points is None else f"{points} ({shown})"
