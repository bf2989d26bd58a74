"""Contours of masks are those that scikit-image finds, in its order."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import find_contours

from renalis.report.mask_contours import mask_contours


@given(mask=hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
@settings(max_examples=60, deadline=None)
def test_contours_of_a_mask_are_those_of_an_image(mask: np.ndarray) -> None:
    padded = np.pad(mask, 1)
    expected = find_contours(padded.astype(np.float64), 0.5)
    found = mask_contours(padded)
    assert len(found) == len(expected)
    for line, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(line, other)


def test_pixels_that_touch_at_a_corner_have_lines_of_their_own() -> None:
    assert len(mask_contours(np.pad(np.eye(3, dtype=bool), 1))) == 3
