"""Surface elements of a mask, by DeepMind's definition.

Every corner point of the voxel grid is surrounded by 2 × 2 × 2 voxels: a cell. A cell that holds
both inside and outside is a surface cell; the area of surface in it follows from which of its
eight voxels are inside (marching cubes with the vertices at the middle of edges) and from the
spacing. Outside the array everything counts as outside. This is the definition behind the surface
Dice of Nikolov et al., "Clinically Applicable Segmentation of Head and Neck Anatomy for
Radiotherapy" (J Med Internet Res 2021, arXiv:1809.04430), which the KiTS challenges use.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["area_table", "cell_codes", "on_surface"]

_Triangle = tuple[int, int, int]

# One entry per class of cells: the corners inside (axis 0, axis 1, axis 2 as a bit string) and the
# normals of the triangles, in eighths of a voxel face. The other 256 cells follow by symmetry: the
# areas do not change when axes are flipped, when axes are exchanged together with the components
# of the normals, or when inside and outside are exchanged. Values as in the lookup table of
# DeepMind's surface-distance (Apache-2.0), whose areas have exactly this symmetry.
_CLASSES: tuple[tuple[tuple[str, ...], tuple[_Triangle, ...]], ...] = (
    (("000",), ((1, 1, 1),)),
    (("000", "001"), ((2, 2, 0), (2, 2, 0))),
    (("001", "010"), ((1, 1, 1), (1, 1, 1))),
    (("011", "100"), ((1, 1, 1), (1, 1, 1))),
    (("000", "001", "010"), ((1, 1, 1), (2, 2, 2), (4, 0, 0))),
    (("001", "010", "100"), ((1, 1, 1), (1, 1, 1), (1, 1, 1))),
    (("000", "011", "100"), ((0, 2, 2), (0, 2, 2), (1, 1, 1))),
    (("000", "001", "010", "011"), ((4, 0, 0), (4, 0, 0))),
    (("000", "001", "010", "100"), ((1, 1, 1), (1, 1, 1), (2, 2, 2), (2, 2, 2))),
    (("000", "001", "011", "100"), ((0, 2, 2), (1, 1, 1), (2, 0, 2), (3, 3, 3))),
    (("001", "010", "011", "100"), ((1, 1, 1), (1, 1, 1), (2, 2, 2), (4, 0, 0))),
    (("010", "011", "100", "101"), ((2, 2, 0), (2, 2, 0), (2, 2, 0), (2, 2, 0))),
    (("000", "011", "101", "110"), ((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1))),
)


@lru_cache(maxsize=1)
def _triangles() -> tuple[tuple[_Triangle, ...], ...]:
    """Triangle normals in eighths, signs dropped, for each of the 256 cells."""
    table: dict[int, tuple[_Triangle, ...]] = {0: (), 255: ()}
    for corners, normals in _CLASSES:
        for axes in itertools.permutations(range(3)):
            turned = tuple((n[axes[0]], n[axes[1]], n[axes[2]]) for n in normals)
            for flips in itertools.product((0, 1), repeat=3):
                code = 0
                for corner in corners:
                    bits = [int(corner[axes[a]]) ^ flips[a] for a in range(3)]
                    code |= 1 << (bits[0] * 4 + bits[1] * 2 + bits[2])
                table[code] = table[255 - code] = turned
    return tuple(table[code] for code in range(256))


@lru_cache(maxsize=64)
def area_table(spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Area of surface in each kind of cell.

    Parameters
    ----------
    spacing : tuple of float
        Voxel spacing along the three array axes, mm.

    Returns
    -------
    ndarray of float64, shape (256,)
        Area in mm² by the cell's code as `cell_codes` gives it.

    Examples
    --------
    >>> round(float(area_table((1.0, 1.0, 1.0))[0b00001111]), 3)  # a flat face
    1.0
    """
    a, b, c = spacing
    faces = np.array([b * c, a * c, a * b]) / 8
    table = np.zeros(256)
    for code, normals in enumerate(_triangles()):
        if normals:
            table[code] = np.linalg.norm(np.array(normals) * faces, axis=1).sum()
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
