"""The body around the organs: skin, fat, muscle wall, ribs, lungs, arms and table.

Everything is given by formulas in mm relative to landmarks and bent at random afterwards
(`renalis.synthesis.random_fields.displaced`), so that no two bodies share a contour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.synthesis.random_fields import Array, Frame, Mask, ellipsoid, smooth_field
from renalis.synthesis.tissues import Tissue

__all__ = ["Landmarks", "Shell", "paint_arms_and_table", "paint_wall"]


@dataclass(frozen=True)
class Landmarks:
    """Where the big things are, in mm (z to the head, y to the back, x to the patient's left).

    ``kidneys`` holds the centers (z, y, x) of the renal bodies.
    """

    midline: float
    vertebra_y: float
    kidney_top: float
    kidney_bottom: float
    kidney_back: float
    back: float
    front: float
    half_width: float
    dome: float
    crest: float
    kidneys: tuple[tuple[float, float, float], ...]

    @property
    def middle_y(self) -> float:
        """Center of the body from front to back."""
        return 0.5 * (self.back + self.front)


@dataclass(frozen=True)
class Shell:
    """Depth below the skin and the space inside the muscle wall.

    Attributes
    ----------
    depth : ndarray, float32
        About the distance to the skin in mm, negative outside.
    cavity : ndarray, bool
        Inside of the abdominal and thoracic wall.
    relative_x : ndarray, float32
        Position relative to the body's half width.
    """

    depth: Array
    cavity: Mask
    relative_x: Array


def paint_wall(
    tissue: NDArray[np.uint8], frame: Frame, marks: Landmarks, rng: np.random.Generator
) -> Shell:
    """Paint skin, subcutaneous fat, muscle wall, ribs and the fat inside; lungs above the dome."""
    z, y, x = frame.axes()
    height = z - marks.kidney_bottom
    # Hips and chest are wider than the waist.
    hips = rng.uniform(0.0, 0.16) * np.exp(-(((height + 170) / 90) ** 2))
    chest = rng.uniform(-0.06, 0.08) * np.exp(-(((height - 200) / 90) ** 2))
    width = (marks.half_width * (1 + hips + chest)).astype(np.float32)
    half_depth = np.float32(0.5 * (marks.back - marks.front)) * (
        1 + np.float32(rng.uniform(-0.15, 0.1)) * np.exp(-(((height + 120) / 80) ** 2))
    ).astype(np.float32)
    u = (x - marks.midline) / width
    v = (y - marks.middle_y) / half_depth
    power = float(rng.uniform(2.0, 2.9))
    radius = (np.abs(u) ** power + np.abs(v) ** power) ** np.float32(1 / power)
    radius = radius + np.float32(0.02) * smooth_field(rng, frame.shape, 45 / frame.spacing)
    # Distance from the axis in mm over the relative radius gives the local body radius.
    away = np.sqrt((u * width) ** 2 + (v * half_depth) ** 2)
    depth = (1 - radius) * away / np.maximum(radius, np.float32(0.2))
    depth = np.asarray(np.where(radius < 0.2, np.float32(200), depth), np.float32)

    fat = float(rng.choice([rng.uniform(4, 14), rng.uniform(10, 30), rng.uniform(25, 60)]))
    room = max(5.0, min(marks.back - marks.kidney_back - 16, 0.35 * marks.half_width))
    fat = min(fat, room)
    # More fat behind and at the sides or in front, depending on the patient.
    uneven = 1 + rng.uniform(-0.45, 0.45) * np.clip(v, -1, 1) + rng.uniform(-0.3, 0.3) * np.abs(u)
    uneven = uneven + 0.12 * smooth_field(rng, frame.shape, 50 / frame.spacing)
    fat_depth = np.float32(fat) * uneven.astype(np.float32)
    muscle = rng.uniform(9, 22) * (0.65 + 0.5 * np.minimum(np.abs(u), 1) ** 2)
    muscle = muscle.astype(np.float32) * np.float32(1.0)
    inside = depth > 0
    skin = rng.uniform(1.0, 2.6)
    tissue[inside] = Tissue.FAT
    tissue[inside & (depth < skin)] = Tissue.SKIN
    wall = depth - fat_depth
    cavity = wall > muscle
    layers = smooth_field(rng, frame.shape, 20 / frame.spacing) > 1.4
    tissue[(wall > 0) & ~cavity] = Tissue.MUSCLE
    # Fat planes between the muscles of the flank.
    plane = np.abs(wall - 0.5 * muscle) < rng.uniform(0, 1.6)
    tissue[plane & layers & (np.abs(u) > 0.5)] = Tissue.FAT
    # Linea alba.
    tissue[(wall > 0) & ~cavity & (np.abs(x - marks.midline) < 4) & (v < 0)] = Tissue.FAT
    tissue[cavity] = Tissue.VISCERAL_FAT

    _paint_ribs(tissue, frame, marks, rng, wall, v)
    _paint_lungs(tissue, frame, marks, rng, wall > 0.75 * muscle, u, v)
    return Shell(depth, cavity, np.asarray(u, np.float32))


def _paint_ribs(
    tissue: NDArray[np.uint8],
    frame: Frame,
    marks: Landmarks,
    rng: np.random.Generator,
    wall: Array,
    v: Array,
) -> None:
    z, _, x = frame.axes()
    period = float(rng.uniform(24, 32))
    slope = float(rng.uniform(35, 75))
    # Ribs run down to the front; the lowest end in the flank next to the kidneys.
    place = z + slope * (1 - v) * 0.5 + 6 * np.abs(v)
    phase = np.mod(place - marks.kidney_top, period) / period
    lowest = marks.kidney_top - rng.uniform(20, 75) + 45 * np.clip(0.2 - v, 0, 2)
    thick = rng.uniform(5, 8)
    ring = (wall > 1.5) & (wall < 1.5 + thick) & (z > lowest) & (np.abs(x - marks.midline) > 28)
    width = rng.uniform(0.32, 0.45)
    bone = ring & (phase < width)
    front = v < rng.uniform(-0.75, -0.5)
    core = (np.abs(phase - width / 2) < width / 2 - 0.09) & (np.abs(wall - 1.5 - thick / 2) < 1.6)
    tissue[bone] = Tissue.CORTICAL_BONE
    tissue[bone & core] = Tissue.SPONGY_BONE
    tissue[bone & front] = Tissue.CARTILAGE


def _paint_lungs(
    tissue: NDArray[np.uint8],
    frame: Frame,
    marks: Landmarks,
    rng: np.random.Generator,
    inner: Mask,
    u: Array,
    v: Array,
) -> None:
    z, y, x = frame.axes()
    arch = rng.uniform(45, 85)
    recess = rng.uniform(10, 60)
    side = np.abs(np.abs(u) - 0.45) / 0.5
    dome = marks.dome + arch * (1 - np.clip(side, 0, 1) ** 2 - 0.6 * (v - 0.1) ** 2)
    dome = dome - recess * np.clip(v - 0.25, 0, 1) - 10 * (x > marks.midline)
    above = inner & (z > dome + 4 * smooth_field(rng, frame.shape, 40 / frame.spacing))
    mediastinum = (np.abs(x - marks.midline) < 30) & (y > marks.vertebra_y - 60)
    crus = inner & (z > dome - 4) & ~above
    tissue[crus & (tissue == Tissue.VISCERAL_FAT)] = Tissue.MUSCLE
    tissue[above & ~mediastinum] = Tissue.LUNG
    tissue[above & mediastinum] = Tissue.VISCERAL_FAT
    heart = ellipsoid(
        frame,
        rng,
        (
            marks.dome + arch + rng.uniform(15, 45),
            marks.middle_y - rng.uniform(15, 45),
            marks.midline + rng.uniform(15, 40),
        ),
        (rng.uniform(40, 58), rng.uniform(38, 50), rng.uniform(52, 68)),
    )
    if heart is not None:
        box, radius = heart
        tissue[box][(radius < 1.1) & inner[box]] = Tissue.VISCERAL_FAT
        tissue[box][(radius < 1) & inner[box]] = Tissue.HEART
    if rng.random() < 0.15:  # pleural effusion, on the back
        level = rng.uniform(0.25, 0.55)
        tissue[above & (v > level) & (tissue == Tissue.LUNG)] = Tissue.FLUID


def paint_arms_and_table(
    tissue: NDArray[np.uint8], frame: Frame, marks: Landmarks, rng: np.random.Generator
) -> None:
    """Paint the table below the patient and now and then an arm next to the patient."""
    _z, y, x = frame.axes()
    air = tissue == Tissue.AIR
    if rng.random() < 0.7:
        bend = rng.uniform(0, 25) * ((x - marks.midline) / 200) ** 2
        top = marks.back + rng.uniform(2, 25) - bend
        sheet = (y > top) & (y < top + rng.uniform(2, 6))
        tissue[air & np.broadcast_to(sheet, tissue.shape)] = Tissue.TABLE
    if rng.random() < 0.12:
        for side in (-1, 1):
            if rng.random() < 0.7:
                middle = marks.midline + side * (marks.half_width + rng.uniform(35, 50))
                arm_y = marks.middle_y + rng.uniform(-40, 50)
                r = np.sqrt((x - middle) ** 2 + (y - arm_y) ** 2) / rng.uniform(28, 45)
                r = np.broadcast_to(r, tissue.shape)
                tissue[air & (r < 1)] = Tissue.FAT
                tissue[air & (r < 0.8)] = Tissue.MUSCLE
                tissue[air & (r < 0.3)] = Tissue.CORTICAL_BONE
                tissue[air & (r < 0.18)] = Tissue.SPONGY_BONE
