"""Surfaces of kidneys and lesions, small enough to travel inside a page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from skimage.measure import marching_cubes

from renalis.boxes import bounding_box
from renalis.conventions import Label
from renalis.volume import Volume

__all__ = ["Mesh", "normals", "surface"]

PAD, PAD_CELLS = 3, 2
"""Empty voxels, and cells of the grid, around a region at least: its blurred border must not end at
the box, where the surface would be open."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A closed triangle mesh.

    Parameters
    ----------
    name : str
        What it is, such as ``"Tumor T1"``.
    label : Label
        Class.
    vertices : ndarray of float32, shape (V, 3)
        Patient coordinates in mm (RAS+).
    faces : ndarray of uint32, shape (F, 3)
        Vertex indices, counter-clockwise seen from outside.
    """

    name: str
    label: Label
    vertices: NDArray[np.float32]
    faces: NDArray[np.uint32]


def surface(mask: Volume, name: str, label: Label, cells: int = 48) -> Mesh | None:
    """Surface of a region by marching cubes (Lorensen and Cline 1987), smoothed.

    Parameters
    ----------
    mask : Volume of bool
        The region, best cropped to its own box; any orientation and spacing.
    name, label
        Passed on to the mesh.
    cells : int
        Number of grid cells along the longest side; bounds the number of triangles.

    Returns
    -------
    Mesh or None
        None when the mask is empty.

    Notes
    -----
    The region is sampled on a grid of cubes fine enough for its own size, so that a cyst of 4 mm
    keeps its shape next to a kidney of 120 mm. Taubin's smoothing (1995) removes the steps of thick
    slices without shrinking. The mesh is for looking at; nothing is measured on it.
    """
    inside = bounding_box(mask.array)
    if inside is None:
        return None
    part = mask.cropped(inside)
    spacing = np.asarray(part.spacing)
    longest = float(((np.asarray(part.shape) + 2 * PAD) * spacing).max())
    cell = max(longest / cells, 0.5 * float(spacing.min()), 0.4)
    pad = np.maximum(PAD, np.ceil(PAD_CELLS * cell / spacing).astype(int))
    padded = np.pad(part.array, [(int(n), int(n)) for n in pad])
    counts = np.ceil(np.asarray(padded.shape) * spacing / cell).astype(int)
    shares = _sampled(padded, counts)
    # Blurred by most of a voxel, or the surface would show the voxels as terraces; the level is
    # where the surface encloses as much as the region has.
    sampled = ndimage.gaussian_filter(shares, np.maximum(0.75 * spacing / cell, 0.6))
    inner = max(1, round(float(shares.sum())))
    level = float(np.partition(sampled, -inner, axis=None)[-inner])
    level = min(max(level, 0.05 * float(sampled.max())), 0.95 * float(sampled.max()))
    points, faces, _, _ = marching_cubes(  # type: ignore[no-untyped-call]
        sampled, level, gradient_direction="ascent"
    )
    # From cells to the region's own voxels, centers to centers.
    index = (points + 0.5) * (np.asarray(padded.shape) / counts) - 0.5 - pad
    vertices = _taubin(part.world(index), faces)
    if np.linalg.det(part.affine[:3, :3]) < 0:  # a mirrored grid turns triangles inside out
        faces = faces[:, ::-1]
    return Mesh(name, label, vertices.astype(np.float32), faces.astype(np.uint32))


def normals(mesh: Mesh) -> NDArray[np.float32]:
    """Unit normals of the vertices, pointing outwards, shape (V, 3)."""
    a, b, c = (mesh.vertices[mesh.faces[:, i]].astype(np.float64) for i in range(3))
    flat = np.cross(b - a, c - a)
    total = np.zeros(mesh.vertices.shape, np.float64)
    for corner in range(3):
        np.add.at(total, mesh.faces[:, corner], flat)
    lengths = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(total / np.maximum(lengths, 1e-12), np.float32)


def _sampled(mask: NDArray[np.bool_], counts: NDArray[np.int_]) -> NDArray[np.float32]:
    """Share of each grid cell that lies in the mask, float32, shape ``counts``."""
    values = mask.astype(np.float32)
    for axis, count in enumerate(counts):
        length = values.shape[axis]
        if count < length:  # averages whole and split voxels alike: integrate, then difference
            zero = np.zeros_like(values.take([0], axis=axis))
            total = np.concatenate([zero, values.cumsum(axis=axis)], axis=axis)
            edges = np.linspace(0, length, count + 1)
            values = np.diff(_linear(total, edges, axis), axis=axis) * (count / length)
        elif count > length:
            centers = (np.arange(count) + 0.5) * (length / count) - 0.5
            values = _linear(values, np.clip(centers, 0, length - 1), axis)
    return values.astype(np.float32)


def _linear(
    values: NDArray[np.float32], places: NDArray[np.float64], axis: int
) -> NDArray[np.float32]:
    """Linear interpolation along one axis at fractional indices."""
    below = np.minimum(np.floor(places).astype(int), values.shape[axis] - 1)
    above = np.minimum(below + 1, values.shape[axis] - 1)
    shape = [1, 1, 1]
    shape[axis] = len(places)
    part = (places - below).reshape(shape).astype(np.float32)
    mixed = values.take(below, axis=axis) * (1 - part) + values.take(above, axis=axis) * part
    return np.asarray(mixed, np.float32)


def _taubin(points: NDArray[np.float64], faces: NDArray[np.int_]) -> NDArray[np.float64]:
    """Taubin's smoothing (SIGGRAPH 1995): a step inwards and a slightly longer one outwards."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    count = len(points)
    weights = np.ones(len(edges), np.float32)
    matrix = sparse.coo_matrix((weights, (edges[:, 0], edges[:, 1])), shape=(count, count)).tocsr()
    matrix = matrix + matrix.T
    degree = np.maximum(np.asarray(matrix.sum(axis=1)), 1.0)
    middle = points.mean(axis=0)
    moved = points - middle
    for _ in range(8):
        for step in (0.5, -0.53):
            moved = moved + step * (matrix @ moved / degree - moved)
    return np.asarray(moved + middle)
