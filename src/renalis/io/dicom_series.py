"""Sort DICOM frames into stacks and choose the abdominal one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from renalis.errors import InputError
from renalis.io.dicom_files import COMPUTED, PROJECTION, Frame, SeriesTags
from renalis.io.dicom_geometry import normal_of, slice_places
from renalis.io.dicom_phases import phases_of
from renalis.io.scan import SeriesSummary, shown
from renalis.io.series_list import choices

__all__ = ["Stack", "choose", "rank_of", "stacks_of", "summary"]


@dataclass(frozen=True)
class Stack:
    """Frames of one series with one size and orientation, at most one phase.

    ``name`` is what ``series=`` accepts.
    """

    name: str
    frames: tuple[Frame, ...]

    @property
    def tags(self) -> SeriesTags:
        """What the frames share."""
        return self.frames[0].series

    @property
    def barred(self) -> str:
        """Why the stack cannot be read; empty if it can."""
        return self.frames[0].barred


def stacks_of(frames: Iterable[Frame]) -> list[Stack]:
    """All stacks among frames: by series, kind, orientation, size, and contrast phase."""
    series: dict[str, list[Frame]] = {}
    for frame in frames:
        series.setdefault(frame.series.uid, []).append(frame)
    numbers = [members[0].series.number for members in series.values()]
    found = []
    for uid, members in sorted(series.items(), key=lambda item: _series_order(item[1][0])):
        number = members[0].series.number
        name = number if number and numbers.count(number) == 1 else uid or "without UID"
        parts = [phase for group in _alike(members) for phase in phases_of(group)]
        parts.sort(key=lambda p: (bool(p[0].barred), bool(p[0].doubt), -len(p)))
        for index, part in enumerate(parts, 1):
            found.append(Stack(name if len(parts) == 1 else f"{name}/{index}", tuple(part)))
    return found


def _series_order(frame: Frame) -> tuple[int, str]:
    number = frame.series.number
    return (int(number) if re.fullmatch(r"-?\d{1,9}", number) else 1 << 30, frame.series.uid)


def _alike(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames that can share a volume: same size, spacing, orientation and kind."""
    groups: list[list[Frame]] = []
    for frame in frames:
        for group in groups:
            if _fits(frame, group[0]):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups


def _fits(one: Frame, two: Frame) -> bool:
    if (one.barred, one.doubt) != (two.barred, two.doubt):
        return False
    if one.barred:
        return True
    return (one.rows, one.columns) == (two.rows, two.columns) and (
        np.allclose(one.orientation, two.orientation, rtol=0, atol=2e-3)
        and np.allclose(one.spacing, two.spacing, rtol=1e-3, atol=0)
    )


_ABDOMEN = re.compile(
    r"(?<!ne)(?<!ple)uro(?!p)|(?<![^\W\d_])urin"  # not neuro, pleuro, Europe or during
    r"|abd|bauch|becken|pelvi|kidney|renal|nier|rein|liver|leber|hepat|foie|bladder"
    r"|pancr|\b[ctn]?[ct]ap\b|\bkub\b|ovary|prostat|adrenal|trunk|torso|whole ?body|ganzk",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"head|brain|skull|neck|cerv|kopf|hals|sch(ä|ae)del|sinus|orbit|face|dental|temporal|carotid"
    r"|neuro|crani(?!o.?caud)|knee|ankle|foot|\bhand\b|wrist|elbow|shoulder|femur|tibia|extremit",
    re.IGNORECASE,
)
_CHEST = re.compile(r"chest|thorax|thorac|torax|brust|heart|herz|cardiac", re.IGNORECASE)
_SHARP_KERNEL = re.compile(r"bone|lung|edge|^b[lr]?[6-9]\d", re.IGNORECASE)
_SHARP = re.compile(r"lung|pulm|bone|knochen|\boss|spine|\bedge\b", re.IGNORECASE)
_PROJECTED = re.compile(r"\b(mip|minip|vrt|3d|scout|topogram|surview|loc|smart ?prep)\b", re.I)

_REASONS = (
    "", "a projection or scout by its name", "not axial", "another region of the body by its name",
    "covers less than 100 mm", COMPUTED, "does not say that it shows the abdomen",
    "made for lung or bone by its name or kernel", "fewer slices",
    "as long, but with a higher number",
)  # fmt: skip


def rank_of(stack: Stack) -> tuple[float, ...]:
    """What is compared between stacks, most important first; larger is better."""
    frame = stack.frames[0]
    if stack.barred:
        return (0,)
    distances = slice_places(stack.frames)
    description = stack.tags.description
    where = description if _ELSEWHERE.search(description) else stack.tags.descriptions
    if _CHEST.search(description) and not _ABDOMEN.search(description):
        abdomen = 0
    else:
        abdomen = 2 if _ABDOMEN.search(stack.tags.descriptions) else 1
    return (
        1,
        not (frame.doubt == PROJECTION or _PROJECTED.search(description)),
        abs(normal_of(frame)[2]) > 0.8,
        not _ELSEWHERE.search(where) or bool(_ABDOMEN.search(where)),
        float(np.ptp(distances)) >= 100,
        frame.doubt != COMPUTED,
        abdomen,
        not (_SHARP.search(description) or _SHARP_KERNEL.search(frame.kernel)),
        len({round(float(d), 2) for d in distances}),
    )


