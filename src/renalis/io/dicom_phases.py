"""Tell apart what one series holds several times: contrast phases, kernels, acquisitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from renalis.io.dicom_files import Frame
from renalis.io.dicom_geometry import is_even, normal_of, slice_places

__all__ = ["phases_of"]

_FEWEST = 3
"""Slices of a phase; less is told from nothing."""
_MOST_IN_TURN = 6
"""Phases whose slices lie between each other; more are rotations or slices with a number each."""
_WHOLE = 0.8
"""Share of the whole length that each of several phases in turn covers."""

_PHASE_KEYS: tuple[Callable[[Frame], str], ...] = (
    lambda f: f.temporal,
    lambda f: f.acquisition,
    lambda f: f.kernel,
    lambda f: "\\".join(f.image_type),
)


def phases_of(frames: list[Frame]) -> list[list[Frame]]:
    """Split frames of one size and direction that cover the same region more than once.

    Tried in turn: temporal position, acquisition number, kernel, image type; then the order in time
    at each place, and sweeps along the body. Frames that lie evenly are split as well where these
    say that two phases lie between each other. Stray duplicates are left to `grid_of`.
    """
    if frames[0].barred or len(frames) < 2:
        return [frames]
    if is_even(np.sort(slice_places(frames))):
        return _in_turn(frames)
    for key in _PHASE_KEYS:
        groups = _groups(frames, key)
        if len(groups) > 1 and _overlap(frames, groups):
            return [part for group in groups for part in phases_of(group)]
    rounds = _by_time(frames)
    return rounds if len(rounds) > 1 else _sweeps(frames)


def _groups(frames: Sequence[Frame], key: Callable[[Frame], str]) -> list[list[Frame]]:
    groups: dict[str, list[Frame]] = {}
    for frame in frames:
        groups.setdefault(key(frame), []).append(frame)
    return list(groups.values())


def _in_turn(frames: list[Frame]) -> list[list[Frame]]:
    """Split frames of one regular grid that are those of several, each between the others."""
    for key in (*_PHASE_KEYS, lambda f: f.time):
        groups = _groups(frames, key)
        if _are_whole(frames, groups):
            return groups
    return _sweeps(frames)


def _are_whole(frames: Sequence[Frame], groups: Sequence[list[Frame]]) -> bool:
    """Whether each of several groups is evenly spaced and nearly as long as all together."""
    if not 2 <= len(groups) <= _MOST_IN_TURN or min(map(len, groups)) < _FEWEST:
        return False
    length = float(np.ptp(slice_places(frames)))
    along = [np.sort(slice_places(group)) for group in groups]
    return all(is_even(a) and a[-1] - a[0] >= _WHOLE * length for a in along)


def _sweeps(frames: list[Frame]) -> list[list[Frame]]:
    """Split frames that were made in several sweeps along the body, by their numbers or times."""
    for key in (lambda f: f"{f.instance:012d}", lambda f: f.time):
        if len({key(f) for f in frames}) < len(frames):
            continue
        ordered = sorted(frames, key=key)
        along = slice_places(ordered)
        sweeps = [[ordered[0]]]
        direction = 0.0
        for frame, step in zip(ordered[1:], np.diff(along), strict=True):
            if direction * step < 0:
                sweeps.append([])
                direction = 0.0
            else:
                direction = float(step)
            sweeps[-1].append(frame)
        if _are_whole(frames, sweeps):
            return sweeps
    return [frames]


def _overlap(frames: Sequence[Frame], groups: Sequence[Sequence[Frame]]) -> bool:
    """Whether groups cover one another, unlike chest and abdomen scanned in turn.

    One group has to cover a good part of all places by itself: scanners that move the table for
    each slice number every slice as an acquisition of its own.
    """
    normal = normal_of(frames[0])
    along = [np.array([f.position for f in group]) @ normal for group in groups]
    places = [{round(float(d) / 0.02) for d in distances} for distances in along]
    if max(len(p) for p in places) < 0.4 * max(len(set().union(*places)) / 2, 2):
        return False
    spans = sorted((float(d.min()), float(d.max())) for d in along)
    covered = 0.0
    end = spans[0][1]
    for low, high in spans[1:]:
        covered += max(0.0, min(end, high) - low) + (1e-3 if low <= end else 0.0)
        end = max(end, high)
    return covered > 0.5 * min(high - low for low, high in spans)


def _by_time(frames: list[Frame]) -> list[list[Frame]]:
    """Split by order in time where most places were scanned several times."""
    places: dict[int, list[Frame]] = {}
    for frame, distance in zip(frames, slice_places(frames), strict=True):
        places.setdefault(round(float(distance) / 0.02), []).append(frame)
    times = max(len(group) for group in places.values())
    repeated = sum(len(group) == times for group in places.values())
    if times == 1 or 2 * repeated < len(places):
        return [frames]
    rounds: list[list[Frame]] = [[] for _ in range(times)]
    for group in places.values():
        group.sort(key=lambda f: (f.time, f.instance, f.file))
        for index, frame in enumerate(group):
            rounds[index].append(frame)
    return rounds
