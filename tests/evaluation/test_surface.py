"""Surface distances are those of DeepMind's code, whatever the shape."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import surface_distance
from helpers.oracle import distances
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from surface_distance import lookup_tables

from renalis.evaluation.label_boxes import BLOCK, label_boxes
from renalis.evaluation.surface import PlacedMasks, SurfaceDistances, surface_distances
from renalis.evaluation.surfels import area_table, cell_codes
from renalis.evaluation.voxel_geometry import VoxelGeometry

SPACINGS = [(1.0, 1.0, 1.0), (5.0, 0.78, 0.78), (0.5, 0.7421875, 2.5), (0.9, 3.0, 0.4)]


def measured(one: NDArray, two: NDArray, spacing: tuple[float, ...]) -> SurfaceDistances:
    boxes = label_boxes(one.view(np.uint8), two.view(np.uint8))
    placed = [PlacedMasks(one[b], two[b], tuple(s.start for s in b)) for b in boxes]
    return surface_distances(placed, one.shape, VoxelGeometry.straight(spacing))


def assert_same(one: NDArray, two: NDArray, spacing: tuple[float, ...]) -> None:
    """Every number that can be taken from the distances is the oracle's."""
    ours, theirs = measured(one, two, spacing), distances(one, two, spacing)
    np.testing.assert_allclose(ours.reference_mm, theirs["distances_gt_to_pred"], atol=1e-9)
    np.testing.assert_allclose(ours.prediction_mm, theirs["distances_pred_to_gt"], atol=1e-9)
    for areas, name in ((ours.reference_mm2, "gt"), (ours.prediction_mm2, "pred")):
        assert areas.sum() == pytest.approx(theirs[f"surfel_areas_{name}"].sum(), rel=1e-12)
    for tolerance in (0.0, 0.4, 1.0330772532390826, 1.1498198361434828, 2.5, 30.0):
        expected = surface_distance.compute_surface_dice_at_tolerance(theirs, tolerance)
        assert abs(ours.dice(tolerance) - expected) <= 1e-9
    for percent in (50.0, 95.0, 100.0):
        # Where the areas reach the percentile exactly, rounding decides which distance is meant.
        around = [
            surface_distance.compute_robust_hausdorff(theirs, p)
            for p in (percent - 1e-7, min(100.0, percent + 1e-7))
        ]
        assert min(around) - 1e-9 <= ours.hausdorff(percent) <= max(around) + 1e-9
    means = surface_distance.compute_average_surface_distance(theirs)
    assert abs(ours.mean() - np.mean(means)) <= 1e-9


def blob(rng: np.random.Generator, shape: tuple[int, ...], share: float, smooth: float) -> NDArray:
    noise = rng.standard_normal(shape)
    if smooth:
        noise = ndimage.gaussian_filter(noise, smooth)
    mask = noise > np.quantile(noise, 1 - share)
    mask[tuple(n // 2 for n in shape)] = True
    return mask


@pytest.mark.parametrize("spacing", SPACINGS)
def test_area_of_every_cell(spacing: tuple[float, float, float]) -> None:
    theirs = lookup_tables.create_table_neighbour_code_to_surface_area(spacing)
    ours = area_table(VoxelGeometry.straight(spacing))
    for code in range(256):
        corners = (code & lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL) > 0
        padded = np.pad(corners, 1)
        middle = cell_codes(padded)[1, 1, 1]
        assert ours[middle] == pytest.approx(theirs[code], rel=1e-14, abs=1e-15)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(*[st.integers(1, 26)] * 3),
    shares=st.tuples(*[st.sampled_from([0.01, 0.1, 0.4, 0.9, 1.0])] * 2),
    smooth=st.sampled_from([0.0, 1.0, 3.0]),
    spacing=st.one_of(
        st.sampled_from(SPACINGS), st.tuples(*[st.floats(0.2, 6).map(lambda v: round(v, 3))] * 3)
    ),
)
@example(seed=157523, shape=(3, 11, 20), shares=(0.01, 0.01), smooth=1.0, spacing=(1.0, 1.0, 1.0))
def test_random_shapes(seed, shape, shares, smooth, spacing) -> None:
    rng = np.random.default_rng(seed)
    one, two = (blob(rng, shape, share, smooth) for share in shares)
    assert_same(one, two, spacing)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("kind", ["full", "border", "single", "disjoint", "corner", "same", "far"])
def test_special_shapes(kind: str, spacing: tuple[float, ...]) -> None:
    one, two = np.zeros((2, 40, 56, 72), dtype=bool)
    if kind == "full":
        one[:] = True
        two[3:30, 5:20, 7:40] = True
    elif kind == "border":
        one[:9, :, 60:] = True
        two[:7, 10:, 58:] = True
    elif kind == "single":
        one[20, 20, 20] = True
        two[23, 18, 30] = True
    elif kind == "disjoint":
        one[2:8, 3:9, 4:10] = True
        two[30:38, 40:50, 60:70] = True
    elif kind == "corner":
        one[0, 0, 0] = one[-1, -1, -1] = True
        two[-1, 0, -1] = two[0, -1, 0] = True
    elif kind == "same":
        one[4:20, 5:17, 6:40] = two[4:20, 5:17, 6:40] = True
    else:
        one[4:20, 5:17, 6:20] = two[5:21, 5:17, 7:20] = True
        for corner in itertools.product((2, 34), (2, 50), (30, 66)):
            two[tuple(slice(c, c + 3) for c in corner)] = True
    assert_same(one, two, spacing)


def test_empty_masks() -> None:
    one, two = np.zeros((2, 20, 20, 20), dtype=bool)
    assert np.isnan(measured(one, two, (1.0, 1.0, 1.0)).dice(1))
    assert np.isnan(measured(one, two, (1.0, 1.0, 1.0)).mean())
    one[3:6, 3:6, 3:6] = True
    for ours in (measured(one, two, (1.0, 1.0, 1.0)), measured(two, one, (1.0, 1.0, 1.0))):
        assert ours.dice(5) == 0
        assert ours.hausdorff() == ours.mean() == np.inf


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(*[st.integers(1, 90)] * 3),
    count=st.integers(0, 12),
    order=st.permutations([0, 1, 2]),
)
def test_boxes_hold_every_label_and_keep_apart(seed, shape, count, order) -> None:
    rng = np.random.default_rng(seed)
    labels = np.zeros([shape[a] for a in order], np.uint8).transpose(np.argsort(order))
    for _ in range(count):
        start = [int(rng.integers(0, n)) for n in labels.shape]
        labels[tuple(slice(s, s + int(rng.integers(1, 9))) for s in start)] = 2
    boxes = label_boxes(labels)
    owner = np.zeros(labels.shape, int)
    for k, box in enumerate(boxes, 1):
        assert not owner[box].any()
        owner[box] = k
    assert (owner[labels > 0] > 0).all()
    # Labels in different boxes: never both within a block's length along all axes.
    points = np.argwhere(labels > 0)[:: max(1, int((labels > 0).sum() // 300))]
    owners = owner[tuple(points.T)]
    gap = np.abs(points[:, None] - points[None]).max(axis=-1)
    assert (gap[owners[:, None] != owners[None]] > BLOCK).all()
