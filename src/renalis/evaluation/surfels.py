"""Surface elements of a mask, by DeepMind's definition.

Every corner point of the voxel grid is surrounded by 2 × 2 × 2 voxels: a cell. A cell that holds
both inside and outside is a surface cell; the area of surface in it follows from which of its
eight voxels are inside (marching cubes with the vertices at the middle of edges) and from the
steps between voxels. Outside the array everything counts as outside. This is the definition behind
the surface Dice of Nikolov et al., "Clinically Applicable Segmentation of Head and Neck Anatomy for
Radiotherapy" (J Med Internet Res 2021, arXiv:1809.04430), which the KiTS challenges use.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.evaluation.voxel_geometry import VoxelGeometry

__all__ = ["area_table", "cell_codes", "on_surface"]

_Triangle = tuple[int, int, int]

# One entry per class of cells: the corners inside (axis 0, axis 1, axis 2 as a bit string) and the
# normals of the triangles, in eighths of a voxel face. The other 256 cells follow by symmetry: axes
# are flipped or exchanged together with the components of the normals, inside and outside are
# exchanged. Values as in the lookup table of DeepMind's surface-distance (Apache-2.0), whose
# normals have this symmetry but for their signs.
_CLASSES: tuple[tuple[tuple[str, ...], tuple[_Triangle, ...]], ...] = (
    (("000",), ((1, 1, 1),)),
    (("000", "001"), ((2, 2, 0), (2, 2, 0))),
    (("001", "010"), ((1, -1, 1), (1, 1, -1))),
    (("011", "100"), ((1, -1, -1), (1, -1, -1))),
    (("000", "001", "010"), ((1, 1, 1), (2, 2, 2), (4, 0, 0))),
    (("001", "010", "100"), ((1, -1, -1), (1, -1, 1), (1, 1, -1))),
    (("000", "011", "100"), ((0, 2, 2), (0, 2, 2), (1, -1, -1))),
    (("000", "001", "010", "011"), ((4, 0, 0), (4, 0, 0))),
    (("000", "001", "010", "100"), ((1, 1, 1), (1, 1, 1), (2, 2, 2), (2, 2, 2))),
    (("000", "001", "011", "100"), ((0, 2, 2), (1, 1, -1), (2, 0, 2), (3, 3, -3))),
    (("001", "010", "011", "100"), ((1, 1, 1), (1, 1, 1), (2, 2, 2), (4, 0, 0))),
    (("010", "011", "100", "101"), ((2, -2, 0), (2, -2, 0), (2, -2, 0), (2, -2, 0))),
    (("000", "011", "101", "110"), ((1, -1, -1), (1, -1, 1), (1, 1, -1), (1, 1, 1))),
)


@lru_cache(maxsize=1)
def _triangles() -> tuple[tuple[tuple[_Triangle, ...], ...], ...]:
    """Normals of the triangles in eighths, for each of the 256 cells.

    Some cells can be cut in several ways that symmetry does not tell apart, all with the same area
    where axes are perpendicular; all are listed.
    """
    table: list[set[tuple[_Triangle, ...]]] = [set() for _ in range(256)]
    for corners, normals in _CLASSES:
        for axes in itertools.permutations(range(3)):
            for flips in itertools.product((0, 1), repeat=3):
                signs = [1 - 2 * flip for flip in flips]
                turned = tuple(sorted(_turned(n, axes, signs) for n in normals))
                code = 0
                for corner in corners:
                    bits = [int(corner[axes[a]]) ^ flips[a] for a in range(3)]
                    code |= 1 << (bits[0] * 4 + bits[1] * 2 + bits[2])
                table[code].add(turned)
                table[255 - code].add(turned)
    return tuple(tuple(sorted(ways)) for ways in table)


def _turned(normal: _Triangle, axes: Sequence[int], signs: Sequence[int]) -> _Triangle:
    """A normal in exchanged and flipped axes; of both directions the one that begins positive."""
    a, b, c = (normal[axis] * sign for axis, sign in zip(axes, signs, strict=True))
    return max((a, b, c), (-a, -b, -c))


@lru_cache(maxsize=64)
def area_table(geometry: VoxelGeometry) -> NDArray[np.float64]:
    """Area of surface in each kind of cell.

    Parameters
    ----------
    geometry : VoxelGeometry
        The grid's steps, mm. In sheared grids the area is that of the sheared triangles; of cells
        that can be cut in several ways, the mean over these.

    Returns
    -------
    ndarray of float64, shape (256,)
        Area in mm² by the cell's code as `cell_codes` gives it.

    Examples
    --------
    >>> areas = area_table(VoxelGeometry.straight((1.0, 1.0, 1.0)))
    >>> round(float(areas[0b00001111]), 3)  # a flat face
    1.0
    """
    faces = geometry.faces.T / 8
    table = np.zeros(256)
    for code, ways in enumerate(_triangles()):
        used = ways[:1] if geometry.is_straight else ways
        if used:
            areas = [np.linalg.norm(np.array(normals) @ faces, axis=1).sum() for normals in used]
            table[code] = sum(areas) / len(areas)
    table.setflags(write=False)
    return table


def cell_codes(mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Code of every cell that touches the mask.

    Parameters
    ----------
    mask : ndarray of bool or of uint8 zeros and ones, shape (I, J, K)
        The mask. Its outermost voxels must be zero: pad it first.

    Returns
    -------
    ndarray of uint8, shape (I - 1, J - 1, K - 1)
        Bit ``4 a + 2 b + c`` of element ``(i, j, k)`` says whether voxel
        ``(i + a, j + b, k + c)`` is inside. 0 is all outside, 255 all inside.
    """
    inside = mask.view(np.uint8)
    codes: NDArray[np.uint8] = np.left_shift(inside[:, :, 1:], 1, dtype=np.uint8)
    codes |= inside[:, :, :-1]
    rows: NDArray[np.uint8] = np.left_shift(codes[:, 1:], 2, dtype=np.uint8)
    rows |= codes[:, :-1]
    cells: NDArray[np.uint8] = np.left_shift(rows[1:], 4, dtype=np.uint8)
    cells |= rows[:-1]
    return cells


def on_surface(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which cells hold surface: neither all outside nor all inside."""
    return (codes + np.uint8(1)) > 1
