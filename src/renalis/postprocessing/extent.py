"""How far a body reaches, told from its voxels without the bias of their size.

The outline of voxels sticks out beyond the body that they were drawn from: the largest distance
between its points grows with the slice thickness. Here the end of a body along a direction is
read from volumes. The part of an ellipsoid beyond a plane holds the share t² (3 - t) / 4 of its
volume when the plane lies t half-widths below the end, whatever its radii and direction. A voxel
mask holds the right volumes beyond planes on average, however it lies on the grid, so a straight
line through (t, place of the plane) ends where the body does. Only the outer parts of a body are
looked at; they need to be like an ellipsoid's, the whole does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["largest_extent_mm"]

DIRECTIONS = 160
TOGETHER = 16
"""Directions asked at a time: places of all rows along so many stay in the processor's cache."""
BIN_MM = 0.2
LEVELS = 8
"""Planes at each end."""
FIRST, SPAN = 1.5, 2.0
"""The planes begin this many voxels below the end, and reach over this many more."""
LAST_FIRST = 0.6
REACH = 0.35
"""At least this share of the half-width is looked at, where voxels are small."""
NARROWEST, WIDENING, WIDEST = 0.12, 3.0, 1.2
"""Neighboring directions are smoothed over NARROWEST radians, and WIDENING times the angle
that a voxel takes; an ellipsoid's squared extent is a quadratic form of the direction."""
CANDIDATES = 30


