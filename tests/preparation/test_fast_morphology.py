"""Masks grown and shrunk by a voxel, beside SciPy's."""

import numpy as np
import pytest
from scipy import ndimage

from renalis.preparation.fast_morphology import eroded, filled_levels, spread


@pytest.fixture(params=[(1, 1, 1), (1, 7, 3), (9, 8, 11), (20, 21, 19)])
def mask(request: pytest.FixtureRequest) -> np.ndarray:
    rng = np.random.default_rng(3)
    return ndimage.uniform_filter(rng.random(request.param), 2) > 0.45


@pytest.mark.parametrize("beyond", [False, True])
def test_eroding_is_what_scipy_does(mask: np.ndarray, beyond: bool) -> None:
    expected = ndimage.binary_erosion(mask, border_value=int(beyond))
    np.testing.assert_array_equal(eroded(mask, beyond), expected)


def test_spreading_through_faces_is_a_dilation(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(spread(mask), ndimage.binary_dilation(mask))


def test_spreading_through_corners_is_a_dilation_with_a_cube(mask: np.ndarray) -> None:
    expected = ndimage.binary_dilation(mask, np.ones((3, 3, 3)))
    np.testing.assert_array_equal(spread(mask, corners=True), expected)


def test_holes_are_filled_level_by_level(mask: np.ndarray) -> None:
    expected = np.stack([ndimage.binary_fill_holes(level) for level in mask])
    np.testing.assert_array_equal(filled_levels(mask), expected)
