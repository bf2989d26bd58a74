"""The skeleton of the trunk with the muscles of the back: spine and pelvis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.synthesis.random_fields import Array, Frame, smooth_field
from renalis.synthesis.tissues import Tissue
from renalis.synthesis.torso import Landmarks, Shell

__all__ = ["paint_skeleton"]


def paint_skeleton(
    tissue: NDArray[np.uint8],
    frame: Frame,
    marks: Landmarks,
    shell: Shell,
    rng: np.random.Generator,
) -> None:
    """Paint the spine with its muscles, the pelvis and the hips."""
    _paint_pelvis(tissue, frame, marks, shell, rng)
    _paint_back_muscles(tissue, frame, marks, rng)
    _paint_spine(tissue, frame, marks, rng)


def _spine_center(z: Array, marks: Landmarks) -> Array:
    """y of the vertebral bodies' center: lordosis below the kidneys, sacrum going back."""
    below = np.clip(marks.kidney_bottom - 60 - z, 0, None)
    above = np.clip(z - marks.kidney_top, 0, None)
    return np.asarray(
        marks.vertebra_y
        - 0.08 * np.minimum(below, 80)
        + 0.004 * np.clip(below - 80, 0, 150) ** 2
        + 0.0012 * above**2,
        np.float32,
    )


def _paint_spine(
    tissue: NDArray[np.uint8], frame: Frame, marks: Landmarks, rng: np.random.Generator
) -> None:
    low = np.array([frame.origin[0], marks.vertebra_y - 60, marks.midline - 70])
    high = np.array([frame.origin[0] + 2000, marks.back, marks.midline + 70])
    box = frame.box(low, high)
    if box is None:
        return
    z, y, x = frame.axes(box)
    paint = tissue[box]
    period = float(rng.uniform(31, 39))
    phase = np.mod(z - marks.kidney_top + rng.uniform(0, period), period)
    disc = phase < rng.uniform(6, 11)
    a, b = rng.uniform(20, 27), rng.uniform(14, 20)
    dx = x - marks.midline - rng.normal(0, 3) * np.sin(z / 80)
    dy = y - _spine_center(z, marks)
    waist = 1 - 0.1 * np.sin(np.pi * phase / period)
    radius = np.sqrt((dx / (a * waist)) ** 2 + (dy / (b * waist)) ** 2)
    canal_y = b + rng.uniform(8, 11)
    canal = np.sqrt((dx / 11) ** 2 + ((dy - canal_y) / 8.5) ** 2)
    arch = (canal >= 1) & (canal < 1.75) & ~(disc & (dy > canal_y - 3) & (np.abs(dx) > 6))
    spinous = (np.abs(dx) < 3.6) & (dy > canal_y + 6) & (dy < canal_y + rng.uniform(26, 38)) & ~disc
    wings = (np.abs(dy - canal_y + 2) < 4.5) & (np.abs(phase - 0.55 * period) < 6)
    wings = wings & (np.abs(dx) < rng.uniform(30, 44))
    facets = (np.abs(np.abs(dx) - 15) < 7) & (np.abs(dy - canal_y - 5) < 7)
    bone = arch | spinous | wings | facets
    paint[bone] = Tissue.CORTICAL_BONE
    inner = (spinous & (np.abs(dx) < 1.8)) | (facets & (np.abs(np.abs(dx) - 15) < 3))
    paint[inner] = Tissue.SPONGY_BONE
    paint[radius < 1] = Tissue.CORTICAL_BONE
    ends = (phase < 12.5) | (phase > period - 2)
    paint[(radius < 0.92) & ~(ends & ~disc & (phase < 11))] = Tissue.SPONGY_BONE
    paint[(radius < 1.03) & disc] = Tissue.DISC
    paint[(canal < 1)] = Tissue.SPINAL_CANAL
    if rng.random() < 0.3:  # osteophytes
        spur = (radius >= 1) & (radius < 1.25) & disc & (dx * rng.choice([-1, 1]) > 5)
        paint[spur & (dy < 5)] = Tissue.CORTICAL_BONE