def largest_extent_mm(mask: NDArray[np.bool_], steps: NDArray[Any]) -> float:
    """Largest extent in mm over all directions of the body that a mask was drawn from.

    Parameters
    ----------
    mask : ndarray, shape (Z, Y, X), bool
        Voxels whose centers lie inside the body; not empty.
    steps : ndarray, shape (3, 3)
        Step in mm along each array axis, as rows; need not be orthogonal.
    """
    directions = _directions(DIRECTIONS)
    extents = np.zeros(len(directions))
    along = np.abs(directions @ np.asarray(steps, dtype=np.float64).T)
    for axis in range(3):
        # Volumes are exact along the rows, so these run where the voxels are longest.
        chosen = np.flatnonzero(along.argmax(axis=1) == axis)
        if not len(chosen):
            continue
        runs, shifts = _runs(mask, axis), directions @ steps.T
        for some in np.array_split(chosen, -(-len(chosen) // TOGETHER)):
            extents[some] = _extents(runs, shifts[some], axis)
    angle = NARROWEST + WIDENING * float(np.linalg.norm(steps, axis=1).max() / extents.max())
    return _smoothed_largest(directions, extents, min(angle, WIDEST))


def _directions(count: int) -> NDArray[np.float64]:
    """Unit vectors spread evenly over half of the sphere (golden spiral), shape (count, 3)."""
    place = np.arange(count) + 0.5
    height = place / count
    turn = np.pi * (1 + np.sqrt(5)) * place
    across = np.sqrt(1 - height**2)
    return np.column_stack([across * np.cos(turn), across * np.sin(turn), height])


def _runs(mask: NDArray[np.bool_], axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Begin and end of every row of voxels along an axis, as fractional indices, (N, 3) each."""
    rows = np.moveaxis(mask, axis, -1)
    edges = np.zeros((*rows.shape[:-1], rows.shape[-1] + 1), dtype=np.int8)
    edges[..., :-1] = rows
    edges[..., 1:] -= rows
    # What `numpy.argwhere` finds, which takes ten times as long for the few edges of many rows.
    begins, ends = (
        np.column_stack(np.unravel_index(np.flatnonzero(edges == value), edges.shape))
        for value in (1, -1)
    )
    return tuple(  # type: ignore[return-value]
        np.insert(found[:, :2].astype(float), axis, found[:, 2] - 0.5, axis=1)
        for found in (begins, ends)
    )


def _extents(
    runs: tuple[NDArray[Any], NDArray[Any]], shifts: NDArray[np.float64], axis: int
) -> NDArray[np.float64]:
    """Extent along several directions.

    ``shifts``, shape (D, 3): mm along each direction per step along each array axis.
    """
    one, other = runs[0] @ shifts.T, runs[1] @ shifts.T
    low, high = np.minimum(one, other), np.maximum(one, other)
    start = low.min(axis=0)
    bins = int(np.ceil((high.max(axis=0) - start).max() / BIN_MM)) + 2
    density = np.cumsum(_binned(low - start, bins) - _binned(high - start, bins), axis=1)
    beyond = np.cumsum(density, axis=1) - density / 2
    beyond /= beyond[:, -1:]
    places = BIN_MM * np.arange(bins)
    steps = np.abs(shifts[:, axis])
    outer = high.max(axis=0) - start
    voxels = steps / np.maximum(outer / 2, 1e-6)
    depths = np.linspace(*_range_of_depths(voxels), LEVELS, axis=1)
    # Rows are as long as their voxels: volumes are smoothed along them, which adds the last.
    shares = depths**2 * (3 - depths) / 4 + (voxels**2 / 16)[:, None] * (1 - depths)
    lengths = np.array(
        [
            np.interp(1 - share, one, places) - np.interp(share, one, places)
            for share, one in zip(shares, beyond, strict=True)
        ]
    )
    # At either end the next voxel, half of one beyond the outermost row, lies outside. Only flat
    # ends, as where a scan ends, are told to lie farther out.
    return np.asarray(np.minimum(_at_zero(depths, lengths), outer + steps))


def _range_of_depths(
    voxels: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First and last depth of the planes, for the share of the half-width that a voxel takes."""
    return (
        np.minimum(FIRST * voxels, LAST_FIRST),
        np.minimum(np.maximum(REACH, (FIRST + SPAN) * voxels), 1.0),
    )


def _binned(places: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Counts of places (N, D) in bins, shared between two neighbors; shape (D, bins)."""
    scaled = places / BIN_MM
    whole = np.floor(scaled)
    part = scaled - whole
    index = whole.astype(np.intp) + np.arange(places.shape[1]) * bins
    size = places.shape[1] * bins + 1
    counts = np.bincount(index.ravel(), (1 - part).ravel(), size)
    counts += np.bincount(index.ravel() + 1, part.ravel(), size)
    return np.asarray(counts[:-1].reshape(places.shape[1], bins))


def _at_zero(depths: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the straight lines through (depth, length), shape (D, N) each, meet depth zero."""
    middle = depths.mean(axis=1)
    off = depths - middle[:, None]
    slope = (off * lengths).sum(axis=1) / (off * off).sum(axis=1)
    return np.asarray(lengths.mean(axis=1) - slope * middle)


def _quadratic(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The six products of two components, shape (N, 6)."""
    x, y, z = directions.T
    return np.column_stack([x * x, y * y, z * z, x * y, x * z, y * z])


def _smoothed_largest(
    directions: NDArray[np.float64], extents: NDArray[np.float64], angle: float
) -> float:
    """The largest extent, smoothed between neighboring directions.

    The largest of many noisy values is too large; the largest of their smooth course is not.
    """
    best = np.argsort(extents)[::-1][:CANDIDATES]
    apart = np.arccos(np.clip(np.abs(directions[best] @ directions.T), 0, 1))
    weights = np.exp(-0.5 * (apart / angle) ** 2)
    products = _quadratic(directions)
    normal = np.einsum("cn,ni,nj->cij", weights, products, products)
    normal += 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(6)
    wanted = np.einsum("cn,ni,n->ci", weights, products, extents**2)
    forms = np.linalg.solve(normal, wanted[..., None])[..., 0]
    # Around each, on three circles: two directions across it, and what lies between them.
    centers = directions[best]
    first = np.cross(centers, np.eye(3)[np.abs(centers).argmin(axis=1)])
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(centers, first)
    turned = (np.arange(8) * np.pi / 4)[:, None]
    across = np.cos(turned) * first[:, None] + np.sin(turned) * second[:, None]
    around = [centers[:, None] + tilt * across for tilt in (0.035, 0.07, 0.105)]
    seen = np.concatenate([centers[:, None], *around], axis=1)
    seen /= np.linalg.norm(seen, axis=2, keepdims=True)
    squares = _quadratic(seen.reshape(-1, 3)).reshape(*seen.shape[:2], 6)
    return float(np.sqrt(np.einsum("cnk,ck->cn", squares, forms).max(initial=0.0)))
