"""Outlines of masks: whatever fills them gives the mask again."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.draw import line, polygon2mask

from renalis.io.segments.contours import filled
from renalis.io.segments.outlines import outlines

MASKS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(MASKS)
def test_one_outline_for_each_part_gives_the_mask_in_any_program(mask: np.ndarray) -> None:
    drawn = outlines(mask)
    assert len(drawn) == ndimage.label(mask)[1]
    alone = [polygon2mask(mask.shape, one) for one in drawn]
    np.testing.assert_array_equal(np.any([*alone, ~mask & False], axis=0), mask)
    np.testing.assert_array_equal(filled(drawn, mask.shape), mask)


@given(MASKS)
def test_outlines_enclose_the_area_of_the_pixels(mask: np.ndarray) -> None:
    area = sum(
        float((p[:, 0] * np.roll(p[:, 1], -1) - np.roll(p[:, 0], -1) * p[:, 1]).sum()) / 2
        for p in outlines(mask)
    )
    assert abs(area - mask.sum()) <= 0.04 * mask.sum()


@given(MASKS)
def test_programs_that_round_corners_to_pixels_get_the_mask_as_well(mask: np.ndarray) -> None:
    # As OpenCV's fillPoly, which rt-utils fills with: rounded corners, lines belong to the area.
    found = np.zeros(mask.shape, bool)
    for one in outlines(mask):
        corners = np.around(one).astype(int)
        found |= polygon2mask(mask.shape, corners)
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            found[line(*start, *end)] = True
    holes = ndimage.binary_fill_holes(mask) & ~mask
    np.testing.assert_array_equal(found & ~holes, mask)


def test_holes_within_holes_are_kept() -> None:
    mask = np.zeros((11, 11), bool)
    mask[1:10, 1:10] = True
    mask[2:9, 2:9] = False
    mask[3:8, 3:8] = True
    mask[4:5, 4:7] = mask[6:7, 4:6] = False
    drawn = outlines(mask)
    assert len(drawn) == 2
    np.testing.assert_array_equal(filled(drawn, mask.shape), mask)
