"""A copy of a tilted scan's labels that every program opens.

Gantry tilt shears a scan's grid. NIfTI holds such a grid, and the labels lie exactly on it, but
programs built on ITK (3D Slicer, ITK-SNAP, SimpleITK) only know grids at right angles: they open
neither the scan nor its labels. The copy lies on a grid at right angles that covers the scan.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from renalis.io.label_placement import labels_on
from renalis.io.scan import Scan
from renalis.io.write import write_volume
from renalis.volume import Volume

__all__ = ["STRAIGHT", "sheared", "straight", "with_tilt_note", "write_straight"]

STRAIGHT = "segmentation_straight.nii.gz"

_RIGHT_ANGLE = 1e-4
"""Largest cosine between two axes that ITK (5.4) takes for a right angle."""

_PAIRS = ((0, 1), (0, 2), (1, 2))


def sheared(grid: Volume) -> bool:
    """Whether the axes are not at right angles."""
    return any(abs(c) > _RIGHT_ANGLE for c in _cosines(grid))


def with_tilt_note(scan: Scan) -> Scan:
    """The scan; if its grid is sheared, with a warning that says what that means for the files."""
    if not sheared(scan.volume):
        return scan
    angle = np.degrees(np.arcsin(max(abs(c) for c in _cosines(scan.volume))))
    note = (
        f"{scan.case_id}: the slices are tilted against each other's line (gantry tilt, "
        f"{angle:.1f}°), so programs built on ITK (3D Slicer, ITK-SNAP) do not open "
        f"segmentation.nii.gz; give them {STRAIGHT}, the same labels on a straight grid"
    )
    return dataclasses.replace(scan, warnings=(*scan.warnings, note))


def write_straight(folder: Path, labels: Volume) -> list[str]:
    """Write the straight copy of a sheared label map; names of the files written.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    if not sheared(labels):
        return []
    write_volume(folder / STRAIGHT, straight(labels))
    return [STRAIGHT]


def straight(labels: Volume) -> Volume:
    """A label map on the grid at right angles that covers its own.

    The two axes of the slices stay; the third becomes their normal, with as many slices in the
    same places. Within a slice labels only move by less than half a voxel, so every label keeps
    its volume exactly when the axes of the slices are at right angles, as those of CT are.

    Parameters
    ----------
    labels : Volume
        On any grid.

    Returns
    -------
    Volume
        Axes in the same order and direction, at right angles.
    """
    p, q, r = _slice_axes_first(labels)
    steps = labels.affine[:3, :3]
    along = steps[:, p] / np.linalg.norm(steps[:, p])
    across = steps[:, q] - along * (along @ steps[:, q])
    across /= np.linalg.norm(across)
    normal = np.cross(along, across)
    normal *= np.sign(normal @ steps[:, r])
    frame = np.empty((3, 3))
    lengths = np.array(labels.spacing)
    lengths[r] = normal @ steps[:, r]
    for axis, direction in zip((p, q, r), (along, across, normal), strict=True):
        frame[:, axis] = direction * lengths[axis]
    return labels_on(labels, *_covering(labels, frame))


def _covering(
    labels: Volume, frame: NDArray[np.float64]
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Shape and affine of the grid of these axes that covers a volume, through its first voxel."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in labels.shape])).reshape(3, -1).T
    places = (labels.world(corners) - labels.affine[:3, 3]) @ np.linalg.inv(frame).T
    first = np.floor(np.round(places.min(axis=0), 6)).astype(int)
    last = np.ceil(np.round(places.max(axis=0), 6)).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = frame
    affine[:3, 3] = labels.affine[:3, 3] + frame @ first
    i, j, k = (int(n) for n in last - first + 1)
    return (i, j, k), affine


def _slice_axes_first(grid: Volume) -> tuple[int, int, int]:
    """The array axes within a slice, then the one across: slices have right angles and square
    pixels, also where the slices are no thicker than their pixels are wide."""
    cosines, spacing = _cosines(grid), grid.spacing

    def oddness(pair: tuple[int, int]) -> tuple[bool, float]:
        p, q = pair
        square = abs(float(np.log(spacing[p] / spacing[q])))
        return abs(cosines[_PAIRS.index(pair)]) > _RIGHT_ANGLE, square

    p, q = min(_PAIRS, key=oddness)
    return p, q, 3 - p - q


def _cosines(grid: Volume) -> list[float]:
    """Cosine of the angle between each pair of axes."""
    axes = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    return [float(axes[:, p] @ axes[:, q]) for p, q in _PAIRS]