def _paint_back_muscles(
    tissue: NDArray[np.uint8], frame: Frame, marks: Landmarks, rng: np.random.Generator
) -> None:
    low = np.array([frame.origin[0], marks.vertebra_y - 60, marks.midline - 110])
    high = np.array([frame.origin[0] + 2000, marks.back, marks.midline + 110])
    box = frame.box(low, high)
    if box is None:
        return
    z, y, x = frame.axes(box)
    paint = tissue[box]
    dx = np.abs(x - marks.midline)
    dy = y - _spine_center(z, marks)
    wave = np.float32(0.12) * smooth_field(rng, paint.shape, 25 / frame.spacing)
    body = paint != Tissue.AIR
    erector = np.sqrt(
        ((dx - 33) / rng.uniform(24, 33)) ** 2 + ((dy - 46) / rng.uniform(16, 24)) ** 2
    )
    erector = erector + wave
    paint[body & (erector < 1)] = Tissue.MUSCLE
    marbled = smooth_field(rng, paint.shape, 10 / frame.spacing) > rng.uniform(1.0, 3.0)
    paint[body & (erector < 0.95) & marbled] = Tissue.FAT
    high_z = marks.kidney_top - rng.uniform(10, 50)
    quadratus = np.sqrt(
        ((dx - 68) / rng.uniform(15, 24)) ** 2 + ((dy - 27) / rng.uniform(7, 12)) ** 2
    )
    paint[body & (quadratus + wave < 1) & (z < high_z)] = Tissue.MUSCLE
    growth = np.clip((high_z - z) / rng.uniform(90, 150), 0, 1.2)
    r = rng.uniform(17, 28) * growth + 1e-3
    psoas = np.sqrt(
        ((dx - 22 - 26 * growth**1.3) / r) ** 2 + ((dy - 4 + 10 * growth) / (r * 1.1)) ** 2
    )
    paint[body & (psoas + wave < 1) & (growth > 0.05)] = Tissue.MUSCLE
    crura = (np.abs(dx - 14) < 5) & (np.abs(dy + 18) < 9) & (z > high_z)
    paint[body & crura] = Tissue.MUSCLE


def _paint_pelvis(
    tissue: NDArray[np.uint8],
    frame: Frame,
    marks: Landmarks,
    shell: Shell,
    rng: np.random.Generator,
) -> None:
    box = frame.box(np.array([-1e4, -1e4, -1e4]), np.array([marks.crest + 20, 1e4, 1e4]))
    if box is None:
        return
    z, y, x = frame.axes(box)
    paint = tissue[box]
    drop = marks.crest - z
    dx = np.abs(x - marks.midline)
    sy = _spine_center(z, marks)
    depth = shell.depth[box]
    # Glutei and hip muscles fill the space outside the iliac wings and below.
    hip_x = rng.uniform(82, 98)
    wing_x = rng.uniform(0.66, 0.8) * marks.half_width + 12 * np.cos(y / 40) - 0.28 * drop
    wing_x = np.maximum(wing_x, hip_x - 25)
    outer = (drop > 0) & (dx > wing_x - 4) & (depth > rng.uniform(8, 30))
    paint[outer & (y > marks.middle_y - 60)] = Tissue.MUSCLE
    gluteal = (drop > 15) & (y > sy + 15) & (depth > rng.uniform(10, 35))
    paint[gluteal] = Tissue.MUSCLE
    wing = (drop > 0) & (drop < 150) & (np.abs(dx - wing_x) < 5.5)
    wing = wing & (y > marks.vertebra_y - 75 + 0.2 * drop) & (y < sy + 35 + 0.1 * drop)
    paint[wing] = Tissue.CORTICAL_BONE
    paint[wing & (np.abs(dx - wing_x) < 2.5)] = Tissue.SPONGY_BONE
    iliacus = (drop > 5) & (drop < 170) & (dx < wing_x - 5) & (dx > wing_x - 20)
    paint[iliacus & (np.abs(y - marks.vertebra_y + 10) < 45)] = Tissue.MUSCLE
    sacrum = (drop > 35) & (drop < 170) & (dx < 52 - 0.22 * drop) & (np.abs(y - sy - 14) < 16)
    paint[sacrum] = Tissue.CORTICAL_BONE
    holes = smooth_field(rng, paint.shape, 14 / frame.spacing)
    paint[sacrum & (np.abs(y - sy - 14) < 12) & (holes < 1.2)] = Tissue.SPONGY_BONE
    hip_z = marks.crest - rng.uniform(125, 150)
    hip_y = marks.vertebra_y - rng.uniform(0, 25)
    metal = rng.random() < 0.08
    for side in (-1, 1):
        ball = np.sqrt(
            (z - hip_z) ** 2 + (y - hip_y) ** 2 + (x - marks.midline - side * hip_x) ** 2
        )
        shaft = np.sqrt((y - hip_y) ** 2 + (x - marks.midline - side * (hip_x + 35)) ** 2)
        paint[(ball > 24) & (ball < 36) & (dx < hip_x + 12)] = Tissue.CORTICAL_BONE
        paint[(ball > 27) & (ball < 33) & (dx < hip_x + 12)] = Tissue.SPONGY_BONE
        kind = Tissue.METAL if metal and side == 1 else Tissue.SPONGY_BONE
        edge = Tissue.METAL if metal and side == 1 else Tissue.CORTICAL_BONE
        paint[ball < 23] = edge
        paint[ball < 20] = kind
        paint[(shaft < 15) & (z < hip_z - 10)] = edge
        paint[(shaft < 9) & (z < hip_z - 10)] = kind
    pubis = (np.abs(z - hip_z + 35) < 14) & (dx < 60) & (np.abs(y - hip_y + 30 - 0.3 * dx) < 9)
    paint[pubis & (dx > 3)] = Tissue.CORTICAL_BONE
    thighs = (z < hip_z - 30) & (depth > rng.uniform(8, 25)) & (paint == Tissue.VISCERAL_FAT)
    paint[thighs & (dx > 40)] = Tissue.MUSCLE
