"""Windows cover what they should, and averaging them changes nothing that agrees."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.prediction.options import Mirror
from renalis.prediction.region_of_interest import (
    find,
    tissue_box,
    unconfirmed_ml,
    without_skin,
)
from renalis.prediction.sliding import batches, slide, worth_looking
from renalis.prediction.windows import (
    WindowGrid,
    fewest_voxels,
    gaussian,
    merge_boxes,
    regular_windows,
    windows_around,
    windows_over,
    windows_over_boxes,
)


@st.composite
def boxes(draw: st.DrawFn, shape: tuple[int, int, int]) -> tuple[slice, slice, slice]:
    ends = []
    for n in shape:
        start = draw(st.integers(0, n - 1))
        ends.append(slice(start, draw(st.integers(start + 1, n))))
    return ends[0], ends[1], ends[2]


@settings(deadline=None)
@given(st.data(), st.floats(0, 0.7), st.sampled_from([1, 2, 4]))
def test_windows_cover_the_box_and_stay_inside(
    data: st.DataObject, overlap: float, stride: int
) -> None:
    grid = WindowGrid(stride, (0, stride // 2, stride - 1))
    shape = tuple(data.draw(st.integers(1, 70)) for _ in range(3))
    patch = tuple(data.draw(st.integers(4, 24)) for _ in range(3))
    box = data.draw(boxes(shape))
    covered = np.zeros(shape, bool)
    for start in windows_over(box, shape, patch, overlap, grid):
        covered[tuple(slice(s, s + p) for s, p in zip(start, patch, strict=True))] = True
        for s, p, n, origin in zip(start, patch, shape, grid.origin, strict=True):
            assert 0 <= s <= max(0, n - p)
            assert (s - origin) % stride == 0 or s in (0, n - p)
    assert covered[box].all()


@settings(deadline=None)
@given(st.data(), st.sampled_from([1, 4, 8]), st.sampled_from([0.0, 0.34, 1.0]))
def test_longer_windows_cover_all_boxes_with_no_more_voxels(
    data: st.DataObject, stride: int, longer: float
) -> None:
    grid = WindowGrid(stride, (0, stride // 2, stride - 1))
    shape = tuple(data.draw(st.integers(1, 70)) for _ in range(3))
    given_patch = tuple(8 * data.draw(st.integers(1, 3)) for _ in range(3))
    found = [data.draw(boxes(shape)) for _ in range(data.draw(st.integers(1, 3)))]
    patch, windows = fewest_voxels(found, shape, given_patch, 0.33, grid, longer)
    before = windows_over_boxes(found, shape, given_patch, 0.33, grid)
    assert len(windows) * np.prod(patch) <= len(before) * np.prod(given_patch)
    if longer == 0 or stride == 1:
        assert (patch, windows) == (given_patch, before)
    covered = np.zeros(shape, bool)
    for p, given_side, n in zip(patch, given_patch, shape, strict=True):
        assert p == given_side or (
            given_side < p <= min(n, given_side * (1 + longer)) and (p - given_side) % stride == 0
        )
    for start in windows:
        covered[tuple(slice(s, s + p) for s, p in zip(start, patch, strict=True))] = True
    assert all(covered[box].all() for box in found)


def test_a_kidney_a_little_longer_than_a_window_takes_one_longer_window() -> None:
    kidneys = [(slice(20, 125), slice(36, 126), slice(x, x + 80)) for x in (20, 170)]
    shape, patch, grid = (240, 288, 288), (96, 96, 96), WindowGrid(16)
    assert len(windows_over_boxes(kidneys, shape, patch, 0.33, grid)) == 4
    longer, windows = fewest_voxels(kidneys, shape, patch, 0.33, grid, 1 / 3)
    assert (longer, windows) == ((112, 96, 96), [(16, 32, 16), (16, 32, 160)])


def nnunet_steps(size: int, tile: int) -> list[int]:
    """``compute_steps_for_sliding_window`` of nnU-Net v2.8 for one axis, step size 0.5."""
    number = int(np.ceil((size - tile) / (tile * 0.5))) + 1
    actual = (size - tile) / (number - 1) if number > 1 else 1e9
    return [int(np.round(actual * i)) for i in range(number)]


@given(st.tuples(*[st.integers(1, 300)] * 3), st.tuples(*[st.sampled_from([16, 48, 64])] * 3))
def test_the_lattice_is_that_of_nnunet(
    shape: tuple[int, int, int], patch: tuple[int, int, int]
) -> None:
    sides = [nnunet_steps(max(n, p), p) for n, p in zip(shape, patch, strict=True)]
    expected = [(i, j, k) for i in sides[0] for j in sides[1] for k in sides[2]]
    assert regular_windows(shape, patch) == expected


@settings(deadline=None)
@given(st.data(), st.sampled_from([1, 2, 4]))
def test_where_something_lies_the_window_that_counts_most_is_kept(
    data: st.DataObject, ratio: int
) -> None:
    shape = tuple(data.draw(st.integers(1, 160)) for _ in range(3))
    where = np.zeros([-(-n // ratio) for n in shape], bool)
    box = data.draw(boxes(where.shape))
    where[box] = True
    every = regular_windows(shape, (32, 32, 32))
    kept = windows_around(every, where, shape, (32, 32, 32), (ratio,) * 3)
    assert set(kept) <= set(every)
    sides = [
        sorted({side.start, data.draw(st.integers(side.start, side.stop - 1)), side.stop - 1})
        for side in box
    ]
    for place in product(*sides):
        voxel = [min(ratio * p + ratio // 2, n - 1) for p, n in zip(place, shape, strict=True)]

        def off(window: tuple[int, ...], voxel: list[int] = voxel) -> float:
            return sum((start + 15.5 - v) ** 2 for start, v in zip(window, voxel, strict=True))

        assert min(map(off, kept)) == min(map(off, every))


def test_without_anything_the_whole_lattice_is_looked_at() -> None:
    every = regular_windows((90, 70, 70), (32, 32, 32))
    nothing = np.zeros((45, 35, 35), bool)
    assert windows_around(every, nothing, (90, 70, 70), (32, 32, 32), (2.0, 2.0, 2.0)) == every


@settings(deadline=None)
@given(st.tuples(*[st.integers(-300, 300)] * 3), st.tuples(*[st.integers(0, 90)] * 3))
def test_the_step_is_the_same_in_the_patient_however_the_scan_was_cut(
    corner: tuple[int, int, int], cut: tuple[int, int, int]
) -> None:
    affine = np.array([[0, 0, -2.0, 0], [0, -2.0, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 1]])
    affine[:3, 3] = np.asarray(corner) * 2.0 + 1
    later = affine.copy()
    later[:3, 3] += affine[:3, :3] @ cut
    whole, part = WindowGrid.of(affine, 16), WindowGrid.of(later, 16)
    for one, other, moved in zip(whole.origin, part.origin, cut, strict=True):
        assert (one - other - moved) % 16 == 0


@settings(deadline=None)
@given(st.data())
def test_merging_covers_all_boxes_with_no_more_windows(data: st.DataObject) -> None:
    shape, patch = (60, 60, 60), (16, 16, 16)
    parts = data.draw(st.lists(boxes(shape), min_size=1, max_size=5))
    merged = merge_boxes(parts, shape, patch, 0.4)
    inside = np.zeros(shape, bool)
    for box in merged:
        inside[box] = True
    assert all(inside[box].all() for box in parts)
    count = sum(len(windows_over(box, shape, patch, 0.4)) for box in merged)
    assert count <= sum(len(windows_over(box, shape, patch, 0.4)) for box in parts)


@pytest.mark.parametrize("shape", [(30, 41, 22), (5, 41, 9)])
@pytest.mark.parametrize("mirror", list(Mirror))
def test_sliding_a_pointwise_network_equals_applying_it(
    shape: tuple[int, int, int], mirror: Mirror
) -> None:
    image = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    patch = (16, 16, 16)
    windows = windows_over(
        (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])), shape, patch, 0.4
    )
    result = slide(
        image, lambda p: np.tanh(p[:, 1:] + p[:, :1]), patch, windows, together=3, mirror=mirror
    )
    assert result.seen.all()
    np.testing.assert_allclose(result.probability, np.tanh(image[1:] + image[:1]), atol=1e-5)


def test_windows_go_together_in_even_batches_of_at_most_so_many() -> None:
    windows = [(0, 0, x) for x in range(26)]
    sizes = [len(batch) for batch in batches(windows, 12)]
    assert (sum(sizes), len(sizes)) == (26, 3)
    assert max(sizes) - min(sizes) <= 1
    assert [window for batch in batches(windows, 12) for window in batch] == windows
    assert batches([], 12) == []


FOUR = ((3,), (1, 2), (1, 2, 3))
"""Axes of (3, Z, Y, X) that the further looks of `Mirror.FOUR` turn."""


def test_windows_that_show_nothing_are_not_looked_at_again() -> None:
    image = np.zeros((1, 16, 16, 64), np.float32)
    image[..., 20:24] = 0.3
    looks: list[int] = []

    def network(patches: np.ndarray) -> np.ndarray:
        looks.append(len(patches))
        return np.repeat(patches, 3, 1)

    windows = [(0, 0, x) for x in (0, 16, 32, 48)]
    result = slide(image, network, (16, 16, 16), windows, together=4, mirror=Mirror.ALL)
    assert looks == [4, *[1] * 7]
    np.testing.assert_allclose(result.probability[0], image[0], atol=1e-6)


def test_the_variance_of_mirrored_looks_at_every_second_voxel() -> None:
    image = np.full((1, 16, 16, 32), 0.9, np.float32)
    there = np.random.default_rng(0).random((4, 3, 16, 16, 16), np.float32) / 3
    looks: list[int] = []

    def network(patches: np.ndarray) -> np.ndarray:
        own = there[len(looks) % 4][None]
        looks.append(1)
        return np.repeat(own, len(patches), 0)

    windows = [(0, 0, 0), (0, 0, 16)]
    result = slide(image, network, (16, 16, 16), windows, mirror=Mirror.FOUR)
    back = [there[0], *(np.flip(own, axes) for own, axes in zip(there[1:], FOUR, strict=True))]
    lesion = np.stack([own[1] + own[2] for own in back]).var(0)[::2, ::2, ::2]
    renal = np.stack([own.sum(0) for own in back]).var(0)[::2, ::2, ::2]
    assert result.variance is not None
    expected = np.stack([renal, lesion])
    np.testing.assert_allclose(result.variance, np.concatenate([expected] * 2, 3), atol=1e-5)
    assert slide(image, network, (16, 16, 16), windows).variance is None


def test_what_no_window_saw_stays_zero() -> None:
    image = np.ones((1, 20, 20, 60), np.float32)
    result = slide(image, lambda p: np.repeat(p, 3, 1), (16, 16, 16), [(0, 0, 0)])
    assert result.seen.sum() == 16**3
    assert result.probability[:, ~result.seen].max() == 0


def test_beyond_the_scan_lies_air_in_plane_and_the_last_slice_above() -> None:
    image = np.full((2, 3, 8, 16), 0.5, np.float32)
    image[0, 2] = 0.7
    patches = []

    def network(batch: np.ndarray) -> np.ndarray:
        patches.extend(batch)
        return np.zeros((len(batch), 3, *batch.shape[2:]), np.float32)

    slide(image, network, (7, 16, 16), [(0, 0, 0)])
    (patch,) = patches
    assert (patch[0, :, :4] == -1).all()
    assert (patch[1, :, :4] == 0).all()
    np.testing.assert_allclose(patch[0, -2:, 4:12], 0.7)
    np.testing.assert_allclose(patch[0, :4, 4:12], 0.5)


def test_windows_of_air_are_left_out() -> None:
    image = np.full((16, 16, 64), -1, np.float32)
    image[:, :, 50:] = 0
    windows = [(0, 0, 0), (0, 0, 24), (0, 0, 48)]
    assert worth_looking(image, windows, (16, 16, 16)) == [(0, 0, 48)]
    nowhere = np.zeros(image.shape, bool)
    assert worth_looking(image, windows, (16, 16, 16), nowhere) == []


def test_weights_are_largest_in_the_middle_and_never_zero() -> None:
    weight = gaussian((9, 11, 13))
    assert np.unravel_index(weight.argmax(), weight.shape) == (4, 5, 6)
    assert weight.min() > 0
    np.testing.assert_array_equal(weight, weight[::-1, ::-1, ::-1])


def test_each_find_gets_its_box_however_many_there_are() -> None:
    probability = np.zeros((3, 40, 40, 60), np.float32)
    renal = probability[0]
    for center in ((10, 10, 10), (10, 10, 45), (32, 30, 28)):
        z, y, x = center
        renal[z - 3 : z + 3, y - 3 : y + 3, x - 3 : x + 3] = 0.9
    renal[20, 20, 5] = 0.9  # 0.064 ml
    region = find(probability, (4.0, 4.0, 4.0), 0.3, 2.0, 8.0)
    assert len(region.boxes) == 3
    assert not region.unsure
    assert region.allowed[5, 10, 10]  # 8 mm above the first
    assert not region.allowed[4, 10, 10]
    assert not region.allowed[20, 20, 5]


def test_weak_signs_mean_unsure_and_none_mean_nothing() -> None:
    probability = np.zeros((3, 20, 20, 20), np.float32)
    assert find(probability, (4.0, 4.0, 4.0), 0.3, 2.0, 12.0).boxes == ()
    probability[0, 5:10, 5:10, 5:10] = 0.15
    region = find(probability, (4.0, 4.0, 4.0), 0.3, 2.0, 12.0)
    assert region.unsure
    assert region.allowed.all()


@pytest.mark.parametrize(("kidneys", "boxes"), [(2, 2), (1, 2)])
def test_a_mass_without_kidney_tissue_is_no_third_kidney(kidneys: int, boxes: int) -> None:
    probability = np.zeros((3, 30, 30, 60), np.float32)
    for place in (slice(4, 14), slice(44, 54))[:kidneys]:
        probability[0, 4:14, 4:14, place] = 0.9
    probability[1, 20:28, 20:28, 20:28] = 0.9
    region = find(probability, (4.0, 4.0, 4.0), 0.4, 2.0, 8.0)
    assert len(region.boxes) == boxes
    assert region.allowed[24, 24, 24] == (kidneys < 2)


def test_what_only_the_coarse_pass_takes_for_a_kidney_is_told() -> None:
    probability = np.zeros((3, 20, 20, 20), np.float32)
    probability[0, :6, 2:8, 2:8] = 0.9  # 13.8 ml, confirmed nowhere
    probability[0, 10:16, 2:8, 2:8] = 0.9  # confirmed in one voxel
    probability[0, 10:13, 12:15, 12:15] = 0.9  # 1.7 ml
    probability[1, :6, 12:18, 12:18] = 0.9  # no kidney tissue
    confirmed = np.zeros((20, 20, 20), bool)
    confirmed[12, 5, 5] = True
    assert unconfirmed_ml(probability, confirmed, (4.0, 4.0, 4.0)) == pytest.approx(13.824)
    confirmed[0, 2, 2] = True
    assert unconfirmed_ml(probability, confirmed, (4.0, 4.0, 4.0)) == 0


def test_kidneys_are_not_looked_for_in_the_skin() -> None:
    body = (slice(0, 20), slice(10, 40), slice(5, 70))
    inner = without_skin(body, (20, 50, 80), (4.0, 4.0, 4.0))
    assert inner == (slice(0, 20), slice(12, 35), slice(10, 65))


def test_where_the_body_goes_on_beyond_the_scan_nothing_is_left_out() -> None:
    body = (slice(0, 20), slice(0, 40), slice(5, 80))
    inner = without_skin(body, (20, 40, 80), (4.0, 4.0, 4.0))
    assert inner == (slice(0, 20), slice(0, 40), slice(10, 80))


def test_a_body_thinner_than_its_skin_is_looked_at_whole() -> None:
    body = (slice(0, 20), slice(10, 14), slice(10, 19))
    assert without_skin(body, (20, 30, 30), (4.0, 4.0, 4.0)) == body


def test_the_tissue_box_leaves_the_table_out_and_keeps_both_parts_of_a_body() -> None:
    image = np.full((20, 60, 80), -1, np.float32)
    image[:, 10:40, 10:30] = 0
    image[:, 10:40, 45:70] = 0
    image[:, 55:56, :] = 0  # a table, one voxel thick
    assert tissue_box(image) == (slice(0, 20), slice(10, 40), slice(10, 70))
    assert tissue_box(np.full((5, 5, 5), -1, np.float32))[0] == slice(0, 0)
