"""A list of series as a user can choose from it: described, and without what is no choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from renalis.io.scan import SeriesSummary

__all__ = ["SCRAP", "choices", "grouped"]

SCRAP = 3
"""Images of a stack that is no volume: bolus tracking, a stray slice."""
_MOST_SHOWN = 30


def grouped(series: Sequence[SeriesSummary]) -> list[SeriesSummary]:
    """Series with the scraps of each as one: eight slices of a bolus tracking are one entry.

    Parameters
    ----------
    series : sequence of SeriesSummary
        All stacks of a study, those of one series under one UID.

    Returns
    -------
    list of SeriesSummary
        In the same order; a group stands where its first stack stood, and its name without
        ``/1`` chooses among the series' stacks.
    """
    scraps: dict[tuple[str, str], list[SeriesSummary]] = {}
    for one in series:
        if one.slice_count <= SCRAP and "/" in one.name:
            scraps.setdefault((one.uid, one.modality), []).append(one)
    found: list[SeriesSummary] = []
    for one in series:
        group = scraps.get((one.uid, one.modality), []) if "/" in one.name else []
        if one not in group or len(group) == 1:
            found.append(one)
        elif one is group[0]:
            found.append(_as_one(group))
    return found


def _as_one(group: Sequence[SeriesSummary]) -> SeriesSummary:
    """Stacks of few images as one entry."""
    images = sum(one.slice_count for one in group)
    remarks = dict.fromkeys(one.remark for one in group if one.remark)
    what = f"{len(group)} stacks of at most {max(one.slice_count for one in group)} images"
    return replace(
        group[0],
        name=group[0].name.rpartition("/")[0],
        slice_count=images,
        spacing_mm=(),
        remark="; ".join([what, *remarks]),
    )


def choices(readable: Sequence[SeriesSummary], others: Sequence[SeriesSummary]) -> str:
    """What ``series=`` can choose, described, and in short what it cannot.

    Parameters
    ----------
    readable : sequence of SeriesSummary
        Stacks that can be read.
    others : sequence of SeriesSummary
        What cannot be, each with the reason as remark.
    """
    worth = [one for one in grouped(readable) if one.slice_count > SCRAP and one.spacing_mm]
    rest = [one for one in grouped(readable) if one not in worth]
    shown = [one.described for one in (worth or rest)[:_MOST_SHOWN]]
    left = (rest if worth else []) + grouped(others)
    if not left:
        return "; ".join(shown)
    reasons = dict.fromkeys(one.remark.partition(";")[0] or "too few images" for one in left)
    named = ", ".join(dict.fromkeys(one.name for one in left[:_MOST_SHOWN]))
    return "; ".join([*shown, f"and no volumes ({', '.join(reasons)}): {named}"])
