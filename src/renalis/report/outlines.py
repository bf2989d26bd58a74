"""Outlines of regions in a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.measure import approximate_polygon, find_contours

__all__ = ["outlines", "smoothed"]

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
    padded = np.pad(np.pad(mask, BEYOND, mode="edge"), 1).astype(np.float32)
    for line in find_contours(padded, 0.5):  # type: ignore[no-untyped-call]
        rounded = approximate_polygon(smoothed(line), 0.03)  # type: ignore[no-untyped-call]
        # A pixel's center lies half a pixel inside its edge.
        points = (rounded - 1 - BEYOND + 0.5) * np.asarray(scale)
        lines.append(np.ascontiguousarray(points[:, ::-1]))
    return lines


def smoothed(line: NDArray[np.float64], rounds: int = 2) -> NDArray[np.float64]:
    """Cut the corners of a closed line (Chaikin 1974), shape (N, 2) in, (M, 2) out."""
    points = line[:-1]
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0)
        points = np.stack(
            [0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1
        ).reshape(-1, 2)
    return np.vstack([points, points[:1]])
