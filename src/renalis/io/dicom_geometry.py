"""From slice positions to one grid: exact affine, duplicates, gaps, uneven spacing, tilt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from renalis.io.dicom_files import Frame
from renalis.io.slice_sequence import LONGEST_GAP_MM
from renalis.io.slice_words import listed_mm

__all__ = [
    "Grid",
    "grid_of",
    "is_even",
    "normal_of",
    "places_in_words",
    "slice_places",
]

_SAME_PLACE = 0.01  # mm; positions are written with two to six decimals


@dataclass(frozen=True)
class Grid:
    """Where the frames of a stack go.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Array indices (column, row, slice) to mm, RAS+. Gantry tilt shears it.
    shape : tuple of int
        (columns, rows, slices).
    frames : tuple of Frame
        The frames used, in order along the normal.
    places : ndarray, shape (len(frames),)
        Index of each along the slice axis; whole numbers unless ``uneven``.
    uneven : bool
        Whether the volume has to be interpolated from the frames.
    warnings : tuple of str
        Sentences without the name of the scan.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    frames: tuple[Frame, ...]
    places: NDArray[np.float64]
    uneven: bool
    warnings: tuple[str, ...]


def normal_of(frame: Frame) -> NDArray[np.float64]:
    """Unit normal of a frame: row direction × column direction (PS3.3 C.7.6.2.1.1), LPS+."""
    normal = np.cross(frame.orientation[:3], frame.orientation[3:])
    return np.asarray(normal / max(float(np.linalg.norm(normal)), 1e-12))


def slice_places(frames: Sequence[Frame]) -> NDArray[np.float64]:
    """Distance of each frame along the first frame's normal, in mm."""
    return np.array([f.position for f in frames]) @ normal_of(frames[0])


def is_even(distances: NDArray[np.float64]) -> bool:
    """Whether sorted distances in mm are those of one regular grid without a hole."""
    if len(distances) < 3:
        return len(distances) < 2 or bool(distances[1] - distances[0] > _SAME_PLACE)
    if (np.diff(distances) <= _SAME_PLACE).any():
        return False
    places = _whole_places(distances)
    return places is not None and len(places) == places[-1] + 1


def grid_of(frames: Sequence[Frame]) -> Grid:
    """The grid of a stack of parallel frames of one size.

    A missing slice leaves a place to be filled from its neighbours. Uneven spacing gives a grid
    with the median spacing, onto which the volume has to be interpolated. Where the stack has a
    hole of more than 25 mm, its longest part is taken.

    Raises
    ------
    ValueError
        If fewer than two places are left or the slices do not lie on one line.
    """
    warnings: list[str] = []
    kept = _without_duplicates(frames, warnings)
    kept = _longest_part(kept, warnings)
    if len(kept) < 2:
        raise ValueError("it has only one slice")
    distances = slice_places(kept)
    extent = distances[-1] - distances[0]
    places = _whole_places(distances)
    uneven = places is None
    if places is None:
        gaps = np.diff(distances)
        count = min(round(extent / float(np.median(gaps))), 4 * len(kept))
        places = (distances - distances[0]) * (max(count, 1) / extent)
        warnings.append(
            f"the slices are spaced unevenly ({gaps.min():.2f} to {gaps.max():.2f} mm); the volume "
            f"was interpolated to {extent / max(count, 1):.2f} mm"
        )
    else:
        missing = sorted(set(range(int(places[-1]) + 1)) - {int(p) for p in places})
        if missing:
            step = extent / places[-1]
            where = listed_mm([_foot(kept[0], distances[0] + m * step) for m in missing])
            warnings.append(
                f"{_slices(len(missing))} missing and interpolated from the neighbours, at {where}"
            )
    affine = _affine(kept, round(places[-1]))
    _check_line(kept, distances, warnings)
    shape = (kept[0].columns, kept[0].rows, round(places[-1]) + 1)
    return Grid(affine, shape, tuple(kept), places, uneven, tuple(warnings))


