"""Liver, spleen, stomach, pancreas, the organs of the pelvis, and masses.

Organs lie inside the body's cavity and give way to the kidneys, which are painted last.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.synthesis.random_fields import (
    Frame,
    Mask,
    ball_path,
    ellipsoid,
    smooth_curve,
    smooth_field,
)
from renalis.synthesis.tissues import Tissue
from renalis.synthesis.torso import Landmarks

__all__ = ["paint_blob", "paint_masses", "paint_pelvic_organs", "paint_upper_organs"]

Tissues = NDArray[np.uint8]
Point = tuple[float, float, float]


def _fill(
    tissue: Tissues,
    frame: Frame,
    rng: np.random.Generator,
    allowed: Mask,
    center: Point,
    radii: Point,
    value: int,
    tilt: float = 0.3,
    roughness: float = 0.12,
    level: float = 1.0,
) -> None:
    """Paint one ellipsoid where it is allowed and no bone or lung is."""
    shape = ellipsoid(frame, rng, center, radii, tilt, roughness)
    if shape is None:
        return
    box, radius = shape
    paint = tissue[box]
    soft = (paint != Tissue.CORTICAL_BONE) & (paint != Tissue.SPONGY_BONE) & (paint != Tissue.LUNG)
    soft &= (paint != Tissue.SPINAL_CANAL) & (paint != Tissue.DISC)
    paint[(radius < level) & allowed[box] & soft] = value


def paint_upper_organs(
    tissue: Tissues, frame: Frame, marks: Landmarks, cavity: Mask, rng: np.random.Generator
) -> None:
    """Liver, gallbladder, spleen, stomach, pancreas, adrenals."""
    u = rng.uniform
    m, top = marks.midline, marks.kidney_top
    w = marks.half_width
    y0 = marks.middle_y
    _stomach(tissue, frame, marks, cavity, rng)
    # Left lobe, then right lobe; the right one may reach below the kidney (Riedel's lobe).
    lobe = (top + u(25, 60), y0 - u(25, 50), m - u(-25, 15))
    _fill(tissue, frame, rng, cavity, lobe, (u(30, 55), u(28, 45), u(55, 95)), Tissue.LIVER, 0.25)
    right_z = top + u(-5, 55)
    size = (u(70, 115), u(65, 95), u(60, 90))
    right = (right_z, y0 + u(-15, 15), m - w * u(0.45, 0.62))
    _fill(tissue, frame, rng, cavity, right, size, Tissue.LIVER, 0.25)
    if rng.random() < 0.8:
        _fill_below_dome(tissue, frame, marks, cavity, rng, Tissue.LIVER)
    if rng.random() < 0.35:
        tip = (top - u(20, 80), y0 + u(-20, 25), m - w * u(0.62, 0.75))
        _fill(tissue, frame, rng, cavity, tip, (u(35, 70), u(25, 50), u(15, 30)), Tissue.LIVER)
    _vessels_in(tissue, frame, rng, right, size, Tissue.LIVER)
    if rng.random() < 0.75:
        place = (top - u(-15, 30), y0 - u(15, 50), m - u(35, 75))
        _fill(
            tissue, frame, rng, cavity, place, (u(14, 30), u(12, 22), u(10, 18)), Tissue.GALLBLADDER
        )
    spleen_z = top + u(-25, 40)
    spleen = (spleen_z, marks.kidney_back - u(-5, 45), m + w * u(0.4, 0.72))
    big = 1.4 if rng.random() < 0.15 else 1.0
    radii = (big * u(34, 60), big * u(34, 58), big * u(18, 40))
    if rng.random() < 0.7:
        _fill_below_dome(tissue, frame, marks, cavity, rng, Tissue.SPLEEN)
    _fill(tissue, frame, rng, cavity, spleen, radii, Tissue.SPLEEN, 0.35, 0.15)
    if rng.random() < 0.25:
        extra = (spleen_z - u(20, 50), spleen[1] - u(0, 20), spleen[2] - u(5, 25))
        _fill(tissue, frame, rng, cavity, extra, (u(5, 9),) * 3, Tissue.SPLEEN)
    for organ, share in ((right, 0.3), (spleen, 0.1)):
        for _ in range(int(rng.integers(1, 6)) if rng.random() < share else 0):
            spot = tuple(float(c + rng.normal(0, 28)) for c in organ)
            r = u(3, 18)
            host = Tissue.LIVER if organ is right else Tissue.SPLEEN
            _lesion(tissue, frame, rng, (spot[0], spot[1], spot[2]), r, host)
    _pancreas(tissue, frame, marks, spleen, rng)
    for side in (-1, 1):
        _adrenal(tissue, frame, marks, side, rng)


def _fill_below_dome(
    tissue: Tissues,
    frame: Frame,
    marks: Landmarks,
    cavity: Mask,
    rng: np.random.Generator,
    value: int,
) -> None:
    """Fill the space under the diaphragm back to the wall: liver on the right, spleen on the left.

    Above the kidneys' upper poles both organs reach the back of the body, where kidneys might be
    expected; ellipsoids alone leave fat there.
    """
    u = rng.uniform
    low_z = marks.kidney_top + (u(-50, 35) if value == Tissue.LIVER else u(-75, 20))
    box = frame.box(np.array([low_z - 60, -1e4, -1e4]), np.array([marks.dome + 160, 1e4, 1e4]))
    if box is None:
        return
    z, y, x = frame.axes(box)
    dx, dy = x - marks.midline, y - marks.vertebra_y
    paint = tissue[box]
    wave = smooth_field(rng, paint.shape, 30 / frame.spacing)
    floor = low_z + u(-0.35, 0.35) * dy + u(-0.3, 0.3) * (np.abs(dx) - 80) + 9 * wave
    if value == Tissue.LIVER:
        # Across the midline in front, right of the spine behind.
        side = dx < np.where(dy < -30, u(-30, 60), u(-45, -22)) + 8 * wave
    else:
        side = (dx > u(28, 0.5 * marks.half_width) + 8 * wave) & (dy > u(-70, -5) + 8 * wave)
    free = (paint == Tissue.VISCERAL_FAT) & cavity[box]
    paint[free & side & (z > floor)] = value


def _lesion(
    tissue: Tissues, frame: Frame, rng: np.random.Generator, center: Point, r: float, host: int
) -> None:
    shape = ellipsoid(frame, rng, center, (r, r, r), 0.0, 0.06)
    if shape is not None:
        box, radius = shape
        paint = tissue[box]
        paint[(radius < 1) & (paint == host)] = Tissue.ORGAN_LESION


def _vessels_in(
    tissue: Tissues,
    frame: Frame,
    rng: np.random.Generator,
    center: Point,
    radii: Point,
    host: int,
) -> None:
    """Branches of portal and hepatic veins."""
    for _ in range(int(rng.integers(6, 14))):
        start = np.asarray(center) + rng.normal(0, 12, 3)
        end = np.asarray(center) + np.asarray(radii) * rng.uniform(-0.8, 0.8, 3)
        bend = 0.5 * (start + end) + rng.normal(0, 12, 3)
        path = smooth_curve(np.stack([start, bend, end]), 2.0)
        for point, r in zip(path, np.linspace(rng.uniform(2.5, 5.5), 1.2, len(path)), strict=True):
            box = frame.box(point - r, point + r)
            if box is None:
                continue
            z, y, x = frame.axes(box)
            near = (z - point[0]) ** 2 + (y - point[1]) ** 2 + (x - point[2]) ** 2 <= r * r
            paint = tissue[box]
            paint[near & (paint == host)] = Tissue.PORTAL_VEIN


def _stomach(
    tissue: Tissues, frame: Frame, marks: Landmarks, cavity: Mask, rng: np.random.Generator
) -> None:
    u = rng.uniform
    m, top, y0 = marks.midline, marks.kidney_top, marks.middle_y
    full = u(0.5, 1.3)
    points = np.array(
        [
            [top + u(40, 90), y0 + u(0, 30), m + u(55, 85)],
            [top + u(20, 50), y0 - u(5, 35), m + u(60, 95)],
            [top + u(-20, 25), y0 - u(35, 65), m + u(25, 60)],
            [top + u(-25, 10), y0 - u(30, 60), m - u(0, 35)],
        ]
    )
    path = smooth_curve(points, 4.0)
    girth = np.interp(np.linspace(0, 1, len(path)), [0, 0.3, 0.7, 1], [26, 34, 24, 12]) * full
    girth = (girth * (1 + 0.1 * np.sin(np.arange(len(path)) * u(0.3, 0.8)))).astype(np.float32)
    stamp = np.zeros_like(tissue)
    ball_path(frame, stamp, path, girth + np.float32(u(2, 5)), 1)
    ball_path(frame, stamp, path, girth, 2)
    stamp[~cavity | (tissue == Tissue.LUNG)] = 0
    tissue[stamp == 1] = Tissue.BOWEL_WALL
    _, y, _ = frame.axes()
    level = float(points[:, 1].mean()) - rng.uniform(-25, 45)
    tissue[stamp == 2] = Tissue.STOMACH_CONTENT
    tissue[(stamp == 2) & (y < level)] = Tissue.GAS


def _pancreas(
    tissue: Tissues, frame: Frame, marks: Landmarks, spleen: Point, rng: np.random.Generator
) -> None:
    u = rng.uniform
    v = marks.vertebra_y
    m, top = marks.midline, marks.kidney_top
    points = np.array(
        [
            [top - u(25, 60), v - u(30, 50), m - u(25, 42)],
            [top - u(15, 40), v - u(45, 65), m - u(5, 25)],
            [top - u(0, 25), v - u(55, 75), m + u(5, 25)],
            [top + u(-10, 20), v - u(30, 60), m + u(35, 65)],
            [top + u(-5, 25), spleen[1] - u(25, 45), spleen[2] - u(22, 40)],
        ]
    )
    path = smooth_curve(points, 2.5)
    lobes = 1 + 0.18 * np.sin(np.arange(len(path)) * u(0.8, 1.4))
    size = np.interp(np.linspace(0, 1, len(path)), [0, 0.5, 1], [13, 9, 8]) * u(0.6, 1.2) * lobes
    ball_path(frame, tissue, path, size.astype(np.float32), Tissue.PANCREAS)
    vein = path[len(path) // 3 :] + np.array([0, u(7, 11), 0])
    ball_path(frame, tissue, vein, np.full(len(vein), u(3, 5.5), np.float32), Tissue.PORTAL_VEIN)


def _adrenal(
    tissue: Tissues, frame: Frame, marks: Landmarks, side: int, rng: np.random.Generator
) -> None:
    u = rng.uniform
    start = np.array(
        [
            marks.kidney_top + u(-12, 18),
            marks.vertebra_y - u(5, 25),
            marks.midline + side * u(26, 40),
        ]
    )
    for _ in range(2):
        end = start + np.array([u(-12, 12), u(12, 24), side * u(-4, 12)])
        path = smooth_curve(np.stack([start, 0.5 * (start + end) + rng.normal(0, 2, 3), end]), 1.5)
        ball_path(frame, tissue, path, np.full(len(path), u(2.2, 4), np.float32), Tissue.ADRENAL)
    if rng.random() < 0.08:
        paint_blob(tissue, frame, rng, start, u(6, 18), Tissue.ORGAN_LESION)


def paint_blob(
    tissue: Tissues,
    frame: Frame,
    rng: np.random.Generator,
    center: NDArray[np.float64],
    r: float,
    value: int,
) -> None:
    """Paint a ball of radius ``r`` (mm) into fat, muscle and adrenals, as lymph nodes lie."""
    shape = ellipsoid(frame, rng, (center[0], center[1], center[2]), (r, r, r), 0.0, 0.08)
    if shape is not None:
        box, radius = shape
        paint = tissue[box]
        soft = (paint == Tissue.VISCERAL_FAT) | (paint == Tissue.ADRENAL) | (paint == Tissue.MUSCLE)
        paint[(radius < 1) & soft] = value


def paint_pelvic_organs(
    tissue: Tissues, frame: Frame, marks: Landmarks, cavity: Mask, rng: np.random.Generator
) -> None:
    """Bladder, uterus or prostate."""
    u = rng.uniform
    m, y0 = marks.midline, marks.middle_y
    base = marks.crest - u(120, 150)
    size = u(15, 62)
    center = (base + 0.3 * size, y0 - u(0, 35), m + u(-8, 8))
    radii = (size * u(0.7, 1.0), size * u(0.7, 1.0), size * u(0.9, 1.2))
    _fill(tissue, frame, rng, cavity, center, radii, Tissue.PELVIC_ORGAN, 0.15, 0.08, 1.08)
    _fill(tissue, frame, rng, cavity, center, radii, Tissue.BLADDER, 0.15, 0.08, 1.0)
    organ = (base + u(-35, 25), y0 + u(10, 40), m + u(-15, 15))
    size = u(15, 38)
    radii = (size * u(0.7, 1.3), size, size * u(0.8, 1.4))
    _fill(tissue, frame, rng, cavity, organ, radii, Tissue.PELVIC_ORGAN, 0.4)


def paint_masses(
    tissue: Tissues,
    frame: Frame,
    marks: Landmarks,
    cavity: Mask,
    rng: np.random.Generator,
    share: float,
) -> None:
    """In a share of patients cystic or solid masses that are not renal."""
    u = rng.uniform
    if rng.random() < share:
        for _ in range(int(rng.integers(1, 3))):
            r = u(25, 110)
            place = (
                marks.crest - u(-60, 120),
                marks.middle_y - u(-20, 60),
                marks.midline + u(-60, 60),
            )
            if rng.random() < 0.3:  # retroperitoneal: next to the kidneys
                r = u(15, 45)
                place = (
                    u(marks.kidney_bottom - 30, marks.kidney_top + 30),
                    marks.vertebra_y - u(-10, 60),
                    marks.midline + u(-70, 70),
                )
            radii = (r * u(0.7, 1.1), r * u(0.6, 1.0), r * u(0.7, 1.1))
            _fill(tissue, frame, rng, cavity, place, radii, Tissue.MASS_WALL, 0.4, 0.12, 1.05)
            solid = Tissue.MASS_WALL if rng.random() < 0.25 else Tissue.MASS_CONTENT
            _fill(tissue, frame, rng, cavity, place, radii, solid, 0.4, 0.12, 0.93)
