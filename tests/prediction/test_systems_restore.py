"""Back to the scan's own grid: any orientation, any grid along the scan's axes."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from renalis.prediction.ensemble import average
from renalis.prediction.restore_probabilities import OnScan, restore_labels, slabs
from renalis.preparation import stage_grid
from renalis.volume import Volume

CODES = ["".join(c) for p in permutations(("LR", "PA", "IS")) for c in product(*p)]


def oblique(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def scan_of(codes: str, spacing: tuple[float, float, float], angle: float = 0.0) -> Volume:
    affine = oblique(angle) @ np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    affine[:3, 3] = (31.0, -17.0, 240.0)
    shape = (13, 17, 11)
    canonical = Volume(np.zeros(shape, np.int16), affine[:, [2, 1, 0, 3]])
    return canonical.reoriented(codes)


def at_world(probability: np.ndarray, affine: np.ndarray, scan: Volume) -> np.ndarray:
    """Oracle: interpolation point by point in patient coordinates."""
    grid = Volume(np.zeros(probability.shape[1:], np.uint8), affine)
    index = grid.index(scan.world(np.stack(np.indices(scan.shape), -1)))
    points = np.moveaxis(index, -1, 0)
    result = np.stack([map_coordinates(c, points, order=1, mode="nearest") for c in probability])
    size = np.array(probability.shape[1:])
    outside = ((index < -0.5 - 1e-6) | (index > size - 0.5 + 1e-6)).any(-1)
    result[:, outside] = 0
    result[0, outside] = 1
    return result


@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    codes=st.sampled_from(CODES),
    spacing=st.tuples(*[st.floats(0.6, 5)] * 3),
    grid_mm=st.tuples(*[st.floats(0.8, 4)] * 3),
    angle=st.floats(-0.5, 0.5),
    cut=st.tuples(*[st.integers(0, 2)] * 3),
    seed=st.integers(0, 1000),
)
def test_linear_restoring_is_interpolation_in_patient_space(
    codes: str,
    spacing: tuple[float, float, float],
    grid_mm: tuple[float, float, float],
    angle: float,
    cut: tuple[int, int, int],
    seed: int,
) -> None:
    scan = scan_of(codes, spacing, angle)
    grid = stage_grid(scan.reoriented(), grid_mm)
    whole = np.random.default_rng(seed).random((3, *grid.shape), np.float32)
    # Cropped at its start, as a body is; the affine says so.
    box = tuple(slice(min(c, n - 1), n) for c, n in zip(cut, grid.shape, strict=True))
    affine = Volume(whole[0], grid.affine).cropped(box).affine
    probability = whole[(slice(None), *box)]
    source = OnScan(probability, affine, scan)
    found = np.concatenate([source.slab(k, k + 1) for k in range(scan.shape[2])], axis=-1)
    np.testing.assert_allclose(found, at_world(probability, affine, scan), atol=2e-5)
    np.testing.assert_allclose(source.slab(0, scan.shape[2]), found, atol=1e-6)
    labels = average([source], scan).labels
    assert labels.same_grid(scan)
    first, second = np.sort(found, axis=0)[:-3:-1]
    sure = first - second > 1e-5
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(labels.array[sure], found.argmax(0)[sure])


@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(codes=st.sampled_from(CODES), angle=st.floats(-0.5, 0.5), seed=st.integers(0, 1000))
def test_nearest_restoring_does_not_depend_on_orientation(
    codes: str, angle: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    spacing = tuple(rng.uniform(0.6, 5, 3))
    scan = scan_of(codes, spacing, angle)
    canonical = scan.reoriented()
    grid = stage_grid(canonical, tuple(rng.uniform(0.8, 4, 3)))
    labels = rng.integers(0, 4, grid.shape).astype(np.uint8)
    found = restore_labels(labels, grid.affine, scan)
    assert found.same_grid(scan)
    np.testing.assert_array_equal(
        found.reoriented().array, restore_labels(labels, grid.affine, canonical).array
    )
    index = Volume(labels, grid.affine).index(
        canonical.world(np.stack(np.indices(canonical.shape), -1))
    )
    near = np.ceil(np.round(index, 6) - 0.5).astype(int).clip(0, np.array(grid.shape) - 1)
    np.testing.assert_array_equal(found.reoriented().array, labels[tuple(np.moveaxis(near, -1, 0))])


def test_what_the_grid_does_not_cover_is_background() -> None:
    scan = Volume(np.zeros((8, 8, 8), np.int16), np.eye(4))
    affine = np.eye(4)
    affine[:3, 3] = 4
    ones = np.zeros((2, 2, 2, 2), np.float32)
    ones[1] = 1
    labels = average([OnScan(ones, affine, scan)], scan).labels
    assert labels.array.sum() == 8
    assert labels.array[4:6, 4:6, 4:6].all()
    assert restore_labels(ones[1], affine, scan).array.sum() == 8
    # A grid that meets the scan nowhere.
    affine[:3, 3] = 40
    assert not average([OnScan(ones, affine, scan)], scan).labels.array.any()
    assert not restore_labels(ones[1], affine, scan).array.any()


def test_bytes_are_probabilities_too() -> None:
    scan = Volume(np.zeros((3, 4, 5), np.int16), np.eye(4))
    probability = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5)).astype(np.uint8)
    found = OnScan(probability, np.eye(4), scan).slab(1, 4)
    np.testing.assert_allclose(found, probability[..., 1:4] / 255, atol=1e-6)


def test_a_turned_grid_is_refused() -> None:
    scan = Volume(np.zeros((20, 20, 20), np.int16), np.eye(4))
    with pytest.raises(ValueError, match="same axes"):
        restore_labels(np.ones((20, 20, 20), np.uint8), oblique(0.1), scan)


def test_slabs_cover_the_last_axis_once() -> None:
    scan = Volume(np.broadcast_to(np.int16(0), (512, 512, 45)), np.eye(4))
    ranges = slabs(scan)
    assert len(ranges) > 1
    assert [k for start, stop in ranges for k in range(start, stop)] == list(range(45))


def test_grids_that_hardly_meet_the_scan() -> None:
    """Thick voxels, long scans, and a grid of which most of the scan lies outside."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        shape, count = rng.integers(1, 40, 3), rng.integers(1, 50, 3)
        step, own = np.exp(rng.uniform(np.log(0.3), np.log(10), (2, 3)))
        scan = Volume(np.zeros(count, np.int16), np.diag([*own, 1.0]))
        affine = np.diag([*step, 1.0])
        affine[:3, 3] = (
            rng.uniform(-1.2, 1, 3) * shape * step + rng.uniform(0, 0.8, 3) * count * own
        )
        probability = rng.random((2, *shape), np.float32)
        found = np.concatenate(
            [OnScan(probability, affine, scan).slab(*ends) for ends in slabs(scan)], axis=-1
        )
        np.testing.assert_allclose(found, at_world(probability, affine, scan), atol=2e-5)