def _without_duplicates(frames: Sequence[Frame], warnings: list[str]) -> list[Frame]:
    """Frames in order along the normal, the first instance of each place."""
    ordered = [
        f
        for _, f in sorted(
            zip(slice_places(frames), frames, strict=True),
            key=lambda pair: (round(pair[0] / _SAME_PLACE), pair[1].instance, pair[1].file),
        )
    ]
    distances = slice_places(ordered)
    kept, dropped, last = [], [], -np.inf
    for frame, distance in zip(ordered, distances, strict=True):
        if distance - last > _SAME_PLACE:
            kept.append(frame)
            last = distance
        else:
            dropped.append(_foot(frame, distance))
    if dropped:
        warnings.append(
            f"{_slices(len(dropped))} left out because another one lies in the same place, "
            f"at {listed_mm(dropped)}"
        )
    return kept


def _longest_part(frames: list[Frame], warnings: list[str]) -> list[Frame]:
    """The part with the most slices, if there is a hole too long to be filled."""
    gaps = np.diff(slice_places(frames))
    step = float(np.median(gaps)) if len(gaps) else 0.0
    breaks = np.flatnonzero(gaps > max(LONGEST_GAP_MM, 2.5 * step)) + 1
    if not len(breaks):
        return frames
    edges = [0, *breaks.tolist(), len(frames)]
    parts = [frames[a:b] for a, b in pairwise(edges)]
    longest = max(parts, key=len)
    warnings.append(
        f"the series has a hole of {gaps.max():.0f} mm; only its longest part was read "
        f"({len(longest)} of {len(frames)} slices)"
    )
    return longest


def _whole_places(distances: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Whole-numbered places of sorted distances on a regular grid, or None if there is none.

    The tolerance is a tenth of a step, but 0.1 mm where positions rounded to one decimal need it
    and at most 0.3 mm. It is measured against the grid through the first and the last slice, so
    that errors do not add up.
    """
    gaps = np.diff(distances)
    step = float(np.median(gaps))
    for candidate in (step, float(gaps.min())):
        steps = np.rint(gaps / candidate)
        places = np.concatenate([[0.0], np.cumsum(steps)])
        if (steps < 1).any() or places[-1] > 2 * len(distances) + 8:
            continue
        exact = (distances[-1] - distances[0]) / places[-1]
        error = np.abs(distances - distances[0] - places * exact).max()
        if error <= min(0.2 * exact, max(0.1, 0.1 * exact), 0.3):
            return places
    return None


def _affine(frames: Sequence[Frame], last: int) -> NDArray[np.float64]:
    """Affine of (column, row, slice) indices, RAS+ (PS3.3 C.7.6.2.1.1, first and last slice)."""
    first = frames[0]
    row_axis = np.array(first.orientation[:3]) / np.linalg.norm(first.orientation[:3])
    column_axis = np.array(first.orientation[3:]) / np.linalg.norm(first.orientation[3:])
    origin = np.array(first.position)
    affine = np.eye(4)
    affine[:3, 0] = row_axis * first.spacing[1]
    affine[:3, 1] = column_axis * first.spacing[0]
    affine[:3, 2] = (np.array(frames[-1].position) - origin) / last
    affine[:3, 3] = origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _check_line(
    frames: Sequence[Frame], distances: NDArray[np.float64], warnings: list[str]
) -> None:
    """Whether the slices' corners lie on one line, as a single affine has it."""
    positions = np.array([f.position for f in frames])
    part = (distances - distances[0]) / (distances[-1] - distances[0])
    line = positions[0] + part[:, None] * (positions[-1] - positions[0])
    apart = float(np.linalg.norm(positions - line, axis=1).max())
    if apart > 5:
        raise ValueError(f"its slices are shifted against each other by up to {apart:.0f} mm")
    if apart > 0.5:
        warnings.append(f"the slices are shifted against each other by up to {apart:.1f} mm")


def _foot(frame: Frame, distance: float) -> float:
    """The coordinate that users know a slice by: z of an axial slice, else along the normal."""
    normal = normal_of(frame)
    return float(distance * (normal[2] if abs(normal[2]) > 0.99 else 1.0))


def places_in_words(frames: Sequence[Frame]) -> str:
    """Where frames of one stack, one at least, lie as users know slices."""
    return listed_mm([_foot(frames[0], float(along)) for along in slice_places(frames)])


def _slices(count: int) -> str:
    return "1 slice was" if count == 1 else f"{count} slices were"
