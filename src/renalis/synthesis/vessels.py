"""Aorta, vena cava and their branches; renal pelves and ureters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.synthesis.organs import paint_blob
from renalis.synthesis.random_fields import (
    Frame,
    ball_path,
    ellipsoid,
    smooth_curve,
)
from renalis.synthesis.tissues import Tissue
from renalis.synthesis.torso import Landmarks

__all__ = ["paint_vessels"]

Tissues = NDArray[np.uint8]
Point = tuple[float, float, float]


def paint_vessels(
    tissue: Tissues, frame: Frame, marks: Landmarks, rng: np.random.Generator
) -> None:
    """Aorta, inferior vena cava, iliac, renal and mesenteric vessels, lymph nodes, ureters."""
    u = rng.uniform
    m, v = marks.midline, marks.vertebra_y
    front = v - u(17, 22)
    split = marks.kidney_bottom - u(0, 50)
    aorta_x, cava_x = m + u(2, 14), m - u(14, 24)
    ar, vr = u(7, 12), u(8, 13)
    wiggle = rng.normal(0, 4, (4, 3))
    heights = np.array([marks.dome + 150, marks.kidney_top, marks.kidney_bottom, split])
    for name, x, r, value in (
        ("cava", cava_x, vr, Tissue.VEIN),
        ("aorta", aorta_x, ar, Tissue.ARTERY),
    ):
        points = np.stack([heights, np.full(4, front - 0.7 * r), np.full(4, x)], 1) + wiggle
        points[0, 1] += 14 if name == "aorta" else -10
        path = smooth_curve(points, 3.0)
        squeeze = 1 + 0.12 * np.sin(np.arange(len(path)) * 0.13 + u(0, 6))
        ball_path(frame, tissue, path, (r * squeeze).astype(np.float32), value)
        if name == "aorta" and rng.random() < 0.4:  # calcified plaques
            for _ in range(int(rng.integers(3, 25))):
                angle = u(0, 2 * np.pi)
                spot = path[rng.integers(len(path))] + r * np.array(
                    [0, np.sin(angle), np.cos(angle)]
                )
                ball_path(
                    frame,
                    tissue,
                    spot[None],
                    np.array([u(1, 2.6)], np.float32),
                    Tissue.CALCIFICATION,
                )
        for side in (-1, 1):
            leg = np.stack(
                [
                    points[-1],
                    [split - 60, front + u(0, 20), m + side * u(25, 40)],
                    [split - 130, front - u(0, 20), m + side * u(50, 70)],
                    [split - 230, front - u(50, 80), m + side * u(60, 80)],
                ]
            )
            if name == "cava":
                leg[1:, 1] += 10
            leg_path = smooth_curve(leg, 3.0)
            ball_path(frame, tissue, leg_path, np.full(len(leg_path), 0.6 * r, np.float32), value)
    for kidney in marks.kidneys:
        hilum = np.array(kidney)
        hilum[2] += -14 if kidney[2] > m else 14
        _pelvis(tissue, frame, hilum, 1.0 if kidney[2] > m else -1.0, rng)
        for x, value, r in ((cava_x, Tissue.VEIN, u(3.5, 7)), (aorta_x, Tissue.ARTERY, u(2, 3.5))):
            start = np.array([hilum[0] + u(-5, 15), front - 6, x])
            bend = 0.5 * (start + hilum) + np.array([u(-5, 5), -u(0, 8), 0])
            path = smooth_curve(np.stack([start, bend, hilum]), 2.0)
            ball_path(frame, tissue, path, np.full(len(path), r, np.float32), value)
        ureter = np.stack(
            [
                hilum,
                [marks.kidney_bottom - 25, v - u(5, 25), m + np.sign(kidney[2] - m) * u(32, 45)],
                [marks.crest - 60, v - u(15, 35), m + np.sign(kidney[2] - m) * u(30, 45)],
            ]
        )
        path = smooth_curve(ureter, 2.0)
        r = u(1.2, 3)
        ball_path(frame, tissue, path, np.full(len(path), r, np.float32), Tissue.COLLECTING_SYSTEM)
    # Superior mesenteric artery and vein with branches into the mesentery.
    root = np.array([marks.kidney_top - u(5, 25), front - 12, m + u(-4, 6)])
    for value in (Tissue.ARTERY, Tissue.PORTAL_VEIN):
        offset = 0 if value == Tissue.ARTERY else -12
        end = root + np.array([-u(70, 130), -u(15, 40), offset + u(-20, 5)])
        start = root + np.array([0, 0, offset])
        path = smooth_curve(np.stack([start, 0.5 * (start + end) + [0, -12, 0], end]), 2.5)
        ball_path(frame, tissue, path, np.full(len(path), u(3, 5.5), np.float32), value)
        for _ in range(int(rng.integers(15, 40))):
            a = path[rng.integers(len(path))]
            b = a + np.array([u(-90, 20), -u(-5, 70), u(-80, 80)])
            twig = smooth_curve(np.stack([a, 0.5 * (a + b) + rng.normal(0, 8, 3), b]), 2.5)
            ball_path(
                frame, tissue, twig, np.linspace(2.4, 1.0, len(twig)).astype(np.float32), value
            )
    for _ in range(int(rng.integers(0, 8))):
        spot = np.array([u(marks.crest, marks.kidney_top), front - u(-10, 10), m + u(-35, 35)])
        paint_blob(tissue, frame, rng, spot, u(2.5, 8), Tissue.LYMPH_NODE)


def _pelvis(
    tissue: Tissues,
    frame: Frame,
    hilum: NDArray[np.float64],
    side: float,
    rng: np.random.Generator,
) -> None:
    """Renal pelvis, often outside the kidney: fluid at the hilum, in a bed of fat."""
    if rng.random() < 0.35:
        return
    u = rng.uniform
    big = 1.6 if rng.random() < 0.2 else 1.0
    center = (hilum[0] + u(-10, 8), hilum[1] - u(0, 8), hilum[2] - side * u(0, 20))
    radii = (big * u(6, 15), big * u(4, 9), big * u(6, 15))
    shape = ellipsoid(frame, rng, center, radii, 0.4, 0.2)
    if shape is not None:
        box, radius = shape
        paint = tissue[box]
        soft = ~np.isin(paint, (Tissue.CORTICAL_BONE, Tissue.SPONGY_BONE, Tissue.LIVER))
        paint[(radius < 1.3) & soft & (paint != Tissue.MUSCLE)] = Tissue.SINUS_FAT
        paint[(radius < 1) & soft] = Tissue.COLLECTING_SYSTEM
