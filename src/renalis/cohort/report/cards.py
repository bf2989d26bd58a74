"""The most doubtful cases: a picture and the reasons of each, within a bound of bytes."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from renalis.cohort.report.case_facts import case_notes
from renalis.cohort.report.cohort_facts import CohortFacts
from renalis.pipeline.folder import PREVIEW, REPORT, provenance
from renalis.report.thumbnail import thumbnail

__all__ = ["MOST_CARDS", "Card", "cards", "link_to"]

MOST_CARDS = 200
MOST_PICTURE_BYTES = 2_500_000
"""Of all pictures together, as they stand in the page."""
_MOST_REASONS = 4
_MOST_LETTERS = 260


@dataclass(frozen=True)
class Card:
    """One case in the words of the page.

    Attributes
    ----------
    name : str
        Of the case.
    link : str
        Where its report lies; empty without one.
    picture : str
        A ``data:`` address; empty where there is none, or no room for it.
    confidence : str
        Empty without one.
    reasons : tuple of str
        Why to look at it.
    more : int
        Reasons that are left out.
    """

    name: str
    link: str
    picture: str
    confidence: str
    reasons: tuple[str, ...]
    more: int


def cards(
    output: Path,
    cohort: CohortFacts,
    chosen: Sequence[int],
    far: Mapping[int, Sequence[str]],
    preview: Callable[[str], Path] | None = None,
) -> list[Card]:
    """Cards of some cases; pictures as long as there is room.

    Parameters
    ----------
    output : Path
        The cohort's folder.
    cohort : CohortFacts
        All cases.
    chosen : sequence of int
        Indices of cases, at most `MOST_CARDS` are shown.
    far : mapping of int to sequence of str
        By index, sentences about values far from the cohort's.
    preview : callable, optional
        Where a case's picture lies; in its folder if not given.
    """
    preview = preview or (lambda case: output / case / PREVIEW)
    found, left = [], MOST_PICTURE_BYTES
    for index in chosen[:MOST_CARDS]:
        picture = _picture(preview(cohort.names[index]), left)
        left -= len(picture)
        reasons = _reasons(output, cohort, index, far.get(index, ()))
        confidence = cohort.confidence[index]
        found.append(
            Card(
                cohort.names[index],
                link_to(cohort, index),
                picture,
                "" if math.isnan(confidence) else f"{confidence:.3f}",
                tuple(_cut(reason) for reason in reasons[:_MOST_REASONS]),
                max(0, len(reasons) - _MOST_REASONS),
            )
        )
    return found


def link_to(cohort: CohortFacts, index: int) -> str:
    """Where a case's report lies, from the page; empty without one."""
    return f"{quote(cohort.names[index])}/{REPORT}" if cohort.report[index] else ""


def _picture(preview: Path, room: int) -> str:
    small = thumbnail(preview)
    if small is None:
        return ""
    address = "data:image/webp;base64," + base64.b64encode(small).decode("ascii")
    return address if len(address) <= room else ""


def _reasons(output: Path, cohort: CohortFacts, index: int, far: Sequence[str]) -> list[str]:
    kidneys, doubtful = cohort.kidneys[index], cohort.doubtful[index]
    reasons = [] if kidneys else ["no kidney was found"]
    if doubtful:
        reasons.append(f"{doubtful} structure{'s' * (doubtful > 1)} may be no kidney")
    known = provenance(output / cohort.names[index])
    return [*reasons, *far, *(case_notes(known) if known is not None else ())]


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"
