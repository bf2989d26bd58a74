"""Cut planes out of volumes, laid out as radiologists look at them.

Axial and coronal planes show the patient's right on the viewer's left, sagittal planes the front
on the viewer's left; the head or the front is up.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.volume import CANONICAL, Volume

__all__ = [
    "Cut",
    "Edges",
    "Plane",
    "cut",
    "direction_letters",
    "laid_out",
    "position_text",
    "slice_number",
]

_LEAST_SHARE = 0.26
"""Of a side that is still named: an angle of 15 degrees."""


class Plane(StrEnum):
    """The three planes of the patient."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"

    @property
    def axis(self) -> int:
        """The canonical array axis that the plane's slices are stacked along."""
        return (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL).index(self)

    @property
    def in_plane(self) -> tuple[int, int]:
        """The canonical array axes of the picture's rows and columns."""
        return ((1, 2), (0, 2), (0, 1))[self.axis]


@dataclass(frozen=True)
class Edges:
    """Directions in the patient that the four edges of a picture face, such as ``"R"``."""

    left: str
    right: str
    top: str
    bottom: str


@dataclass(frozen=True, eq=False)
class Cut:
    """One plane of a volume.

    Parameters
    ----------
    array : ndarray, shape (rows, columns)
        Voxels as shown: first row at the top, first column at the viewer's left.
    row_mm, column_mm : float
        Distance in mm between neighboring rows and between neighboring columns.
    edges : Edges
        Directions in the patient.
    position : str
        Where the middle of the plane lies in the patient, such as ``"S 120.5 mm"``.
    """

    array: NDArray[Any]
    row_mm: float
    column_mm: float
    edges: Edges
    position: str


def cut(volume: Volume, plane: Plane, index: int) -> Cut:
    """One plane of a canonical volume, without copying voxels.

    Parameters
    ----------
    volume : Volume
        In ``renalis.volume.CANONICAL`` orientation.
    plane : Plane
        Which plane.
    index : int
        Index along ``plane.axis``.

    Raises
    ------
    ValueError
        If the volume is in another orientation.
    """
    if volume.orientation != CANONICAL:
        raise ValueError(f"planes are cut from {CANONICAL} volumes, this one is in another order")
    rows, columns = plane.in_plane
    down, rightward = volume.affine[:3, rows], volume.affine[:3, columns]
    if _upside_down(plane):
        down = -down
    edges = Edges(
        left=direction_letters(-rightward),
        right=direction_letters(rightward),
        top=direction_letters(-down),
        bottom=direction_letters(down),
    )
    middle = (np.asarray(volume.shape) - 1) / 2
    middle[plane.axis] = index
    position = position_text(plane, volume.world(middle))
    spacing = volume.spacing
    return Cut(
        laid_out(volume.array, plane, index), spacing[rows], spacing[columns], edges, position
    )


def laid_out(array: NDArray[Any], plane: Plane, index: int = 0) -> NDArray[Any]:
    """One plane of an array in canonical order as a picture shows it, without copying voxels.

    Parameters
    ----------
    array : ndarray, shape (Z, Y, X)
        Voxels.
    plane : Plane
        Which plane.
    index : int
        Index along ``plane.axis``.

    Returns
    -------
    ndarray, shape (rows, columns)
    """
    flat = array[(slice(None),) * plane.axis + (index,)]
    return flat[::-1] if _upside_down(plane) else flat


def _upside_down(plane: Plane) -> bool:
    """Whether a plane's rows run along axis 0: to the head, and the head belongs to the top."""
    return plane.in_plane[0] == 0


def direction_letters(direction: NDArray[np.float64]) -> str:
    """Letters of the patient's sides that a direction points to, the two strongest at most.

    Parameters
    ----------
    direction : ndarray, shape (3,)
        In patient coordinates (RAS+), of any length.

    Examples
    --------
    >>> direction_letters(np.array([0.0, 2.0, 0.0])), direction_letters(np.array([-3.0, 0, 2.0]))
    ('A', 'LH')
    """
    unit = direction / np.linalg.norm(direction)
    names = (("L", "R"), ("P", "A"), ("F", "H"))
    order = np.argsort(-np.abs(unit), kind="stable")
    return "".join(names[i][int(unit[i] > 0)] for i in order[:2] if abs(unit[i]) >= _LEAST_SHARE)


def position_text(plane: Plane, world: NDArray[np.float64]) -> str:
    """Place of a plane along its own patient axis, as on a workstation: ``"A 31.0 mm"``."""
    axis, letters = {
        Plane.AXIAL: (2, "IS"),
        Plane.CORONAL: (1, "PA"),
        Plane.SAGITTAL: (0, "LR"),
    }[plane]
    value = float(world[axis])
    return f"{letters[int(value >= 0)]} {abs(value):.1f} mm"


def slice_number(scan: Volume, canonical: Volume, plane: Plane, index: int) -> tuple[int, int]:
    """Number of a plane in the scan's own order, and how many there are.

    Parameters
    ----------
    scan : Volume
        In the order of its file.
    canonical : Volume
        The same voxels reoriented, or a box cut out of them.
    plane, index
        The plane in ``canonical``.

    Returns
    -------
    number, count : int
        ``number`` runs from 1 to ``count`` along the file's own array axis.
    """
    at = np.zeros(3)
    at[plane.axis] = index
    axis = int(np.argmax(np.abs(_permutation(scan, canonical)[:, plane.axis])))
    number = round(float(scan.index(canonical.world(at))[axis])) + 1
    return number, scan.shape[axis]


def _permutation(scan: Volume, canonical: Volume) -> NDArray[np.float64]:
    """Steps along the scan's array axes that one step along each canonical axis makes."""
    return np.asarray(np.linalg.solve(scan.affine[:3, :3], canonical.affine[:3, :3]))
