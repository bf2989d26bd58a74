"""The edge of what is annotated lies a little inside of its outline, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from renalis.synthesis.annotated_border import mix_border
from renalis.synthesis.tissues import Tissue


def block() -> tuple[np.ndarray, np.ndarray]:
    """A kidney of 6 x 8 x 10 voxels and 120 HU in fat, and its tissues."""
    tissue = np.full((12, 14, 16), Tissue.FAT, np.uint8)
    tissue[3:9, 3:11, 3:13] = Tissue.CORTEX
    return np.where(tissue == Tissue.CORTEX, 120, -100).astype(np.float32), tissue


@given(share=st.floats(0.01, 1.0))
def test_the_edge_moves_inwards_by_the_share_of_a_voxel(share: float) -> None:
    image, tissue = block()
    mix_border(image, tissue, share)
    height = (image[6, 7] + 100) / 220  # along x, through the middle
    assert height.sum() == pytest.approx(10 - 2 * share, abs=1e-3)


def test_only_the_outermost_annotated_voxels_change() -> None:
    image, tissue = block()
    before = image.copy()
    mix_border(image, tissue, 0.4)
    kidney = tissue == Tissue.CORTEX
    border = kidney & ~ndimage.binary_erosion(kidney)
    assert image[border] == pytest.approx(0.6 * 120 + 0.4 * -100)
    assert np.array_equal(image[~border], before[~border])


def test_borders_between_kidney_tumor_and_cyst_stay_where_they_are() -> None:
    image, tissue = block()
    tissue[3:9, 3:11, 8:13] = Tissue.TUMOR_A
    image[tissue == Tissue.TUMOR_A] = 50
    before = image.copy()
    mix_border(image, tissue, 0.4)
    assert np.array_equal(image[5:7, 5:9, 5:11], before[5:7, 5:9, 5:11])


@pytest.mark.parametrize("side", [0, -1])
def test_a_kidney_cut_by_the_grid_has_no_edge_there(side: int) -> None:
    tissue = np.full((6, 6, 6), Tissue.FAT, np.uint8)
    tissue[(slice(0, 3) if side == 0 else slice(3, 6),)] = Tissue.CORTEX
    image = np.where(tissue == Tissue.CORTEX, 120, -100).astype(np.float32)
    mix_border(image, tissue, 0.5)
    assert (image[side] == 120).all()


def test_bodies_without_kidneys_are_left_alone() -> None:
    image = np.full((4, 4, 4), -100, np.float32)
    mix_border(image, np.full((4, 4, 4), Tissue.FAT, np.uint8), 0.5)
    assert (image == -100).all()
