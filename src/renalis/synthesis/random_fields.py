"""Random fields and shapes on a grid, the brushes that the anatomy is painted with.

All arrays are (Z, Y, X) in canonical orientation (``renalis.volume.CANONICAL``); points and radii
are in mm in the frame's coordinates: z to the head, y to the back, x to the patient's left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from renalis.boxes import Box

__all__ = ["Frame", "ball_path", "displaced", "ellipsoid", "smooth_curve", "smooth_field"]

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Frame:
    """Grid of the synthetic body.

    Attributes
    ----------
    shape : tuple of int
        Voxels along Z, Y, X.
    origin : tuple of float
        Coordinates (z, y, x) in mm of voxel (0, 0, 0)'s center.
    spacing : float
        Isotropic voxel size in mm.
    """

    shape: tuple[int, int, int]
    origin: tuple[float, float, float]
    spacing: float

    def axes(self, box: Box | None = None) -> tuple[Array, Array, Array]:
        """Coordinates in mm along z, y, x, shaped to broadcast over the box."""
        parts = []
        for axis in range(3):
            line = self.origin[axis] + self.spacing * np.arange(self.shape[axis])
            if box is not None:
                line = line[box[axis]]
            sides = [1, 1, 1]
            sides[axis] = -1
            parts.append(line.astype(np.float32).reshape(sides))
        return parts[0], parts[1], parts[2]

    def box(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> Box | None:
        """Index box that holds the points between ``low`` and ``high`` (mm); None if outside."""
        start = np.floor((np.asarray(low) - self.origin) / self.spacing).astype(int)
        stop = np.ceil((np.asarray(high) - self.origin) / self.spacing).astype(int) + 1
        start = np.clip(start, 0, self.shape)
        stop = np.clip(stop, 0, self.shape)
        if (stop <= start).any():
            return None
        a, b, c = (slice(int(i), int(j)) for i, j in zip(start, stop, strict=True))
        return a, b, c


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], cell: float) -> Array:
    """Random field with about unit variance that varies over ``cell`` voxels.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    shape : tuple of int
        Size of the result along Z, Y, X.
    cell : float
        Distance in voxels between independent values.

    Returns
    -------
    ndarray, float32
        The field; trilinear between its knots, offset at random.
    """
    coarse = tuple(max(2, int(np.ceil(n / cell)) + 2) for n in shape)
    knots = torch.from_numpy(rng.standard_normal(coarse, dtype=np.float32))[None, None]
    size = [max(n, round((c - 1) * cell)) for n, c in zip(shape, coarse, strict=True)]
    field = functional.interpolate(knots, size=size, mode="trilinear", align_corners=True)[0, 0]
    start = [int(rng.integers(0, s - n + 1)) for s, n in zip(size, shape, strict=True)]
    cut = field[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))]
    # Trilinear mixing lowers the variance to about (2/3)^3.
    return np.asarray(cut.numpy() * np.float32(1.8))


def ellipsoid(
    frame: Frame,
    rng: np.random.Generator,
    center: tuple[float, float, float],
    radii: tuple[float, float, float],
    tilt: float = 0.3,
    roughness: float = 0.12,
) -> tuple[Box, Array] | None:
    """A rotated, dented ellipsoid.

    Returns
    -------
    (Box, ndarray) or None
        The box around the body and in it the relative radius: below 1 inside. None if the shape
        lies outside the frame.
    """
    middle = np.asarray(center, float)
    reach = max(radii) * (1.15 + roughness)
    box = frame.box(middle - reach, middle + reach)
    if box is None:
        return None
    z, y, x = frame.axes(box)
    a, b, c = (float(v) for v in rng.normal(0, tilt, 3)) if tilt else (0.0, 0.0, 0.0)
    rotation = _rotation(a, b, c)
    dz, dy, dx = z - center[0], y - center[1], x - center[2]
    squares: Array | float = 0.0
    for row, radius in zip(rotation, radii, strict=True):
        along = (row[0] * dz + row[1] * dy + row[2] * dx) / np.float32(radius)
        squares = squares + along * along
    radius_map = np.sqrt(np.asarray(squares, np.float32))
    if roughness:
        cell = max(2.0, 0.7 * min(radii) / frame.spacing)
        radius_map += np.float32(roughness) * smooth_field(rng, radius_map.shape, cell)
    return box, radius_map


def _rotation(a: float, b: float, c: float) -> Array:
    """Rotation matrix about z, y and x by the angles in radians."""
    ca, sa, cb, sb, cc, sc = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(c), np.sin(c)
    about_z = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    about_y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    about_x = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, np.float32)


def smooth_curve(points: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Catmull-Rom curve through ``points`` (N, 3), sampled about every ``step`` mm."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    pieces = []
    for i in range(len(points) - 1):
        p0, p1, p2, p3 = padded[i : i + 4]
        count = max(2, int(np.ceil(np.linalg.norm(p2 - p1) / step)))
        t = np.linspace(0, 1, count, endpoint=False)[:, None]
        pieces.append(
            0.5
            * (
                2 * p1
                + (p2 - p0) * t
                + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
                + (3 * p1 - p0 - 3 * p2 + p3) * t**3
            )
        )
    pieces.append(points[-1:])
    return np.concatenate(pieces)


def ball_path(
    frame: Frame, tissue: NDArray[np.uint8], path: NDArray[np.float64], radii: Array, value: int
) -> None:
    """Paint a tube: balls of the given radii (mm) along ``path`` (N, 3), in place."""
    for point, radius in zip(path, radii, strict=True):
        box = frame.box(point - radius, point + radius)
        if box is None:
            continue
        z, y, x = frame.axes(box)
        near = (z - point[0]) ** 2 + (y - point[1]) ** 2 + (x - point[2]) ** 2 <= radius * radius
        tissue[box][near] = value


def displaced(
    rng: np.random.Generator, tissue: NDArray[np.uint8], cell: float, amplitude: float
) -> NDArray[np.uint8]:
    """Bend a tissue map smoothly: displacements of ``amplitude`` voxels that vary over ``cell``."""
    shape = tissue.shape
    flat = np.zeros(shape, np.int64)
    for axis, length in enumerate(shape):
        sides = [1, 1, 1]
        sides[axis] = -1
        place = smooth_field(rng, shape, cell)
        place *= np.float32(amplitude)
        place += np.arange(length, dtype=np.float32).reshape(sides)
        np.rint(place, out=place)
        np.clip(place, 0, length - 1, out=place)
        flat *= length
        flat += place.astype(np.int64)
    return np.asarray(tissue.reshape(-1)[flat])
