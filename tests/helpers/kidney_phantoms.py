"""Kidneys whose size and place are known by formula, drawn on any grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations, product

import numpy as np

from helpers.points import points_near
from renalis.volume import Kind, Volume

KIDNEY, TUMOR, CYST = 1, 2, 3
HU = {0: 40, KIDNEY: 160, TUMOR: 90, CYST: 10}
ALL_ORIENTATIONS = [
    "".join(axis[side] for axis, side in zip(axes, sides, strict=True))
    for axes in permutations(("LR", "PA", "IS"))
    for sides in product((0, 1), repeat=3)
]


@dataclass(frozen=True)
class Ellipsoid:
    """All points within ``radii`` of ``center`` (mm, RAS+) get ``label``."""

    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    label: int

    @property
    def ml(self) -> float:
        return float(4 / 3 * np.pi * np.prod(self.radii) / 1000)

    def contains(self, points: np.ndarray) -> np.ndarray:
        away = (points - np.array(self.center)) / np.array(self.radii)
        return (away**2).sum(axis=-1) <= 1


def sphere(center: tuple[float, float, float], radius: float, label: int) -> Ellipsoid:
    return Ellipsoid(center, (radius, radius, radius), label)


RIGHT = Ellipsoid((65, -20, 0), (26, 22, 52), KIDNEY)
LEFT = Ellipsoid((-65, -20, 10), (24, 21, 48), KIDNEY)
RIGHT_TUMOR = sphere((88, -20, 20), 12, TUMOR)
LEFT_CYST = sphere((-65, -20, 55), 9, CYST)


@dataclass(frozen=True)
class Phantom:
    """Shapes in drawing order inside an elliptic body with a spine."""

    shapes: tuple[Ellipsoid, ...] = (RIGHT, LEFT, RIGHT_TUMOR, LEFT_CYST)
    body: tuple[float, float] = (150, 100)
    shift_mm: float = 0.0
    hu: dict[int, int] = field(default_factory=lambda: dict(HU))
    line: bool = False
    """Whether a line of kidney, one voxel wide, joins what lies right and left."""

    def draw(self, affine: np.ndarray, shape: tuple[int, int, int]) -> tuple[Volume, Volume]:
        """Image and labels on a grid; a voxel belongs to a shape when its center does."""
        grid = Volume(np.zeros(shape, np.uint8), affine, Kind.LABELS)
        shift = np.array([self.shift_mm, 0, 0])
        labels = np.zeros(shape, np.uint8)
        for entry in self.shapes:
            box, points = points_near(grid, entry.center + shift, entry.radii)
            labels[box][entry.contains(points - shift)] = entry.label
        if self.line:
            points = grid.world(np.stack(np.indices(shape), axis=-1)) - shift
            level = np.argmin(np.abs(points - [0, -20, 0]).sum(axis=-1))
            _, j, k = np.unravel_index(level, shape)
            across = np.abs(points[:, j, k, 0]) < 65
            labels[across, j, k] = KIDNEY
        index = np.indices(shape, sparse=True)
        x, y = (
            sum(step * i for step, i in zip(affine[row, :3], index, strict=True))
            + affine[row, 3]
            - shift[row]
            for row in range(2)
        )
        image = np.full(shape, -1000, np.int16)
        image[(x / self.body[0]) ** 2 + (y / self.body[1]) ** 2 <= 1] = HU[0]
        image[x**2 + (y + 60) ** 2 <= 18**2] = 600
        for label, hu in self.hu.items():
            if label:
                image[labels == label] = hu
        return Volume(image, affine), grid.like(labels, Kind.LABELS)


def grid_around(
    spacing: tuple[float, float, float] = (2.0, 2.0, 2.5),
    half: tuple[float, float, float] = (160, 105, 80),
    turn_deg: float = 0.0,
    shear: float = 0.0,
) -> tuple[np.ndarray, tuple[int, int, int]]:
    """An RAS grid around the origin, turned about all axes and sheared like a tilted gantry."""
    a, b, c = np.deg2rad([turn_deg, 0.6 * turn_deg, -0.8 * turn_deg])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
    tilt = np.eye(3)
    tilt[1, 2] = shear
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_y @ about_x @ tilt @ np.diag(spacing)
    shape = tuple(int(np.ceil(2 * h / s)) for h, s in zip(half, spacing, strict=True))
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    return affine, shape
