"""Contours of a mask: marching squares for values that are only 0 or 1.

`skimage.measure.find_contours` interpolates along the edges of any image and joins its segments one
by one; of a mask every crossing lies half-way, so all segments are found at once and each only has
to be followed to the next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["mask_contours"]

_TOP, _LEFT, _RIGHT, _BOTTOM = (0, 1), (1, 0), (1, 2), (2, 1)
"""Middles of a square's edges, in halves of a pixel from its upper left pixel."""

_SEGMENTS = {
    1: [(_TOP, _LEFT)],
    2: [(_RIGHT, _TOP)],
    3: [(_RIGHT, _LEFT)],
    4: [(_LEFT, _BOTTOM)],
    5: [(_TOP, _BOTTOM)],
    6: [(_RIGHT, _TOP), (_LEFT, _BOTTOM)],
    7: [(_RIGHT, _BOTTOM)],
    8: [(_BOTTOM, _RIGHT)],
    9: [(_TOP, _LEFT), (_BOTTOM, _RIGHT)],
    10: [(_BOTTOM, _TOP)],
    11: [(_BOTTOM, _LEFT)],
    12: [(_LEFT, _RIGHT)],
    13: [(_TOP, _RIGHT)],
    14: [(_LEFT, _TOP)],
}
"""Begin and end of the lines through a square by which of its pixels lie in the mask: the sum of 1
(upper left), 2 (upper right), 4 (lower left) and 8. Pixels that touch at a corner are apart."""

_COUNTS = np.array([len(_SEGMENTS.get(case, ())) for case in range(16)])
_STEPS = np.array(
    [(_SEGMENTS.get(case, []) + [((0, 0), (0, 0))] * 2)[:2] for case in range(16)], np.intp
)
"""Shape (16, 2, 2, 2): of each case the first and second segment, its begin and end, (row, column)
in halves of a pixel."""


def mask_contours(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Closed lines between a region and what is around it.

    Parameters
    ----------
    mask : ndarray of bool, shape (rows, columns)
        The region; nothing of it lies in the outermost rows and columns.

    Returns
    -------
    list of ndarray, shape (N, 2)
        Points (row, column) half-way between neighboring pixels, the last the same as the first:
        the lines of ``skimage.measure.find_contours(mask, 0.5)``, in its order.

    References
    ----------
    W. E. Lorensen and H. E. Cline, Marching cubes, SIGGRAPH 1987, in two dimensions.
    """
    bits = mask.view(np.uint8)
    cases = bits[:-1, :-1] + 2 * bits[:-1, 1:] + 4 * bits[1:, :-1] + 8 * bits[1:, 1:]
    squares = np.flatnonzero((cases > 0) & (cases < 15))
    case = cases.ravel()[squares]
    corners = 2 * np.column_stack(np.unravel_index(squares, cases.shape))
    # Row by row, as squares are; two segments of one square after each other.
    square = np.repeat(np.arange(len(squares)), _COUNTS[case])
    second = np.concatenate([[False], square[1:] == square[:-1]]).astype(np.intp)
    ends = corners[square, None] + _STEPS[case[square], second]
    # Every point is where one segment begins and another ends.
    width = 2 * mask.shape[1]
    begins_at, ends_at = (ends[:, 0] @ (width, 1), ends[:, 1] @ (width, 1))
    beginning = np.empty(2 * mask.size * 2, np.intp)
    beginning[begins_at] = np.arange(len(ends))
    return [ends[loop, 0] / 2 for loop in _loops(beginning[ends_at].tolist())]


def _loops(following: list[int]) -> list[list[int]]:
    """Closed ways through segments, of which each has one that follows.

    Each begins and ends with the segment that follows its last one.
    """
    loops = []
    seen = bytearray(len(following))
    for first in range(len(following)):
        if seen[first]:
            continue
        way = []
        at = first
        while not seen[at]:
            seen[at] = 1
            way.append(at)
            at = following[at]
        begin = way.index(max(way)) + 1
        loop = way[begin:] + way[:begin]
        loops.append([*loop, loop[0]])
    return loops