def choose(stacks: Sequence[Stack], series: str | None, place: str) -> tuple[Stack, list[str]]:
    """The stack to read and, for each other one, why not.

    Parameters
    ----------
    stacks : sequence of Stack
        All that were found.
    series : str or None
        UID, name, number or description of the wanted series; None chooses the axial abdominal
        stack with the most slices.
    place : str
        The folder or zip, for messages.

    Returns
    -------
    stack : Stack
        The choice.
    remarks : list of str
        One for each stack, empty for the choice.

    Raises
    ------
    InputError
        If there is no readable CT, or ``series`` matches none or more than one.
    """
    if series is not None:
        stack = _wanted(stacks, series.strip(), place)
        return stack, ["" if s is stack else s.barred or "not asked for" for s in stacks]
    ranks = [rank_of(stack) for stack in stacks]
    best = max(range(len(stacks)), key=lambda i: (ranks[i], -i))
    if stacks[best].barred:
        raise InputError(_no_ct(stacks, place))
    remarks = []
    for stack, rank in zip(stacks, ranks, strict=True):
        worse = next(
            (i for i, (a, b) in enumerate(zip(rank, ranks[best], strict=False)) if a < b), -1
        )
        remarks.append(stack.barred or _REASONS[worse])
    remarks[best] = ""
    return stacks[best], remarks


def _wanted(stacks: Sequence[Stack], series: str, place: str) -> Stack:
    low = series.casefold()
    tests: tuple[Callable[[Stack], bool], ...] = (
        lambda s: s.name == series,
        lambda s: s.tags.uid == series,
        lambda s: s.tags.number == series,
        lambda s: s.tags.description.casefold() == low,
        lambda s: low in s.tags.description.casefold(),
        lambda s: s.name.startswith(f"{series}/"),
    )
    listed = choices(
        [summary(s) for s in stacks if not s.barred],
        [summary(s, s.barred) for s in stacks if s.barred],
    )
    for test in tests:
        matches = [s for s in stacks if test(s)]
        readable = [s for s in matches if not s.barred]
        if len({s.tags.uid for s in readable}) > 1:
            raise InputError(
                f"{place} has several series that match {shown(series)!r}; "
                f"name one by its number or UID: {listed}"
            )
        if readable:
            return max(readable, key=lambda s: (rank_of(s), -stacks.index(s)))
        if matches:
            raise InputError(
                f"{place}: {summary(matches[0])} cannot be read ({matches[0].barred}); "
                f"choose another one: {listed}"
            )
    raise InputError(f"{place} has no series {shown(series)!r}; it has: {listed}")


def _no_ct(stacks: Sequence[Stack], place: str) -> str:
    """The sentence for a place without any CT volume."""
    modalities = sorted({s.tags.modality for s in stacks})
    if "CT" not in modalities:
        named = ", ".join(shown(m, 16) for m in modalities if m)
        images = f"{named} images" if named else "images that do not say their modality"
        return f"{place} holds {images} and no CT; renalis reads CT only"
    scans = [s for s in stacks if s.tags.modality == "CT"]
    advice = "give the series with the axial slices"
    if any(s.frames[0].lost for s in scans):
        advice = "export the series again, best from the archive that it came from"
    why = sorted({s.barred for s in scans})
    return f"{place} holds no CT volume ({', '.join(why)}); {advice}"


_PHASES = (
    ("unenhanced", r"unenh|non.?con|without|\bplain\b|nativ|\bohne\b|\bncct\b|w/?o\b(?!.*with\b)"),
    ("corticomedullary", r"cortico|arteri"),
    ("nephrographic", r"nephrogr|portal|ven(ous|ös|oes|a\b)|\bp\.?v\.?p?\b"),
    ("excretory", r"excret|urogra|delay|\bsp(ä|ae)t"),
)


def summary(stack: Stack, remark: str = "") -> SeriesSummary:
    """A stack in words."""
    tags = stack.tags
    phase = next((p for p, words in _PHASES if re.search(words, tags.description, re.I)), "")
    if not phase and tags.agent and not re.search(r"\b(no|none)\b", tags.agent, re.I):
        phase = "contrast-enhanced"
    return SeriesSummary(
        name=stack.name,
        uid=tags.uid,
        description=shown(tags.description, 64),
        modality=tags.modality,
        slice_count=len(stack.frames),
        phase=phase,
        remark=remark,
        spacing_mm=_spacing(stack),
        kernel=shown(stack.frames[0].kernel, 32),
    )


def _spacing(stack: Stack) -> tuple[float, ...]:
    """Distance of columns, rows and slices in mm; empty where there are no slices at distances."""
    rows, columns = stack.frames[0].spacing or (0.0, 0.0)
    if stack.barred or len(stack.frames) < 2:
        return ()
    gaps = np.diff(np.sort(slice_places(stack.frames)))
    gaps = gaps[gaps > 0.01]
    if not len(gaps):
        return ()
    return (columns, rows, round(float(np.median(gaps)), 4))
