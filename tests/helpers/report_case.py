"""A made-up patient for the report's tests: tumor in the right kidney, cyst in the left one."""

from __future__ import annotations

from functools import cache
from itertools import permutations, product

import numpy as np

from renalis.conventions import Label
from renalis.volume import CANONICAL, Kind, Volume

SHAPE = (56, 88, 120)
SPACING = (2.5, 2.0, 2.2)
ORIGIN = (40.0, 60.0, -110.0)
"""Patient coordinates in mm (RAS+) of the middle of the scan."""

ALL_ORDERS = [
    "".join(pair[int(up)] for pair, up in zip(order, ups, strict=True))
    for order in permutations(("LR", "PA", "IS"))
    for ups in product((False, True), repeat=3)
]

RIGHT_KIDNEY, LEFT_KIDNEY = (70.0, 85.0, 75.0), (68.0, 88.0, 190.0)
"""Centers in mm from the scan's upper right front corner: up, back, to the left."""
TUMOR, CYST = (80.0, 84.0, 48.0), (40.0, 92.0, 205.0)


def affine() -> np.ndarray:
    """Affine of the canonical scan: up, back, left."""
    matrix = np.zeros((4, 4))
    matrix[2, 0], matrix[1, 1], matrix[0, 2] = SPACING[0], -SPACING[1], -SPACING[2]
    matrix[3, 3] = 1
    matrix[:3, 3] = np.array(ORIGIN) - matrix[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return matrix


def inside(center: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
    """Ellipsoid on the canonical grid, lengths in mm."""
    grid = np.indices(SHAPE, np.float32)
    terms = [((grid[i] * SPACING[i] - center[i]) / radii[i]) ** 2 for i in range(3)]
    return np.asarray(sum(terms) <= 1)


@cache
def _drawn(lesions: bool) -> tuple[Volume, Volume]:
    """In canonical order."""
    labels = np.zeros(SHAPE, np.uint8)
    for center in (RIGHT_KIDNEY, LEFT_KIDNEY):
        labels[inside(center, (50, 24, 27))] = Label.KIDNEY
    if lesions:
        labels[inside(TUMOR, (16, 16, 16))] = Label.TUMOR
        labels[inside(CYST, (9, 9, 9))] = Label.CYST
    hu = np.full(SHAPE, -1000, np.int16)
    hu[inside((70, 88, 132), (400, 82, 125))] = -90
    hu[inside((70, 130, 132), (400, 16, 18))] = 400
    for label, value in ((Label.KIDNEY, 110), (Label.TUMOR, 60), (Label.CYST, 5)):
        hu[labels == label] = value
    hu = (hu + np.random.default_rng(5).normal(0, 8, SHAPE)).astype(np.int16)
    return Volume(hu, affine(), Kind.IMAGE), Volume(labels, affine(), Kind.LABELS)


def made_up(order: str = CANONICAL, lesions: bool = True) -> tuple[Volume, Volume]:
    """Scan and label map, the array in any axis order."""
    image, labels = (
        Volume(drawn.array.copy(), drawn.affine, drawn.kind) for drawn in _drawn(lesions)
    )
    return image.reoriented(order), labels.reoriented(order)
