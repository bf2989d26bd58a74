"""Humeral heads painted at the top of finished tissue maps: round bones that are no kidneys.

Bodies end at the heart. In a chest CT a humeral head, marrow as dense as enhanced parenchyma in a
shell of bone, has the size of a kidney and fat around it, and networks that have seen none take it
for one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.synthesis.tissues import LABEL_OF_TISSUE, Tissue

__all__ = ["paint_shoulders"]

_HEAD_MM = (19.0, 27.0)
"""Radius of a humeral head."""
_SHELL_MM = (1.5, 3.5)
_MUSCLE_MM = (8.0, 25.0)
"""Thickness of the muscles around it."""
_BELOW_MM = 120.0
"""Least distance along the body from the highest kidney to where a shoulder may begin."""
_LEAST_LUNG = 0.04
"""Share of the body's cross-section that is lung, at least, where shoulders may be."""


def paint_shoulders(tissue: NDArray[np.uint8], rng: np.random.Generator, spacing: float) -> None:
    """Paint a humeral head beside the chest on both sides or one, in place.

    Nothing is painted where the map does not reach far enough above the kidneys, or shows no lungs
    there. Lungs and everything annotated stay.

    Parameters
    ----------
    tissue : ndarray, shape (Z, Y, X), uint8
        ``Tissue`` codes in canonical orientation: Z to the head.
    rng : Generator
        Source of randomness.
    spacing : float
        Isotropic voxel size of the tissue map in mm.
    """
    renal = np.flatnonzero((LABEL_OF_TISSUE[tissue] > 0).any((1, 2)))
    lowest = round(_BELOW_MM / spacing) + int(renal[-1]) if len(renal) else 0
    if lowest >= len(tissue):
        return
    height = int(rng.integers(lowest, len(tissue)))
    body = ~np.isin(tissue[height], (Tissue.AIR, Tissue.TABLE))
    lungs = np.argwhere(tissue[height] == Tissue.LUNG)
    if len(lungs) < max(1, _LEAST_LUNG * np.count_nonzero(body)):
        return
    middle = 0.5 * (lungs.min(0) + lungs.max(0))
    half_width = 0.5 * np.ptp(lungs[:, 1])
    one_side = rng.random() < 0.2
    for side in (-1, 1) if not one_side else (int(rng.choice([-1, 1])),):
        beside = half_width + rng.uniform(25, 50) / spacing
        center = (
            height + rng.uniform(-10, 10) / spacing,
            middle[0] + rng.uniform(-25, 25) / spacing,
            middle[1] + side * beside,
        )
        _paint_head(tissue, center, rng, spacing)


def _paint_head(
    tissue: NDArray[np.uint8],
    center: tuple[float, float, float],
    rng: np.random.Generator,
    spacing: float,
) -> None:
    """A ball of marrow in a shell of bone, its shaft below, muscle and fat around both."""
    radius, shell = rng.uniform(*_HEAD_MM), max(rng.uniform(*_SHELL_MM), spacing)
    muscle, fat = rng.uniform(*_MUSCLE_MM), rng.uniform(2, 12)
    stretch, shaft_mm = rng.uniform(0.9, 1.15, 3), rng.uniform(40, 150)
    reach = round((1.15 * radius + muscle + fat) / spacing) + 1
    box = tuple(
        slice(max(0, round(c) - below), max(0, round(c) + reach))
        for c, below in zip(center, (round(shaft_mm / spacing) + reach, reach, reach), strict=True)
    )
    paint = tissue[box]
    z, y, x = (
        (line + side.start - c) * spacing
        for line, side, c in zip(
            np.ogrid[tuple(slice(0, n) for n in paint.shape)], box, center, strict=True
        )
    )
    head = np.sqrt((z * stretch[0]) ** 2 + (y * stretch[1]) ** 2 + (x * stretch[2]) ** 2) - radius
    # The shaft, which begins in the head, is half as wide.
    beyond = np.maximum(z, 0) + np.maximum(-z - shaft_mm, 0)
    shaft = np.sqrt(beyond**2 + y**2 + x**2) - 0.5 * radius
    depth = np.minimum(head, shaft)
    soft = np.isin(paint, _GIVES_WAY)
    bone = np.where(soft, depth, head)
    bone[(paint == Tissue.LUNG) | (LABEL_OF_TISSUE[paint] > 0)] = np.inf
    paint[soft & (depth < muscle + fat)] = Tissue.FAT
    paint[soft & (depth < muscle)] = Tissue.MUSCLE
    paint[bone < 0] = Tissue.CORTICAL_BONE
    paint[bone < -shell] = Tissue.SPONGY_BONE


_GIVES_WAY = (Tissue.AIR, Tissue.SKIN, Tissue.FAT, Tissue.MUSCLE)
