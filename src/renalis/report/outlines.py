"""Outlines of regions in a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours

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
    lines = []
    padded = np.pad(np.pad(mask, BEYOND, mode="edge"), 1)
    used = [np.flatnonzero(padded.any(axis=axis)) for axis in (1, 0)]
    if not used[0].size:
        return []
    first = np.array([places[0] - 1 for places in used])
    (top, left), (bottom, right) = first, (places[-1] + 2 for places in used)
    part = padded[top:bottom, left:right].astype(np.float32)
    for line in find_contours(part, 0.5):  # type: ignore[no-untyped-call]
        rounded = sparser(smoothed(line)) + first
        # A pixel's center lies half a pixel inside its edge.
        points = (rounded - 1 - BEYOND + 0.5) * np.asarray(scale)
        lines.append(np.ascontiguousarray(points[:, ::-1]))
    return lines


def smoothed(line: NDArray[np.float64], rounds: int = 2) -> NDArray[np.float64]:
    """Cut the corners of a closed line (Chaikin 1974), shape (N, 2) in, (M, 2) out."""
    points = line[:-1]
    for _ in range(rounds):
        following = _turned(points, 1)
        points = np.stack(
            [0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1
        ).reshape(-1, 2)
    return np.vstack([points, points[:1]])


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
    return np.vstack([points, points[:1]])


def _turned(points: NDArray[np.float64], by: int) -> NDArray[np.float64]:
    """The points of a closed line, begun so many points later: `numpy.roll` in a tenth of its time,
    which is most of what lines of few points cost."""
    return np.concatenate((points[by:], points[:by]))
