"""Outlines of a mask in a slice: closed lines along the edges of its pixels.

Such outlines enclose exactly the pixels' area, and filling them gives the mask again, whether a
program fills what has its center inside or rounds corners to pixels first: they are drawn in by a
hundredth of a pixel. A hole is joined to the line around it by a line of no width (keyhole), so
that programs that fill each outline alone keep it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["outlines"]

INSET = 0.01
"""In pixels."""
_TURN_LEFT = {(1, 0): (0, 1), (0, 1): (-1, 0), (-1, 0): (0, -1), (0, -1): (1, 0)}


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Closed outlines of a mask, one for each part, with its holes as keyholes.

    Parameters
    ----------
    mask : ndarray of bool, shape (columns, rows)
        Pixels that touch at corners alone are parts of their own.

    Returns
    -------
    list of ndarray, shape (N, 2)
        Corners in pixel indices along both axes, closed without repeating the first, the area on
        their left (counter-clockwise in axes 0, 1).

    Examples
    --------
    >>> mask = np.zeros((4, 4), bool)
    >>> mask[1:3, 1:3] = True
    >>> outlines(mask)[0].round(2).tolist()
    [[0.51, 0.51], [2.49, 0.51], [2.49, 2.49], [0.51, 2.49]]
    """
    steps = _edges(mask)
    found = []
    while steps:
        start = next(iter(steps))
        found.append(_followed(steps, start))
    parts = [line for line in found if _area(line) > 0]
    # A hole's keyhole ends at the part or at a hole that reaches farther, which is joined by then.
    holes = sorted((line for line in found if _area(line) < 0), key=lambda line: -line[:, 0].max())
    for hole in holes:
        _join(parts, hole)
    return parts


def _edges(mask: NDArray[np.bool_]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Directions in which edges leave each corner, the mask on their left.

    Corner (a, b) lies between pixels a - 1 and a, b - 1 and b.
    """
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    edges: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # For each side of a pixel: the pixel beyond it, the corner where its edge begins, the way.
    sides = (
        (padded[1:-1, :-2], (0, 0), (1, 0)),
        (padded[2:, 1:-1], (1, 0), (0, 1)),
        (padded[1:-1, 2:], (1, 1), (-1, 0)),
        (padded[:-2, 1:-1], (0, 1), (0, -1)),
    )
    for beyond, corner, way in sides:
        for a, b in np.argwhere(inside & ~beyond).tolist():
            edges.setdefault((a + corner[0], b + corner[1]), []).append(way)
    return edges


def _followed(
    edges: dict[tuple[int, int], list[tuple[int, int]]], start: tuple[int, int]
) -> NDArray[np.float64]:
    """Take one closed line out of the edges; its corners, drawn in."""
    at, way = start, edges[start][0]
    line: list[tuple[tuple[int, int], tuple[int, int]]] = []
    while True:
        edges[at].remove(way)
        if not edges[at]:
            del edges[at]
        line.append((at, way))
        at = (at[0] + way[0], at[1] + way[1])
        onward = edges.get(at, ())
        # Where two pixels touch at a corner, the line turns left and stays on its own pixel.
        left = _TURN_LEFT[way]
        if left not in onward and at == start:
            break
        way = left if left in onward else next(iter(onward))
    corners = []
    for (_, before), (point, after) in zip([line[-1], *line], line, strict=False):
        if before != after:
            shift = [INSET * sum(_TURN_LEFT[w][axis] for w in (before, after)) for axis in (0, 1)]
            corners.append([point[0] - 0.5 + shift[0], point[1] - 0.5 + shift[1]])
    return np.array(corners)


def _area(line: NDArray[np.float64]) -> float:
    """Enclosed pixels; negative around a hole."""
    one, two = line, np.roll(line, -1, axis=0)
    return float((one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]).sum() / 2)


def _join(parts: list[NDArray[np.float64]], hole: NDArray[np.float64]) -> None:
    """Join a hole to the outline that lies next to it along axis 0."""
    corner = int(np.argmax(hole[:, 0]))
    if hole[(corner + 1) % len(hole), 0] != hole[corner, 0]:
        corner -= 1  # the side of the largest index ends there
    hole = np.roll(hole, -corner - 1, axis=0)  # from that side's end to its beginning
    # Not through centers of pixels, where a program might count what lies on a line.
    level = _between(hole[-1, 1], hole[0, 1])
    best, number, place = np.inf, -1, -1
    for index, line in enumerate(parts):
        ends = np.roll(line, -1, axis=0)
        across = (line[:, 1] - level) * (ends[:, 1] - level) < 0
        across &= line[:, 0] > hole[0, 0]
        for side in np.flatnonzero(across).tolist():
            if line[side, 0] < best:
                best, number, place = float(line[side, 0]), index, side
    there, here = np.array([[best, level]]), np.array([[hole[0, 0], level]])
    line = parts[number]
    parts[number] = np.concatenate(
        [line[: place + 1], there, here, hole, here, there, line[place + 1 :]]
    )


def _between(one: float, two: float) -> float:
    """A level within the first pixel of a side, off its center."""
    return float(min(one, two)) + 0.25
