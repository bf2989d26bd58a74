"""Scores of one pair of label maps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.oracle import official
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from renalis.errors import InputError
from renalis.evaluation import Convention, EmptyRule, Grid, LesionRule, Options, score
from renalis.volume import Kind, Volume

KITS_AFFINE = np.array([[0, 0, -0.8, 0], [0, -0.7, 0, 0], [-2.5, 0, 0, 0], [0, 0, 0, 1.0]])


def maps(reference, prediction, affine=KITS_AFFINE) -> tuple[Volume, Volume]:
    return Volume(reference, affine, Kind.LABELS), Volume(prediction, affine, Kind.LABELS)


def random_labels(rng: np.random.Generator, shape, density: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), 2)
    labels = np.digitize(noise / noise.std(), [2.2 - 2 * density, 2.6 - 2 * density, 3.0 - density])
    return labels.astype(np.uint8)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(*[st.integers(2, 40)] * 3),
    densities=st.tuples(*[st.sampled_from([0.0, 0.3, 1.0])] * 2),
    spacing=st.sampled_from([(1.0, 1.0, 1.0), (5.0, 0.78, 0.78), (0.5, 0.9, 3.0)]),
)
def test_equals_the_official_kits23_steps(seed, shape, densities, spacing) -> None:
    rng = np.random.default_rng(seed)
    one, two = (random_labels(rng, shape, d) for d in densities)
    found = score(*maps(one, two, np.diag([*spacing, 1.0])))
    for name, (dice, surface) in official(one, two, spacing).items():
        assert abs(found[name].dice - dice) <= 1e-12
        assert abs(found[name].surface_dice - surface) <= 1e-9


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    codes=st.sampled_from(["RAS", "LPS", "SPL", "IAR", "PSL", "ASR"]),
    order=st.permutations([0, 1, 2]),
)
def test_neither_axis_order_nor_memory_order_matters(seed, codes, order) -> None:
    rng = np.random.default_rng(seed)
    one, two = maps(*(random_labels(rng, (14, 22, 30), 0.6) for _ in range(2)))
    expected = score(one, two)
    turned = two.reoriented(codes)
    copied = np.array(turned.array.transpose(order)).transpose(np.argsort(order))
    found = score(one.reoriented("RAS"), Volume(copied, turned.affine, Kind.LABELS))
    for name, region in expected.regions.items():
        other = found[name]
        for metric in ("dice", "surface_dice", "hd95_mm", "reference_ml", "slice_dice"):
            assert getattr(other, metric) == pytest.approx(
                getattr(region, metric), abs=1e-9, nan_ok=True
            )


def test_volumes_and_slices_by_hand() -> None:
    reference, prediction = np.zeros((2, 4, 10, 10), np.uint8)
    reference[1:3, 2:6, 2:7] = 1  # 2 slices of 20 voxels
    prediction[1, 2:6, 2:7] = 1  # the first exactly, the second not, a third wrongly
    prediction[3, 0, :5] = 1
    found = score(*maps(reference, prediction))["kidney"]
    voxel = 2.5 * 0.7 * 0.8 / 1000
    assert found.dice == 2 * 20 / (40 + 25)
    assert found.smooth_dice == (2 * 20 + 1) / (40 + 25 + 1)
    assert found.slice_dice == pytest.approx((1 + 0) / 2)  # slices with kidney in the reference
    assert found.slice_dice_all == pytest.approx((1 + 1 + 0 + 0) / 4)  # empty in both counts 1
    assert found.reference_ml == pytest.approx(40 * voxel)
    assert found.volume_error_ml == pytest.approx(-15 * voxel)
    assert found.volume_error_percent == pytest.approx(-37.5)
    assert math.isnan(found.false_positive_ml)


@pytest.mark.parametrize(
    ("rule", "both", "reference_empty", "prediction_empty"),
    [
        (EmptyRule.KITS, 1, 0, 0),
        (EmptyRule.KITS19, 0, 0, 0),
        (EmptyRule.SKIP_AGREEMENT, math.nan, 0, 0),
        (EmptyRule.SKIP_EMPTY_REFERENCE, math.nan, math.nan, 0),
    ],
)
def test_empty_masks(rule, both, reference_empty, prediction_empty) -> None:
    empty, full = np.zeros((2, 9, 9, 9), np.uint8)
    full[3:5, 3:5, 3:5] = 2
    options = Options(empty=rule)
    cases = ((empty, empty, both), (empty, full, reference_empty), (full, empty, prediction_empty))
    for one, two, expected in cases:
        found = score(*maps(one, two), options)["tumor"]
        assert found.dice == pytest.approx(expected, nan_ok=True)
        assert found.surface_dice == pytest.approx(expected, nan_ok=True)
        assert math.isnan(found.hd95_mm)
        assert math.isnan(found.mean_surface_mm)
    invented = score(*maps(empty, full), options)["tumor"]
    assert invented.false_positive_ml == pytest.approx(8 * 2.5 * 0.7 * 0.8 / 1000)
    assert math.isnan(invented.volume_error_percent)


def test_conventions_and_what_they_cannot_express() -> None:
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[2:8, 2:8, 2:8], labels[3:5, 3:5, 3:5], labels[6, 6, 6] = 1, 2, 3
    radboud = np.minimum(labels, 2)
    kits19 = np.where(labels == 3, 1, labels).astype(np.uint8)
    same = score(*maps(labels, radboud), Options(prediction_labels=Convention.RADBOUD))
    assert same["masses"].dice == same["kidney"].dice == 1
    assert "tumor" not in same.regions
    same = score(*maps(labels, kits19), Options(prediction_labels=Convention.KITS19))
    assert same["tumor"].dice == same["kidney"].dice == 1
    assert "masses" not in same.regions
    assert any("masses" in note for note in same.notes)
    same = score(*maps(labels, kits19), Options(labels=Convention.KITS19))
    assert {n: r.dice for n, r in same.regions.items() if "_" not in n} == {"kidney": 1, "tumor": 1}
    options = Options(labels=Convention.RADBOUD, reference_labels=Convention.KITS23)
    same = score(*maps(labels, radboud), options)
    assert same["parenchyma"].dice == same["abnormality"].dice == 1
    with pytest.raises(InputError, match="value 3"):
        score(*maps(labels, labels), Options(prediction_labels=Convention.KITS19))


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SPL", "ILA", "PRS"])
def test_sides_follow_the_affine(codes: str) -> None:
    labels = np.zeros((120, 60, 50), np.uint8)
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    affine[:3, 3] = -40, 7, 11
    labels[5:25, 20:40, 10:40] = 1  # low x: the patient's left
    labels[85:115, 20:40, 10:40] = 1  # high x: the right, half as large again
    only_left = np.where(np.arange(120)[:, None, None] < 60, labels, 0).astype(np.uint8)
    one, two = maps(labels, only_left, affine)
    found = score(one.reoriented(codes), two.reoriented(codes))
    assert found["left_kidney"].dice == 1
    assert found["right_kidney"].prediction_ml == 0
    assert found["right_kidney"].reference_ml == pytest.approx(
        1.5 * found["left_kidney"].reference_ml
    )
    alone = score(two.reoriented(codes), two.reoriented(codes))  # no gap: the field's center
    assert alone["left_kidney"].reference_ml == found["left_kidney"].reference_ml
    assert alone["right_kidney"].reference_ml == 0


def test_lesions_one_by_one() -> None:
    reference, prediction = np.zeros((2, 60, 60, 60), np.uint8)
    reference[2:12, 2:12, 2:12] = 2  # found: a corner of it
    prediction[2:7, 2:12, 2:12] = 2
    reference[30:34, 30:34, 30:34] = 2  # missed
    prediction[50:56, 50:56, 50:56] = 2  # invented
    prediction[40, 10, 10] = 2  # too small to count
    found = score(*maps(reference, prediction, np.eye(4)))["tumor"].detection
    assert found is not None
    assert sorted((round(x.ml, 3), x.hit) for x in found.reference) == [(0.064, False), (1.0, True)]
    assert sorted((round(x.ml, 3), x.hit) for x in found.prediction) == [
        (0.216, False),
        (0.5, True),
    ]
    assert found.ignored == 1
    strict = Options(lesion=LesionRule(overlap=0.6, min_diameter_mm=0))
    found = score(*maps(reference, prediction, np.eye(4)), strict)["tumor"].detection
    assert found is not None
    assert not any(x.hit for x in found.reference)
    assert len(found.prediction) == 3


def test_grids_that_differ() -> None:
    rng = np.random.default_rng(1)
    labels = random_labels(rng, (30, 40, 50), 0.8)
    reference = Volume(labels, KITS_AFFINE, Kind.LABELS)
    flipped = KITS_AFFINE.copy()
    flipped[2] = [2.5, 0, 0, -40]
    wrong = Volume(labels, flipped, Kind.LABELS)
    with pytest.raises(InputError) as refused:
        score(reference, wrong)
    assert "-2.5, 0, 0, 0]" in str(refused.value)
    assert "2.5, 0, 0, -40]" in str(refused.value)
    assert score(reference, wrong, Options(grid=Grid.VOXEL))["kidney"].dice == 1
    cropped = reference.cropped((slice(3, 29), slice(0, 33), slice(4, 50)))
    with pytest.raises(InputError, match="30 × 40 × 50 voxels, the prediction 26 × 33 × 46"):
        score(reference, cropped)
    with pytest.raises(InputError, match="equal shapes"):
        score(reference, cropped, Options(grid=Grid.VOXEL))
    found = score(reference, cropped, Options(grid=Grid.WORLD))
    expected = np.zeros_like(labels)
    expected[3:29, 0:33, 4:50] = cropped.array
    assert (
        found["kidney"].dice
        == score(reference, reference.like(expected, Kind.LABELS))["kidney"].dice
    )
    assert any("resampled" in note for note in found.notes)
    away = Volume(labels, KITS_AFFINE + np.array([[0, 0, 0, 5000.0]] + [[0] * 4] * 3), Kind.LABELS)
    with pytest.raises(InputError, match="do not overlap"):
        score(reference, away, Options(grid=Grid.WORLD))


def test_world_resampling_is_nearest_neighbor_on_oblique_grids() -> None:
    rng = np.random.default_rng(2)
    prediction = Volume(random_labels(rng, (24, 26, 28), 1.0), np.eye(4), Kind.LABELS)
    turn = np.eye(4)
    turn[:2, :2] = [[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]]
    turn[:3, :3] *= 0.7
    turn[:3, 3] = 6, 2, 3
    reference = Volume(np.ones((20, 20, 20), np.uint8), turn, Kind.LABELS)
    places = prediction.index(reference.world(np.moveaxis(np.indices(reference.shape), 0, -1)))
    nearest = np.floor(np.round(places, 6) + 0.5).astype(int)
    inside = ((nearest >= 0) & (nearest < prediction.shape)).all(axis=-1)
    clipped = np.clip(nearest, 0, np.array(prediction.shape) - 1)
    expected = np.where(inside, prediction.array[tuple(np.moveaxis(clipped, -1, 0))], 0)
    found = score(reference, prediction, Options(grid=Grid.WORLD))
    for value, name in ((2, "tumor"), (3, "cyst")):
        ml = (expected == value).sum() * reference.voxel_ml
        assert found[name].prediction_ml == pytest.approx(ml)


@pytest.mark.parametrize("bad", [-1, 7, 256, 1.5, math.nan])
def test_values_that_are_no_labels(bad: float) -> None:
    labels = np.zeros((8, 8, 8), np.float64)
    labels[2:4, 2:4, 2:4] = 1
    damaged = labels.copy()
    damaged[5, 5, 5] = bad
    with pytest.raises(InputError, match="prediction"):
        score(*maps(labels, damaged))
    assert score(*maps(labels, labels.astype(np.int16)))["kidney"].dice == 1
    assert score(*maps(labels, labels > 0))["kidney"].dice == 1
