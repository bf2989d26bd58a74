"""Outlines of regions in a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.report.mask_contours import mask_contours

__all__ = ["outlines", "smoothed", "sparser"]

BEYOND = 2
"""A region that is cut by the picture's edge goes on for this many pixels outside: what is not the
region's border must not look like one."""


def outlines(mask: NDArray[np.bool_], scale: tuple[float, float]) -> list[NDArray[np.float64]]:
    """Closed lines around and inside a region.

    Parameters
    ----------
    mask : ndarray of bool, shape (rows, columns)
        The region on the scan's own pixels.
    scale : (float, float)
        Picture pixels per row and per column of the mask.

    Returns
    -------
    list of ndarray, shape (N, 2)
        Points (x, y) in picture pixels, (0, 0) being the picture's upper left corner; the last
        point repeats the first.

    Notes
    -----
    Marching squares (Lorensen and Cline 1987) half-way between pixel centers, the corners cut by
    Chaikin's rule, which never leaves the polygon and keeps regions of a single pixel; blurring
    the mask first would lose them.
    """
    used = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    if not used[0].size:
        return []
    around = [_around(*axis) for axis in zip(used, mask.shape, strict=True)]
    inner = [np.clip(axis, 0, size - 1) for axis, size in zip(around, mask.shape, strict=True)]
    part = mask[np.ix_(*inner)]
    part[[0, -1]] = part[:, [0, -1]] = False
    first = np.array([axis[0] for axis in around])
    lines = []
    for line in mask_contours(part):
        # A pixel's center lies half a pixel inside its edge.
        points = (sparser(smoothed(line)) + first + 0.5) * np.asarray(scale)
        lines.append(np.ascontiguousarray(points[:, ::-1]))
    return lines


def _around(used: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Indices along an axis from the pixel before a region to the one behind it."""
    first, last = int(used[0]), int(used[-1])
    before = first - 1 if first > 0 else -BEYOND - 1
    behind = last + 1 if last < length - 1 else length + BEYOND
    return np.arange(before, behind + 1)


def smoothed(line: NDArray[np.float64], rounds: int = 2) -> NDArray[np.float64]:
    """Cut the corners of a closed line (Chaikin 1974), shape (N, 2) in, (M, 2) out."""
    points = line[:-1]
    for _ in range(rounds):
        following = _turned(points, 1)
        cut = np.empty((2 * len(points), 2))
        cut[::2] = 0.75 * points + 0.25 * following
        cut[1::2] = 0.25 * points + 0.75 * following
        points = cut
    return np.concatenate((points, points[:1]))


def sparser(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave out points of a closed line that lie on the line without them, shape (N, 2).

    In each of four rounds every second point may go if it lies within 0.03 of the straight line
    between its neighbors, so that the line moves by at most 0.12. Douglas and
    Peucker's rule leaves out a few more, but takes a hundred times as long in Python, which was
    half of the time of a whole report.
    """
    points = line[:-1]
    for number in range(4):
        if len(points) < 8:
            break
        before, after = _turned(points, -1), _turned(points, 1)
        span, arm = after - before, points - before
        away = np.abs(span[:, 0] * arm[:, 1] - span[:, 1] * arm[:, 0])
        spare = away <= 0.03 * np.hypot(span[:, 0], span[:, 1])
        spare[number % 2 :: 2] = False  # of two neighbors at most one goes
        spare[0] = False
        points = points[~spare]
    return np.concatenate((points, points[:1]))


def _turned(points: NDArray[np.float64], by: int) -> NDArray[np.float64]:
    """The points of a closed line, begun so many points later: `numpy.roll` in a tenth of its time,
    which is most of what lines of few points cost."""
    return np.concatenate((points[by:], points[:by]))
