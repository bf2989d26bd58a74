"""Humeral heads: marrow in a shell of bone beside the chest, far from any kidney."""

from __future__ import annotations

import cc3d
import numpy as np
from scipy import ndimage

from renalis.synthesis.shoulders import paint_shoulders
from renalis.synthesis.tissues import LABEL_OF_TISSUE, Tissue

SPACING = 4.0


def chest(height: int = 60, lungs: bool = True) -> np.ndarray:
    """A body of muscle in air with lungs in its upper half and a kidney at the bottom; 4 mm."""
    z, y, x = np.ogrid[:height, :64, :110]
    tissue = np.full((height, 64, 110), Tissue.AIR, np.uint8)
    tissue[np.broadcast_to(((y - 32) / 28) ** 2 + ((x - 55) / 45) ** 2 < 1, tissue.shape)] = (
        Tissue.MUSCLE
    )
    for side in (-1, 1):
        ball = ((y - 32) / 16) ** 2 + ((x - 55 - 18 * side) / 14) ** 2 < 1
        if lungs:
            tissue[(z > 30) & ball] = Tissue.LUNG
    tissue[4:20, 36:46, 25:35] = Tissue.CORTEX
    return tissue


def test_shoulders_are_marrow_in_a_shell_of_bone_and_lungs_and_kidneys_stay() -> None:
    before = chest()
    painted = 0
    for seed in range(8):
        tissue = before.copy()
        paint_shoulders(tissue, np.random.default_rng(seed), SPACING)
        assert np.array_equal(LABEL_OF_TISSUE[tissue], LABEL_OF_TISSUE[before])
        assert (tissue[before == Tissue.LUNG] == Tissue.LUNG).all()
        marrow = tissue == Tissue.SPONGY_BONE
        parts, count = cc3d.connected_components(marrow, connectivity=6, return_N=True)
        assert count <= 2
        for part in range(1, count + 1):
            painted += 1
            volume_ml = np.count_nonzero(parts == part) * SPACING**3 / 1000
            assert 5 < volume_ml < 150
        around = ndimage.binary_dilation(marrow) & ~marrow & (tissue != Tissue.LUNG)
        assert (tissue[around] == Tissue.CORTICAL_BONE).mean() > 0.95
    assert painted >= 10


def test_without_lungs_or_near_kidneys_there_are_no_shoulders() -> None:
    for tissue in (chest(lungs=False), chest(height=48)):
        after = tissue.copy()
        for seed in range(5):
            paint_shoulders(after, np.random.default_rng(seed), SPACING)
        assert np.array_equal(after, tissue)
