"""Masks grown and shrunk by a voxel, beside SciPy's."""

import edt
import numpy as np
import pytest
from scipy import ndimage

from renalis.preparation.fast_morphology import eroded, filled_levels, spread, within


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


@pytest.mark.parametrize("reach_mm", [0.4, 1.5, 2.0, 3.5, 4.0, 6.0])
@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (0.8, 1.0, 0.8), (5.0, 0.7, 2.0)])
def test_what_lies_within_a_distance_is_what_the_distances_say(
    mask: np.ndarray, spacing: tuple[float, ...], reach_mm: float
) -> None:
    # 0.8 and 1.0 mm: voxels that lie exactly as far, as far as numbers tell
    for own in (mask, mask & (np.random.default_rng(1).random(mask.shape) < 0.02), mask & False):
        away = edt.edt(np.ascontiguousarray(~own), anisotropy=spacing, black_border=False)
        np.testing.assert_array_equal(within(own, reach_mm, spacing), away <= reach_mm)
