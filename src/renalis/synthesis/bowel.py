"""Crowded bowel: the look-alike that matters most next to a kidney.

Loops are tubes around smooth random curves. A voxel belongs to the loop whose center line is
nearest; between two loops that touch stand their walls. Each stretch of a loop has its own content
slot, whose CT numbers are drawn with the appearance: fluid, food, stool, oral contrast, nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch.nn import functional

from renalis.synthesis.random_fields import Array, Frame, Mask, smooth_curve, smooth_field
from renalis.synthesis.tissues import BOWEL_SLOTS, Tissue
from renalis.synthesis.torso import Landmarks

__all__ = ["paint_bowel"]


AddPath = Callable[[NDArray[np.float64], Array, float, float, float], None]
"""Takes center line, radii, length of a stretch, share with gas, share collapsed."""


@dataclass(frozen=True)
class Loops:
    """Center-line points of all loops.

    ``points`` (N, 3) in mm; ``radius`` (N,) in mm; ``stretch`` (N,) index of the piece of bowel;
    ``slot`` and ``gas_level`` per stretch: content, and y in mm above which (in front) gas stands.
    """

    points: NDArray[np.float64]
    radius: Array
    stretch: NDArray[np.int64]
    slot: NDArray[np.int64]
    gas_level: Array


def paint_bowel(
    tissue: NDArray[np.uint8],
    frame: Frame,
    marks: Landmarks,
    cavity: Mask,
    rng: np.random.Generator,
) -> None:
    """Paint colon and small bowel into the free fat of the peritoneal space, in place."""
    loops = _loops(marks, rng)
    factor = 2
    coarse = tuple(slice(None, None, factor) for _ in range(3))
    z, y, x = frame.axes()
    low_part = z < marks.kidney_top + 60
    # Peritoneal space: in front of the kidneys' fascia, plus the flanks for the colon.
    behind = marks.vertebra_y + float(rng.uniform(-8, 12))
    flank = np.abs(x - marks.midline) > 0.5 * marks.half_width
    gap_mm = float(rng.uniform(0, 24))  # thin patients have bowel on their kidneys
    region = cavity & low_part & ((y < behind - gap_mm) | (flank & (y < behind + 22)))
    region &= tissue == Tissue.VISCERAL_FAT
    where = np.argwhere(region[coarse])
    if len(where) == 0:
        return
    place = np.asarray(frame.origin) + where * (factor * frame.spacing)
    place = place + rng.normal(0, 0.6, place.shape)
    tree = cKDTree(loops.points)
    distance, index = tree.query(place, k=6, distance_upper_bound=45.0)
    missing = ~np.isfinite(distance)
    index[missing] = 0
    gap = distance - loops.radius[index]
    gap[missing] = 99.0
    stretch = loops.stretch[index]
    first = gap.argmin(1)
    rows = np.arange(len(gap))
    nearest = gap[rows, first]
    own = stretch[rows, first]
    others = np.where(stretch == own[:, None], 99.0, gap)
    rival = others.min(1)
    wall = float(rng.uniform(1.0, 2.6))
    # Signed depth into the own lumen: negative inside, the wall where it is near zero.
    inner = np.maximum(nearest, 0.5 * (nearest - rival) + 0.3).astype(np.float32)

    shape = region[coarse].shape
    field = np.full(shape, 20.0, np.float32)
    field[tuple(where.T)] = inner
    content = np.zeros(shape, np.int64)
    content[tuple(where.T)] = own
    upsampled = functional.interpolate(
        torch.from_numpy(field)[None, None], scale_factor=factor, mode="trilinear"
    )[0, 0].numpy()[: frame.shape[0], : frame.shape[1], : frame.shape[2]]
    upsampled = upsampled + np.float32(0.7) * smooth_field(rng, frame.shape, 4)
    spread = content
    for axis in range(3):
        spread = np.repeat(spread, factor, axis)
    spread = spread[: frame.shape[0], : frame.shape[1], : frame.shape[2]]
    lumen = region & (upsampled < -wall)
    walls = region & (upsampled < 0) & ~lumen
    tissue[walls] = Tissue.BOWEL_WALL
    inside = np.nonzero(lumen)
    which = spread[inside]
    filled = loops.slot[which].astype(np.uint8)
    y_line = y.reshape(-1)
    in_front = y_line[inside[1]] < loops.gas_level[which]
    filled[in_front & (filled != Tissue.COLLAPSED_BOWEL)] = Tissue.GAS
    tissue[inside] = filled


def _loops(marks: Landmarks, rng: np.random.Generator) -> Loops:
    paths: list[NDArray[np.float64]] = []
    radii: list[Array] = []
    pieces: list[NDArray[np.int64]] = []
    slots: list[int] = []
    levels: list[float] = []

    def add(
        path: NDArray[np.float64], radius: Array, length: float, gas: float, empty: float
    ) -> None:
        """Cut a path into stretches of about ``length`` mm with contents of their own."""
        walked = np.concatenate([[0], np.linalg.norm(np.diff(path, axis=0), axis=1).cumsum()])
        part = (walked / length).astype(np.int64)
        for _ in range(int(part[-1]) + 1):
            collapsed = rng.random() < empty
            slots.append(Tissue.COLLAPSED_BOWEL if collapsed else int(rng.choice(BOWEL_SLOTS)))
        pieces.append(part + (len(slots) - int(part[-1]) - 1))
        for number in range(int(part[-1]) + 1):
            piece = path[part == number]
            if len(piece) == 0 or rng.random() > gas:
                levels.append(-1e4)
            else:
                levels.append(float(piece[:, 1].mean()) + float(rng.normal(0, 10)))
        paths.append(path)
        radii.append(radius)

    _add_colon(marks, rng, add)
    _add_small_bowel(marks, rng, add)
    return Loops(
        np.concatenate(paths),
        np.concatenate(radii).astype(np.float32),
        np.concatenate(pieces),
        np.asarray(slots, np.int64),
        np.asarray(levels, np.float32),
    )


def _add_colon(marks: Landmarks, rng: np.random.Generator, add: AddPath) -> None:
    u = rng.uniform
    m, w, v, y0 = marks.midline, marks.half_width, marks.vertebra_y, marks.middle_y
    bottom, top = marks.kidney_bottom, marks.kidney_top
    side_r, side_l = m - w * u(0.5, 0.68), m + w * u(0.5, 0.7)
    points = np.array(
        [
            [marks.crest - u(30, 70), y0 - u(5, 35), side_r + u(5, 25)],
            [bottom - u(0, 30), v - u(5, 35), side_r],
            [bottom + u(15, 60), v - u(10, 50), side_r + u(0, 25)],
            [bottom + u(10, 50), y0 - u(35, 60), m - w * u(0.25, 0.4)],
            [bottom - u(-40, 60), marks.front + u(45, 70), m + u(-20, 20)],
            [top - u(0, 40), y0 - u(25, 55), m + w * u(0.3, 0.5)],
            [top + u(-10, 40), v - u(10, 60), side_l - u(0, 10)],
            [bottom + u(0, 40), v - u(0, 30), side_l],
            [bottom - u(30, 70), v - u(0, 35), side_l],
            [marks.crest - u(20, 60), y0 - u(0, 30), side_l - u(5, 25)],
            [marks.crest - u(70, 100), y0 + u(0, 30), m + u(20, 50)],
            [marks.crest - u(60, 120), y0 + u(10, 40), m + u(-30, 20)],
            [marks.crest - u(110, 150), v + u(0, 25), m + u(-6, 6)],
            [marks.crest - u(170, 210), v + u(5, 25), m],
        ]
    )
    points[1:-1] += rng.normal(0, 7, (len(points) - 2, 3))
    path = smooth_curve(points, 3.0)
    along = np.linspace(0, 1, len(path))
    size = np.interp(along, np.linspace(0, 1, 6), rng.uniform(9, 27, 6))
    haustra = 1 + rng.uniform(0.05, 0.28) * np.sin(2 * np.pi * np.arange(len(path)) * 3 / u(22, 40))
    add(path, (size * haustra).astype(np.float32), u(50, 140), u(0.3, 0.95), u(0, 0.3))


def _add_small_bowel(marks: Landmarks, rng: np.random.Generator, add: AddPath) -> None:
    u = rng.uniform
    m, w, v = marks.midline, marks.half_width, marks.vertebra_y
    girth = u(6, 13)
    # Duodenum: descends next to the right kidney's hilum and crosses in front of the aorta.
    top, bottom = marks.kidney_top, marks.kidney_bottom
    duodenum = np.array(
        [
            [top - u(0, 20), marks.middle_y - u(10, 40), m - u(20, 45)],
            [top - u(15, 35), v - u(15, 40), m - u(38, 58)],
            [0.5 * (top + bottom) - u(0, 20), v - u(12, 32), m - u(36, 56)],
            [bottom + u(-20, 25), v - u(20, 40), m - u(15, 40)],
            [bottom + u(-10, 30), v - u(36, 50), m + u(0, 15)],
            [0.5 * (top + bottom) - u(-5, 25), v - u(30, 55), m + u(30, 50)],
        ]
    )
    path = smooth_curve(duodenum, 2.5)
    add(path, np.full(len(path), u(7, 14), np.float32), u(40, 90), u(0, 0.4), u(0, 0.5))
    crowd = int(rng.integers(6, 22) if rng.random() < 0.4 else rng.integers(20, 56))
    for _ in range(crowd):
        low = np.array([marks.crest - 110, marks.front + 25, m - 0.68 * w])
        high = np.array([top - 10, v - 24, m + 0.68 * w])
        spot = low + (high - low) * rng.random(3)
        if marks.kidneys and rng.random() < 0.2:  # jejunum and flexures lie before the kidneys
            kidney = np.array(marks.kidneys[int(rng.integers(len(marks.kidneys)))])
            high[1] = v - 5
            away = np.array([u(-70, 50), -u(15, 60), u(-30, 30)])
            spot = np.clip(kidney + away, low, high)
        points = [spot]
        heading = rng.normal(0, 1, 3)
        for _ in range(int(rng.integers(5, 14))):
            heading = 0.55 * heading / np.linalg.norm(heading) + rng.normal(0, 0.6, 3)
            spot = spot + heading / np.linalg.norm(heading) * u(18, 34)
            spot = np.clip(spot, low, high)
            points.append(spot + rng.normal(0, 2, 3))
        path = smooth_curve(np.asarray(points), 3.0)
        r = girth * u(0.7, 1.35)
        wave = 1 + u(0, 0.2) * np.sin(2 * np.pi * np.arange(len(path)) * 3 / u(9, 24))
        add(path, (r * wave).astype(np.float32), u(40, 160), u(0, 0.5), u(0, 0.6))
