"""What exporters break and other values in the headers make good again.

Nothing is guessed: where the values do not agree, the frames are barred with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from renalis.io.dicom_files import Frame
from renalis.io.dicom_geometry import normal_of, slice_places

__all__ = ["repaired"]

_SAME = 0.01  # mm
_FEWEST = 3  # two images in one place, or in two series, are no sign of anything
_ENDS = {"HF": (1, "head"), "FF": (-1, "feet")}  # by the first letters of PatientPosition
_TOLERANCE_MM = 0.1  # SliceLocation is written with one decimal at least


def repaired(frames: Sequence[Frame], size: Callable[[str], int]) -> list[Frame]:
    """Frames without copies, in the series and at the places that they belong to.

    Parameters
    ----------
    frames : sequence of Frame
        All of a place.
    size : callable
        Bytes of a file by its name.

    Returns
    -------
    list of Frame
        ``copies`` and ``mended`` say what was done, ``barred`` what could not be done.
    """
    single = _without_copies(frames, size)
    joined = _rejoined(single)
    return [frame for group in _grouped(joined, _stack_key) for frame in _placed(group)]


def _without_copies(frames: Sequence[Frame], size: Callable[[str], int]) -> list[Frame]:
    """One frame of those with one SOPInstanceUID, place and scale: copies of a file.

    A copy that was cut short has lost some of its bytes, so the largest file is taken.
    """

    def key(frame: Frame) -> Hashable:
        tags = frame.series
        same = (frame.rows, frame.columns, frame.position, frame.location, frame.instance)
        scale = (frame.slope, frame.intercept, frame.barred)
        return tags.study, tags.owner, tags.uid, frame.sop_instance, frame.frame, same, scale

    kept = [frame for frame in frames if not frame.sop_instance]
    for group in _grouped((f for f in frames if f.sop_instance), key):
        best = group[0]
        if len(group) > 1:
            best = replace(max(group, key=lambda f: size(f.file)), copies=len(group) - 1)
        kept.append(best)
    return kept


def _rejoined(frames: Sequence[Frame]) -> list[Frame]:
    """Put together what has several SeriesInstanceUIDs or StudyInstanceUIDs, as one per slice."""
    found = _gathered(frames, lambda f: (f.series.study, f.series.uid), "SeriesInstanceUID")
    return _gathered(found, lambda f: f.series.study, "StudyInstanceUID")


def _gathered(frames: Sequence[Frame], uid: Callable[[Frame], Hashable], name: str) -> list[Frame]:
    """Give frames of one stack that have several UIDs those of the first.

    They are one if they agree in what else a series shares, and if positions (or SliceLocation,
    see `_placed`) rise or fall evenly with InstanceNumber, on from one UID to the next.
    """
    found = [frame for frame in frames if frame.barred]
    for group in _grouped((f for f in frames if not f.barred), lambda f: _kind_key(f, name)):
        parts = _grouped(group, uid)
        single = [part[0] for part in parts if len(part) == 1]
        if len(parts) == 1 or len(group) < _FEWEST:
            found += group
        elif len(single) == len(parts):
            found += _of_one_stack(group, f"each of {len(group)} slices has a {name} of its own")
        else:
            what = f"{len(group)} slices of one stack have {len(parts)} different {name}s"
            joined = _of_one_stack(group, what)
            if not joined[0].barred:
                found += joined
                continue
            found += [f for part in parts if len(part) > 1 for f in part]
            what = f"each of {len(single)} slices has a {name} of its own"
            found += single if len(single) < _FEWEST else _of_one_stack(single, what)
    return found


def _of_one_stack(group: Sequence[Frame], what: str) -> list[Frame]:
    """Frames with the UIDs of the first, or barred if they are no stack."""
    first = group[0].series
    tags = [replace(f.series, uid=first.uid, study=first.study) for f in group]
    placed = _placed([replace(f, series=t) for f, t in zip(group, tags, strict=True)])
    if placed[0].barred:
        return _barred(group, f"{what}, and {placed[0].barred}")
    if not _rises_evenly(placed, slice_places(placed)):
        reason = f"{what}, and their positions and InstanceNumbers do not make them one stack"
        return _barred(group, reason)
    note = f"{what}; they were put together by their positions and InstanceNumbers"
    return [replace(f, mended=(*f.mended, note)) for f in placed]


def _placed(frames: Sequence[Frame]) -> list[Frame]:
    """Frames of one stack of which several have the same position, put where SliceLocation says.

    InstanceNumber has to rise or fall evenly with it, and the step has to be
    SpacingBetweenSlices, or where that is absent at most SliceThickness. Where only some have the
    same position, they stay where they are unless the others confirm SliceLocation.
    """
    if frames[0].barred or len(frames) < _FEWEST:
        return list(frames)
    places = _locations(frames)
    shared = max(_grouped(frames, lambda f: tuple(round(v, 2) for v in f.position)), key=len)
    if len(shared) < _FEWEST:
        return list(frames)
    if len(shared) < len(frames):
        return list(frames) if places is None else _confirmed(frames, shared, places)
    what = f"all {len(frames)} images have the same ImagePositionPatient"
    reason = _without_place(frames, places)
    if reason or places is None:
        tracked = places is not None and float(np.ptp(places)) <= _SAME
        return _barred(frames, f"{what}{reason}", lost=not tracked)
    sign, remark = _direction(frames, places)
    note = f"{what}; their places are those of SliceLocation{remark}"
    return _moved(frames, frames[0], sign * places, note)


def _without_place(frames: Sequence[Frame], places: NDArray[np.float64] | None) -> str:
    """Why SliceLocation does not say where slices with the same position lie; empty if it does."""
    if places is None:
        return " and no SliceLocation"
    if np.ptp(places) <= _SAME:
        return " and the same SliceLocation, as of a bolus tracker"
    if not _agrees(frames, places):
        return ", and SliceLocation, InstanceNumber and spacing do not agree on where they lie"
    if not _direction(frames, places)[0]:
        return ", and nothing tells in which direction SliceLocation rises"
    return ""


def _confirmed(
    frames: Sequence[Frame], shared: Sequence[Frame], places: NDArray[np.float64]
) -> list[Frame]:
    """Frames at their SliceLocation, if it fits those that have a position of their own."""
    own = [i for i, f in enumerate(frames) if f not in shared]
    if len(own) < 2 or not _agrees(frames, places):
        return list(frames)
    along = slice_places(frames)
    for sign in (1, -1):
        apart = (along - sign * places)[own]
        if np.ptp(apart) <= _TOLERANCE_MM:
            note = (
                f"{len(shared)} of {len(frames)} images have the same ImagePositionPatient; their "
                "places are those of SliceLocation, which fits the others"
            )
            return _moved(frames, frames[own[0]], sign * places + float(apart.mean()), note)
    return list(frames)


def _locations(frames: Sequence[Frame]) -> NDArray[np.float64] | None:
    """SliceLocation of each, None if one has none."""
    found = [f.location for f in frames if f.location is not None]
    return np.array(found) if len(found) == len(frames) else None


def _moved(
    frames: Sequence[Frame], start: Frame, places: NDArray[np.float64], note: str
) -> list[Frame]:
    """Frames at ``places`` along the normal through the position of ``start``."""
    normal = normal_of(start)
    origin = np.array(start.position)
    moved = origin + np.outer(places - origin @ normal, normal)
    return [
        replace(f, position=tuple(p), mended=(*f.mended, note))
        for f, p in zip(frames, moved.tolist(), strict=True)
    ]


def _agrees(frames: Sequence[Frame], places: NDArray[np.float64]) -> bool:
    """Whether SliceLocation, InstanceNumber and the spacing tell the same."""
    normal = normal_of(frames[0])
    if np.abs(normal).max() < 0.999:  # tilted: SliceLocation alone does not say where slices lie
        return False
    if not _rises_evenly(frames, places):
        return False
    numbers = [f.instance for f in frames]
    step = np.ptp(places) / (max(numbers) - min(numbers))
    between, thickness = frames[0].step, frames[0].thickness
    if between:
        return bool(abs(abs(between) - step) <= 0.05 * step)
    return bool(thickness and 0.2 * thickness <= step <= 1.05 * thickness)


def _rises_evenly(frames: Sequence[Frame], places: NDArray[np.float64]) -> bool:
    """Whether places in mm are a straight line over InstanceNumber; numbers may be missing."""
    numbers = np.array([f.instance for f in frames], dtype=np.float64)
    order = np.argsort(numbers)
    numbers, along = numbers[order], places[order]
    if (np.diff(numbers) < 1).any():
        return False
    step = (along[-1] - along[0]) / (numbers[-1] - numbers[0])
    expected = along[0] + step * (numbers - numbers[0])
    error = float(np.abs(along - expected).max())
    return bool(abs(step) > _SAME and error <= min(_TOLERANCE_MM, 0.2 * abs(step)))


def _direction(frames: Sequence[Frame], places: NDArray[np.float64]) -> tuple[int, str]:
    """Whether SliceLocation rises along the normal, and what that rests on.

    PS3.3 C.7.6.2.1.2 leaves the direction open. The position that all have is one slice's own, as
    a rule the first one's, whose SliceLocation is then the position along the normal or its
    negative. Otherwise scanners' habit is all there is: it rises into the gantry, to the head of a
    patient who lies head first and to the feet of others. It may count from 0 in either direction,
    so the note says that up and down may be exchanged; left and right do not depend on it.
    """
    normal = normal_of(frames[0])
    foot = float(np.array(frames[0].position) @ normal)
    start = places[int(np.argmin([f.instance for f in frames]))]
    for candidates in (np.array([start]), places):
        same = bool((np.abs(candidates - foot) <= _TOLERANCE_MM).any())
        opposite = bool((np.abs(candidates + foot) <= _TOLERANCE_MM).any())
        if same != opposite:
            return (1 if same else -1), ""
    end = _ENDS.get(frames[0].patient_position[:2])
    if end is None or abs(normal[2]) <= 0.999:
        return 0, ""
    up, name = end
    remark = f", which was taken to rise to the {name}: head and feet may be exchanged"
    return (up if normal[2] > 0 else -up), remark


def _barred(frames: Iterable[Frame], reason: str, lost: bool = True) -> list[Frame]:
    return [replace(f, barred=reason, lost=lost) for f in frames]


def _stack_key(frame: Frame) -> Hashable:
    """What frames of one stack share, before phases are told apart."""
    return frame.series.study, frame.series.uid, frame.barred, frame.doubt, _size_key(frame)


def _kind_key(frame: Frame, name: str) -> Hashable:
    """What slices of one series share although their UIDs differ."""
    tags = frame.series
    study = tags.study if name == "SeriesInstanceUID" else ""
    words = (
        tags.number,
        tags.description,
        tags.descriptions,
        tags.modality,
        tags.agent,
        tags.owner,
    )
    made = (frame.kernel, frame.image_type, frame.sop_class, frame.doubt)
    return study, words, made, _size_key(frame)


def _size_key(frame: Frame) -> Hashable:
    # Direction cosines are written anew for each slice; other digits make no other stack.
    return frame.rows, frame.columns, frame.spacing, tuple(np.round(frame.orientation, 3).tolist())


def _grouped(frames: Iterable[Frame], key: Callable[[Frame], Hashable]) -> list[list[Frame]]:
    groups: dict[Hashable, list[Frame]] = {}
    for frame in frames:
        groups.setdefault(key(frame), []).append(frame)
    return list(groups.values())
