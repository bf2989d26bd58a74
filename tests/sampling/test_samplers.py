"""Samplers on prepared cases whose voxels know their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from renalis.preparation import GridSpec, PreparedGrid, cached_case, prepare_case
from renalis.sampling import (
    PairedSampler,
    PairGeometry,
    Sample,
    SliceSampler,
    WindowSampler,
    any_of,
    balanced_epoch,
    draw_balanced,
    label_table,
    with_negatives,
)
from renalis.volume import CANONICAL, Kind, Volume

SPL = np.array([[0, 0, -1.0, 30], [0, -1.0, 0, 20], [1.0, 0, 0, -40], [0, 0, 0, 1]])


def _grid(
    image: NDArray[np.int16],
    label: NDArray[np.uint8],
    spec: GridSpec,
    affine: NDArray[np.float64] = SPL,
) -> PreparedGrid:
    case = prepare_case(Volume(image, affine), Volume(label, affine, Kind.LABELS), [spec])
    return case.grid(spec.name)


def _slices_case(depth: int, kidney: range, tumor: range, seed: int) -> PreparedGrid:
    image = np.random.default_rng(seed).integers(-500, 500, (depth, 12, 12)).astype(np.int16)
    label = np.zeros(image.shape, np.uint8)
    label[kidney.start : kidney.stop, 3:8, 3:8] = 1
    label[tumor.start : tumor.stop, 4:6, 4:6] = 2
    spec = GridSpec("native2d", kind="native2d", weight_map="foreground")
    return _grid(image, label, spec)


CASES = [
    _slices_case(40, range(18, 24), range(20, 22), 1),
    _slices_case(9, range(0, 0), range(0, 0), 2),
    _slices_case(30, range(0, 5), range(1, 2), 3),
]


def test_slices_come_from_where_they_say() -> None:
    sampler = SliceSampler(CASES)
    assert len(sampler) == 79
    seen = set()
    for number in range(len(sampler)):
        sample = sampler[number]
        case, z = CASES[sample.meta["case"]], sample.meta["slice"]
        np.testing.assert_array_equal(sample.inputs["image"][0], case.image[z])
        np.testing.assert_array_equal(sample.targets["seg"], case.label[z])
        np.testing.assert_array_equal(sample.targets["weights"], case.weights[z])
        seen.add((sample.meta["case"], z))
    assert len(seen) == 79
    with pytest.raises(IndexError):
        sampler[79]


def test_far_slices_are_left_out() -> None:
    sampler = SliceSampler(CASES, within=4)
    slices = [
        (s.meta["case"], s.meta["slice"]) for s in map(sampler.__getitem__, range(len(sampler)))
    ]
    assert slices == [(0, z) for z in range(14, 28)] + [(2, z) for z in range(9)]


def test_epoch_has_all_positives_and_so_many_negatives() -> None:
    sampler = SliceSampler(CASES, negatives_per_positive=2)
    order = sampler.epoch(np.random.default_rng(0))
    assert sampler.positive.sum() == 11
    assert len(order) == 33 == len(set(order.tolist()))
    assert set(np.flatnonzero(sampler.positive)) <= set(order.tolist())
    np.testing.assert_array_equal(order, sampler.epoch(np.random.default_rng(0)))
    assert (order != sampler.epoch(np.random.default_rng(1))).any()
    assert len(SliceSampler(CASES).epoch(np.random.default_rng(0))) == 79


def test_the_target_decides_what_is_positive() -> None:
    sampler = SliceSampler(CASES, table=any_of(2), within=0)
    assert len(sampler) == 11
    assert sampler.positive.sum() == 3
    values = {int(v) for i in range(11) for v in np.unique(sampler[i].targets["seg"])}
    assert values == {0, 1}


def test_regions_go_with_their_slices_and_select_them() -> None:
    regions = [(case.label > 0).astype(np.uint8) * 200 for case in CASES]
    sampler = SliceSampler(CASES, regions=regions, inside_region_only=True)
    assert len(sampler) == 11
    sample = sampler[3]
    np.testing.assert_array_equal(sample.inputs["roi"][0] > 0, sample.targets["seg"] > 0)


def test_other_planes_and_sizes() -> None:
    sampler = SliceSampler(CASES[:1], axis=1, size=(50, 10))
    sample = sampler[5]
    assert sample.inputs["image"].shape == (1, 50, 10)
    np.testing.assert_array_equal(sample.inputs["image"][0, 5:45], CASES[0].image[:, 5, 1:11])
    assert (sample.inputs["image"][0, :5] == -1024).all()
    assert sampler.positive.sum() == 5


WINDOWS = GridSpec("g", spacing_mm=(1, 1, 1), clip_hu=(-79, 304))


def _window_sampler() -> tuple[WindowSampler, list[PreparedGrid]]:
    rng = np.random.default_rng(4)
    cases = []
    for shape in ((30, 50, 40), (12, 20, 44)):
        label = np.zeros(shape, np.uint8)
        label[4:10, 5:15, 5:20] = 1
        label[5:8, 8:10, 8:12] = 2
        cases.append(_grid(rng.integers(-100, 300, shape).astype(np.int16), label, WINDOWS))
    return WindowSampler(cases, (16, 24, 24), (12, 16, 16)), cases


def test_windows_with_tumor_come_four_times_as_often() -> None:
    sampler, cases = _window_sampler()
    starts, flags = sampler.windows(0)
    for start, flag in zip(starts, flags, strict=True):
        box = tuple(slice(s, s + n) for s, n in zip(start, (16, 24, 24), strict=True))
        assert flag == (cases[0].label[box] == 2).any()
    assert 0 < flags.sum() < len(flags)
    rng = np.random.default_rng(0)
    drawn = [sampler.draw(rng, 0).meta["start"] for _ in range(4000)]
    counts = np.array([drawn.count(tuple(int(s) for s in start)) for start in starts])
    expected = np.where(flags, 4, 1) / np.where(flags, 4, 1).sum() * 4000
    assert ((counts - expected) ** 2 / expected).sum() < 3 * len(starts)


def test_windows_reach_beyond_small_cases_with_air() -> None:
    sampler, cases = _window_sampler()
    sample = sampler.draw(np.random.default_rng(0), 1)
    assert sample.inputs["image"].shape == (1, 16, 24, 24)
    x = sample.meta["start"][2]
    np.testing.assert_array_equal(
        sample.inputs["image"][0, :12, :20], cases[1].image[:, :, x : x + 24]
    )
    assert (sample.inputs["image"][0, 12:] == -79).all()
    assert not sample.targets["seg"][12:].any()


def test_every_window_once_and_every_case_once() -> None:
    sampler, _ = _window_sampler()
    places = {
        (s.meta["case"], *s.meta["start"]) for s in map(sampler.__getitem__, range(len(sampler)))
    }
    assert len(places) == len(sampler)
    batches = list(sampler.epoch(np.random.default_rng(2)))
    assert sorted(case for batch in batches for case in batch) == [0, 1]


FINE = GridSpec("mm1", spacing_mm=(1, 1, 1), order=1, clip_hu=(-500, 400))
COARSE = replace(FINE, name="mm4", spacing_mm=(4, 4, 4))
SMALL = PairGeometry(size=60, output=20, ratio=4)


def _pair_case(
    axis: int, affine: NDArray[np.float64], shape: tuple[int, int, int] = (70, 90, 81)
) -> tuple[PreparedGrid, PreparedGrid]:
    """Voxel values are tenths of mm along one patient axis."""
    points = Volume(np.zeros(shape, np.uint8), affine).world(np.moveaxis(np.indices(shape), 0, -1))
    label = np.zeros(shape, np.uint8)
    label[20:40, 30:60, 20:50] = 1
    label[28:34, 40:48, 30:38] = 2
    case = prepare_case(
        Volume((points[..., axis] * 10).astype(np.float32), affine),
        Volume(label, affine, Kind.LABELS),
        [FINE, COARSE],
    )
    return case.grid("mm1"), case.grid("mm4")


def test_the_published_geometry() -> None:
    geometry = PairGeometry()
    assert (geometry.offset, geometry.margin, geometry.remainder) == (162, 44, 2)
    for s4 in (-52, 0, 7):
        assert geometry.coarse_start(4 * s4 + 162 + 44) == s4
        # The coarse output of 20 covers the central 80 of the fine patch.
        assert 4 * (s4 + 44) == 4 * s4 + 162 + 14
    with pytest.raises(ValueError, match="2 modulo 4"):
        geometry.coarse_start(0)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("geometry", [SMALL, PairGeometry()])
def test_both_patches_look_at_the_same_place(axis: int, geometry: PairGeometry) -> None:
    """A volume whose values are coordinates: 4 x 4 x 4 fine voxels average to each coarse one."""
    affine = np.array([[0, 0, -0.9, 11.3], [0, -0.9, 0, 4], [1.1, 0, 0, -7.7], [0, 0, 0, 1]])
    cases = [_pair_case(axis, affine)]
    sampler = PairedSampler(cases, geometry)
    g = geometry
    whole = cases[0][0]
    middle = np.array(whole.shape) // 2
    number = int(np.argmin([
        np.abs(np.array(_start(sampler, i)) + 10 - middle).sum() for i in range(len(sampler))
    ]))  # fmt: skip
    sample = sampler[number]
    assert sample.inputs["image"].shape == sample.inputs["low_image"].shape == (1, *[g.size] * 3)
    assert sample.targets["seg"].shape == sample.targets["low"].shape == (g.output,) * 3
    # The coarse output block enlarged, cut to the fine output block in its middle.
    low = sample.inputs["low_image"][0][(slice(g.margin, g.margin + g.output),) * 3]
    fine = sample.inputs["image"][0]
    reach = g.output * g.ratio // 2
    center = g.size // 2
    take = min(reach, center) // 4 * 4
    box = (slice(center - take, center + take),) * 3
    means = fine[box].reshape(*[v for _ in range(3) for v in (take // 2, 4)]).mean(axis=(1, 3, 5))
    inner = (slice(g.output // 2 - take // 4, g.output // 2 + take // 4),) * 3
    both = low[inner]
    # Voxels that lie inside the scan on both grids.
    start = np.array(sample.meta["start"]) - g.margin + center - take
    inside = np.ones(both.shape, bool)
    for a in range(3):
        first = start[a] + 4 * np.arange(both.shape[a])
        ok = (first >= 4) & (first + 8 <= whole.shape[a])
        inside &= ok.reshape([-1 if b == a else 1 for b in range(3)])
    assert inside.sum() > 100
    np.testing.assert_allclose(both[inside], means[inside], rtol=0, atol=1.0)  # 0.1 mm


def _start(sampler: PairedSampler, number: int) -> tuple[int, ...]:
    axes = sampler._starts[0]
    index = np.unravel_index(number, [len(a) for a in axes])
    return tuple(int(a[i]) for a, i in zip(axes, index, strict=True))


def test_targets_are_the_middles_of_the_patches() -> None:
    fine, coarse = _pair_case(0, SPL)
    sampler = PairedSampler([(fine, coarse)], SMALL)
    sample = sampler.pair(0, [26, 38, 30])
    np.testing.assert_array_equal(sample.targets["seg"], fine.label[26:46, 38:58, 30:50])
    s4 = [(s - 20 - 90) // 4 + 20 for s in (26, 38, 30)]
    expected = np.zeros((20, 20, 20), np.uint8)
    for index in np.ndindex(20, 20, 20):
        place = tuple(s + i for s, i in zip(s4, index, strict=True))
        if all(0 <= p < n for p, n in zip(place, coarse.shape, strict=True)):
            expected[index] = coarse.label[place] > 0
    np.testing.assert_array_equal(sample.targets["low"], expected)
    assert expected.any()
    assert sample.targets["cls"].tolist() == [1.0]
    assert sampler.pair(0, [-2, -2, -2]).targets["cls"].tolist() == [0.0]
    assert sample.fill == {"image": -500, "low_image": -500}


def test_margins_keep_the_center() -> None:
    case = _pair_case(2, SPL)
    plain, wide = (
        PairedSampler([case], SMALL, margin_mm=mm).pair(0, [26, 38, 30]) for mm in (0, 7)
    )
    for name, margin in (("image", 8), ("low_image", 2)):
        inner = wide.inputs[name][(slice(None), *[slice(margin, -margin)] * 3)]
        np.testing.assert_array_equal(inner, plain.inputs[name])
    for name, margin in (("seg", 8), ("low", 2)):
        inner = wide.targets[name][(slice(margin, -margin),) * 3]
        np.testing.assert_array_equal(inner, plain.targets[name])
    np.testing.assert_array_equal(wide.targets["cls"], plain.targets["cls"])


@pytest.mark.parametrize("kinds", [2, 3])
def test_kinds_are_balanced(kinds: int) -> None:
    sampler = PairedSampler([_pair_case(0, SPL), _pair_case(1, SPL)], SMALL, kinds=kinds)
    order = sampler.epoch(np.random.default_rng(0))
    kind = [_kind(sampler[int(i)]) for i in order]
    merged = [min(k, kinds - 1) for k in kind]
    counts = [merged.count(k) for k in range(kinds)]
    assert len(set(counts)) == 1
    assert counts[0] > 10
    every = sampler.kinds
    assert sum(map(len, every)) == len(sampler)
    assert len(sampler.epoch(np.random.default_rng(0), limit=12)) == 12
    rng = np.random.default_rng(5)
    drawn = [min(_kind(sampler.draw(rng)), kinds - 1) for _ in range(150)]
    assert min(drawn.count(k) for k in range(kinds)) > 150 / kinds * 0.6


def _kind(sample: Sample) -> int:
    seg = sample.targets["seg"]
    return 2 if (seg == 2).any() else int((seg == 1).any())


def test_output_blocks_cover_the_scan() -> None:
    fine, coarse = _pair_case(0, SPL)
    sampler = PairedSampler([(fine, coarse)], SMALL, stride=20)
    covered = np.zeros(fine.shape, bool)
    for number in range(len(sampler)):
        start = _start(sampler, number)
        covered[tuple(slice(max(0, s), s + 20) for s in start)] = True
    assert covered.all()


def test_grids_that_do_not_share_a_corner_are_refused() -> None:
    fine, coarse = _pair_case(0, SPL)
    shifted = coarse.affine.copy()
    shifted[0, 3] += 1.5
    with pytest.raises(ValueError, match="do not share a corner"):
        PairedSampler([(fine, replace(coarse, affine=shifted))], SMALL)


def test_balance_rules() -> None:
    rng = np.random.default_rng(0)
    background, kidney, tumor = np.arange(100), np.arange(100, 120), np.arange(200, 203)
    order = balanced_epoch([background, kidney], rng)
    assert len(order) == 40
    assert set(kidney) <= set(order.tolist())
    assert len(set(order.tolist())) == 40
    assert len(balanced_epoch([background, kidney, tumor], rng)) == 9
    assert len(balanced_epoch([background, kidney, np.array([], int)], rng)) == 40
    few = balanced_epoch([tumor, kidney], rng)
    assert sorted(np.unique(few[few >= 200], return_counts=True)[1].tolist()) == [6, 7, 7]
    assert len(with_negatives(kidney, background, 100, rng)) == 120
    assert {draw_balanced([background[:1], kidney[:1]], rng) for _ in range(40)} == {0, 100}
    with pytest.raises(ValueError, match="no samples"):
        balanced_epoch([np.array([], int)], rng)


def test_label_tables() -> None:
    assert label_table({1: 1, 2: 2, 3: 1})[np.arange(5)].tolist() == [0, 1, 2, 1, 0]
    assert any_of()[[0, 1, 9]].tolist() == [0, 1, 1]


def test_samplers_read_memory_maps(tmp_path: Path) -> None:
    image = Volume(np.random.default_rng(0).integers(-9, 9, (20, 30, 30)).astype(np.int16), SPL)
    label = image.like((image.array > 6).astype(np.uint8), Kind.LABELS)
    assert image.orientation == CANONICAL
    grids = [GridSpec("native2d", kind="native2d"), FINE]
    case = cached_case(tmp_path, "case", lambda: (image, label), grids)
    assert isinstance(case.grid("mm1").image, np.memmap)
    samplers: list[Callable[[int], Sample]] = [
        SliceSampler([case.grid("native2d")]).__getitem__,
        WindowSampler([case.grid("mm1")], (8, 8, 8), (8, 8, 8)).__getitem__,
    ]
    for read in samplers:
        sample = read(7)
        sample.inputs["image"][...] = 0  # a copy: never the file
        assert read(7).inputs["image"].any()
