"""Surfaces of kidneys and lesions that enclose what the voxels have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from renalis.boxes import bounding_box
from renalis.conventions import Label
from renalis.io.segments.facts import SegmentFacts
from renalis.io.segments.surfaces_out import Surface
from renalis.measurement.numbering import NumberedStructures
from renalis.report.meshes import Mesh, surface
from renalis.volume import Kind

__all__ = ["enclosed_ml", "surfaces_of"]

_KIDNEY_CELLS, _LESION_CELLS = 88, 48


def surfaces_of(structures: NumberedStructures, facts: Sequence[SegmentFacts]) -> list[Surface]:
    """A closed surface of each structure, smooth, with the volume of its voxels.

    Parameters
    ----------
    structures : NumberedStructures
        All kidneys and lesions.
    facts : sequence of SegmentFacts
        In the same order.

    Notes
    -----
    Smoothing costs small structures volume; each connected part is scaled, all by the same factor,
    so that the volume is that of the voxels.
    """
    found = []
    for number, one in enumerate(facts, 1):
        inside = structures.volume.array == number
        box = bounding_box(inside)
        if box is None:
            continue
        mask = structures.volume.cropped(box).like(inside[box], Kind.LABELS)
        cells = _KIDNEY_CELLS if one.label == Label.KIDNEY else _LESION_CELLS
        mesh = surface(mask, one.id, one.label, cells)
        if mesh is not None:
            wanted = int(np.count_nonzero(mask.array)) * mask.voxel_ml
            mesh = _enclosing(mesh, wanted)
            found.append(Surface(one, mesh.vertices, mesh.faces))
    return found


def enclosed_ml(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> float:
    """Volume within a closed mesh by the divergence theorem; positive if its faces look outwards.

    Parameters
    ----------
    vertices : ndarray, shape (V, 3)
        In mm.
    faces : ndarray, shape (F, 3)
        Counter-clockwise seen from outside.
    """
    points = vertices.astype(np.float64) - vertices.mean(axis=0, dtype=np.float64)
    a, b, c = (points[faces[:, corner]] for corner in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6000)


def _enclosing(mesh: Mesh, ml: float) -> Mesh:
    """The mesh with each connected part scaled about its own middle, to enclose a volume."""
    having = enclosed_ml(mesh.vertices, mesh.faces)
    if having <= 0:
        return mesh
    factor = (ml / having) ** (1 / 3)
    edges = np.concatenate([mesh.faces[:, :2], mesh.faces[:, 1:]]).astype(np.int64)
    count = len(mesh.vertices)
    joined = coo_matrix((np.ones(len(edges)), tuple(edges.T)), shape=(count, count))
    parts, part = connected_components(joined, directed=False)
    sizes = np.bincount(part, minlength=parts)
    vertices = mesh.vertices.astype(np.float64)
    sums = [np.bincount(part, vertices[:, axis], parts) for axis in range(3)]
    middle = (np.stack(sums, axis=1) / sizes[:, None])[part]
    moved = middle + factor * (vertices - middle)
    return replace(mesh, vertices=moved.astype(np.float32))
