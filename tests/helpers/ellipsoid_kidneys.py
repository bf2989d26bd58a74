"""Small, coarse synthetic scans in the layout of KiTS: enough for a small network to learn from."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

__all__ = ["SHAPE", "SPACING", "write_scan"]

SHAPE = (24, 56, 64)
SPACING = (6.0, 5.0, 5.0)


def write_scan(folder: Path, number: int) -> None:
    """Two ellipsoid kidneys, one with a tumor, in a body of soft tissue: enough to learn from."""
    rng = np.random.default_rng(number)
    z, y, x = np.ogrid[tuple(slice(n) for n in SHAPE)]

    def ball(center: tuple[float, ...], radii: tuple[float, ...]) -> NDArray[np.bool_]:
        parts = zip((z, y, x), center, radii, strict=True)
        return np.asarray(sum(((a - c) / r) ** 2 for a, c, r in parts) < 1)

    body = ball((12, 28, 32), (40, 24, 29))
    image = np.where(body, 40.0, -1000.0)
    label = np.zeros(SHAPE, np.uint8)
    for side in (-1, 1):
        center = (12 + rng.normal(), 34 + rng.normal(), 32 + side * (14 + rng.normal()))
        label[ball(center, (7, 5, 5))] = 1
        if side == 1 or number % 2:
            label[ball((center[0] + 4, center[1], center[2] + 3), (3, 3, 3))] = 2
    image[label == 1] = 180
    image[label == 2] = 110
    image += rng.normal(0, 12, SHAPE)
    # As KiTS stores it: slices first, from head to feet.
    affine = np.array([[0, 0, -5, 0], [0, -5, 0, 0], [-6, 0, 0, 0], [0, 0, 0, 1.0]])
    case = folder / f"case_{number:05d}"
    case.mkdir(parents=True)
    nibabel.save(nibabel.Nifti1Image(image.astype(np.int16), affine), case / "imaging.nii.gz")
    nibabel.save(nibabel.Nifti1Image(label, affine), case / "segmentation.nii.gz")
