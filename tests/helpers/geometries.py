"""Scans of every geometry that a file may have, with kidneys anywhere, from a number each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helpers.stub import CYST, FAT, KIDNEY, TUMOR
from renalis.volume import Volume

AIR = -1000
LONGEST_MM = 1200.0
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Ball:
    """A structure: an ellipsoid in patient mm."""

    center: Points
    radius: Points
    hu: int

    def depth(self, points: Points) -> Points:
        """About how many mm points lie below its surface; negative outside."""
        away = np.linalg.norm((points - self.center) / self.radius, axis=-1)
        return (1 - away) * self.radius.min()


@dataclass(frozen=True, eq=False)
class Made:
    """A scan and what is in it."""

    scan: Volume
    balls: tuple[Ball, ...]
    points: Points


def made(seed: int, voxels: int) -> Made:
    """A noisy scan of at most about so many voxels.

    Spacing 0.3 to 10 mm, 2 to 900 slices, any field of view, any order and direction of axes, half
    of them oblique or sheared, with 0 to 3 structures of which many are cut by the border.
    """
    rng = np.random.default_rng(seed)
    shape, affine = _grid(rng, voxels)
    empty = Volume(np.zeros(shape, np.int16), affine)
    points = empty.world(np.moveaxis(np.indices(shape), 0, -1))
    middle = empty.world((np.array(shape) - 1) / 2)
    half = np.maximum(np.abs(affine[:3, :3]) @ np.array(shape) / 2, 1.0)
    hu = np.full(shape, float(FAT))
    if rng.random() < 0.7:  # a body in air
        hu[(((points - middle) / half)[..., :2] ** 2).sum(-1) > 1.1] = AIR
    balls = tuple(_ball(rng, middle, half) for _ in range(int(rng.integers(0, 4))))
    for ball in balls:
        hu[ball.depth(points) > 0] = ball.hu
    hu += rng.normal(0, 3, shape)
    # Somewhere there is air, as in every CT: a label map has none.
    hu.flat[0] = AIR
    return Made(Volume(np.rint(hu).astype(np.int16), affine), balls, points)


def _grid(rng: np.random.Generator, voxels: int) -> tuple[tuple[int, int, int], Points]:
    """Shape and affine."""
    count = int(np.exp(rng.uniform(np.log(2), np.log(901))))
    thick = min(float(np.exp(rng.uniform(np.log(0.3), np.log(10)))), max(0.3, LONGEST_MM / count))
    plane = np.exp(rng.uniform(np.log(0.3), np.log(10), 2))
    if rng.random() < 0.7:
        plane[1] = plane[0]
    view = np.exp(rng.uniform(np.log(10), np.log(500), 2))
    most = max(4, int(np.sqrt(voxels / count)))
    shape = np.array([*np.clip(np.round(view / plane), 2, most), count]).astype(int)
    turn = np.eye(3)
    kind = rng.random()
    if kind < 0.35:
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        angle = np.radians(rng.uniform(1, 45))
        cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
        turn += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    elif kind < 0.5:
        turn[1, 2] = np.tan(np.radians(rng.uniform(-30, 30)))
    order = rng.permutation(3) if rng.random() < 0.5 else np.arange(3)
    axes = (turn @ np.diag(np.array([*plane, thick]) * rng.choice([-1, 1], 3)))[:, order]
    shape = shape[order]
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = -axes @ ((shape - 1) / 2) + rng.uniform(-300, 300, 3)
    i, j, k = (int(n) for n in shape)
    return (i, j, k), affine


def _ball(rng: np.random.Generator, middle: Points, half: Points) -> Ball:
    """A structure anywhere in the scan, often at a side, edge or corner of it."""
    at = rng.uniform(-1, 1, 3)
    outermost = rng.random(3) < 0.4
    at[outermost] = np.sign(at[outermost])
    radius = np.exp(rng.uniform(np.log(4), np.log(60), 3))
    return Ball(middle + at * half, radius, int(rng.choice([KIDNEY, KIDNEY, KIDNEY, TUMOR, CYST])))
