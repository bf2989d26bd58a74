"""The publications' clean-up steps on hand-made volumes, in several orientations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from renalis.postprocessing.context import Context
from renalis.postprocessing.morphology import closed, dilated, filled, opened
from renalis.postprocessing.sides import middle_x_mm
from renalis.postprocessing.steps import make_step, run_steps
from renalis.recipes import load_system, names
from renalis.volume import Kind, Volume

SHAPE = (24, 30, 60)
SPACING = (3.0, 2.0, 2.0)
AFFINE = np.array([[0, 0, -2.0, 100], [0, -2.0, 0, 10], [3.0, 0, 0, -50], [0, 0, 0, 1]])
"""Canonical order: axis 2 runs to the left. x = 100 at index 0, -18 at index 59."""
ORIENTATIONS = ["SPL", "RAS", "LPS", "IRA", "ALS", "PIR"]
ML = 12 / 1000

Box = tuple[slice, slice, slice]


def box(z: int, y: int, x: int, size: tuple[int, int, int]) -> Box:
    return slice(z, z + size[0]), slice(y, y + size[1]), slice(x, x + size[2])


def drawn(*parts: tuple[Box, int]) -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    for where, value in parts:
        array[where] = value
    return array


def after(
    codes: str, array: np.ndarray, *steps: dict[str, Any], **beside: Any
) -> tuple[np.ndarray, list[int]]:
    """Labels in canonical order after steps in another orientation, and voxels changed by each."""
    labels = Volume(array, AFFINE, Kind.LABELS).reoriented(codes)
    before = labels.array.copy()
    done = run_steps(labels, [make_step(**step) for step in steps], Context(**beside))
    np.testing.assert_array_equal(labels.array, before)
    assert done.labels.same_grid(labels)
    changes = [change.voxels for change in done.changes]
    return done.labels.reoriented().array, changes


def body(low_x: int, high_x: int) -> Volume:
    """A scan whose body spans some columns only; no bone, so no spine."""
    image = np.full(SHAPE, -1000, np.int16)
    image[:, 3:27, low_x:high_x] = 40
    return Volume(image, AFFINE)


RIGHT_LARGE = (box(5, 10, 8, (6, 6, 6)), 1)
RIGHT_SMALL = (box(15, 10, 8, (4, 4, 4)), 1)
LEFT_SMALL = (box(5, 10, 44, (3, 3, 3)), 1)
LEFT_TINY = (box(15, 10, 46, (1, 2, 2)), 1)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_the_largest_on_each_side_of_the_patient(codes: str) -> None:
    array = drawn(RIGHT_LARGE, RIGHT_SMALL, LEFT_SMALL, LEFT_TINY)
    image = body(2, 58).reoriented("RAS")
    found, changes = after(codes, array, {"rule": "side_largest"}, image=image)
    np.testing.assert_array_equal(found, drawn(RIGHT_LARGE, LEFT_SMALL))
    assert changes == [64 + 4]
    found, _ = after(codes, array, {"rule": "side_largest", "per_side": 2}, image=image)
    np.testing.assert_array_equal(found, array)
    ml = 27 * ML
    for least, kept in ((ml - 1e-6, True), (ml + 1e-6, False)):
        step = {"rule": "side_largest", "min_ml": least}
        found, _ = after(codes, array, step, image=image)
        wanted = drawn(RIGHT_LARGE, LEFT_SMALL) if kept else drawn(RIGHT_LARGE)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_the_sides_part_where_the_body_is_and_not_the_grid(codes: str) -> None:
    """Both components on one half of the field of view, but on both sides of a body off center."""
    array = drawn((box(5, 10, 34, (5, 5, 5)), 1), (box(5, 10, 50, (4, 4, 4)), 1))
    image = body(30, 59)
    found, _ = after(codes, array, {"rule": "side_largest"}, image=image)
    np.testing.assert_array_equal(found, array)
    one = drawn((box(5, 10, 34, (5, 5, 5)), 1))
    for image_or_none, split in ((image, "middle"), (None, "body_centroid")):
        step = {"rule": "side_largest", "split": split}
        found, _ = after(codes, array, step, image=image_or_none)
        np.testing.assert_array_equal(found, one)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_the_middle_is_a_place_in_the_patient(codes: str) -> None:
    image = body(10, 40).reoriented(codes)
    # Columns 10 to 39 have their middle at index 24.5: 100 - 2 * 24.5 mm.
    assert middle_x_mm(image, image) == pytest.approx(51, abs=2)
    assert middle_x_mm(image, image, "middle") == pytest.approx(100 - 2 * 29.5)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_a_tumor_that_splits_a_kidney(codes: str) -> None:
    kidney = [(box(4, 10, 8, (4, 5, 5)), 1), (box(12, 10, 8, (3, 5, 5)), 1)]
    tumor = (box(8, 10, 8, (4, 5, 5)), 2)
    array = drawn(*kidney, tumor)
    found, _ = after(codes, array, {"rule": "side_largest", "region": "renal"})
    np.testing.assert_array_equal(found, array)
    found, _ = after(codes, array, {"rule": "side_largest", "region": "kidney"})
    np.testing.assert_array_equal(found, drawn(kidney[0], tumor))


@pytest.mark.parametrize("codes", ORIENTATIONS)
@pytest.mark.parametrize(
    ("offset", "neighbors", "stays"),
    [
        ((5, 0, 0), 6, True),
        ((5, 5, 0), 6, False),
        ((5, 5, 0), 18, True),
        ((5, 5, 5), 18, False),
        ((5, 5, 5), 26, True),
        ((6, 0, 0), 26, False),
    ],
)
def test_touching(codes: str, offset: tuple[int, int, int], neighbors: int, stays: bool) -> None:
    kidney = (box(5, 8, 20, (5, 5, 5)), 1)
    tumor = (box(5 + offset[0], 8 + offset[1], 20 + offset[2], (2, 2, 2)), 2)
    array = drawn(kidney, tumor)
    found, changes = after(codes, array, {"rule": "attached", "neighbors": neighbors})
    np.testing.assert_array_equal(found, array if stays else drawn(kidney))
    assert changes == [0 if stays else 8]


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_within_a_distance_in_mm(codes: str) -> None:
    kidney = (box(5, 8, 20, (5, 5, 5)), 1)
    # Two voxels of 3 mm from center to center, three voxels of 2 mm.
    above, beside_it = (box(11, 9, 21, (2, 2, 2)), 2), (box(6, 9, 27, (2, 2, 2)), 2)
    for tumor in (above, beside_it):
        array = drawn(kidney, tumor)
        for radius, stays in ((5.9, False), (6.0, True)):
            found, _ = after(codes, array, {"rule": "attached", "radius_mm": radius})
            np.testing.assert_array_equal(found, array if stays else drawn(kidney))


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_large_ones_stay_wherever_they_are(codes: str) -> None:
    kidney, tumor = (box(5, 8, 10, (5, 5, 5)), 1), (box(5, 8, 40, (4, 4, 4)), 2)
    array = drawn(kidney, tumor)
    for limit, stays in ((64 * ML - 1e-6, True), (64 * ML + 1e-6, False)):
        found, _ = after(codes, array, {"rule": "attached", "or_above_ml": limit})
        np.testing.assert_array_equal(found, array if stays else drawn(kidney))


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_the_diameter_is_that_of_axial_slices(codes: str) -> None:
    """A column of 8 slices is 24 mm tall, but 2 by 2 mm in every axial slice."""
    column, plate = (box(5, 8, 10, (8, 1, 1)), 2), (box(5, 8, 30, (1, 1, 4)), 2)
    array = drawn(column, plate)
    found, _ = after(codes, array, {"rule": "min_feret", "mm": 3.0})
    np.testing.assert_array_equal(found, drawn(plate))
    found, _ = after(codes, array, {"rule": "min_feret", "mm": 2.0})
    np.testing.assert_array_equal(found, array)
    found, _ = after(codes, array, {"rule": "min_feret", "mm": 9.0})
    assert not found.any()


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_a_speck_in_a_kidney_becomes_kidney(codes: str) -> None:
    kidney, speck = (box(5, 8, 20, (5, 5, 5)), 1), (box(7, 10, 22, (1, 1, 1)), 2)
    alone = (box(15, 20, 50, (1, 1, 1)), 2)
    array = drawn(kidney, speck, alone)
    for step in ({"rule": "min_feret", "mm": 3.0}, {"rule": "keep_if_ml", "ml": 2 * ML}):
        found, changes = after(codes, array, step)
        np.testing.assert_array_equal(found, drawn(kidney))
        assert changes == [2]
        found, _ = after(codes, array, {**step, "into": "background"})
        np.testing.assert_array_equal(found, drawn(kidney, (speck[0], 0)))


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_small_volumes(codes: str) -> None:
    small, large = (box(5, 8, 10, (2, 2, 2)), 2), (box(5, 8, 30, (3, 3, 3)), 2)
    array = drawn(small, large)
    found, _ = after(codes, array, {"rule": "keep_if_ml", "ml": 9 * ML})
    np.testing.assert_array_equal(found, drawn(large))


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_only_where_the_low_resolution_sees_something(codes: str) -> None:
    near, far = (box(5, 8, 10, (3, 3, 3)), 1), (box(5, 8, 30, (3, 3, 3)), 1)
    array = drawn(near, far)
    low_affine = AFFINE.copy()
    low_affine[:3, :3] *= 2
    low_affine[:3, 3] += AFFINE[:3, :3] @ np.full(3, 0.5)
    low = np.zeros(tuple(n // 2 for n in SHAPE), np.float32)
    low[2:4, 4:6, 5:7] = 0.51
    low[2:4, 4:6, 15:17] = 0.5
    place = Volume(low, low_affine).reoriented("LAS")
    for dilate in (0, 3):
        step = {"rule": "mask_by_low", "threshold": 0.5, "dilate": dilate}
        found, _ = after(codes, array, step, low=place)
        fine = low.repeat(2, 0).repeat(2, 1).repeat(2, 2) > 0.5
        mask = ndimage.binary_dilation(fine, iterations=dilate) if dilate else fine
        np.testing.assert_array_equal(found, np.where(mask, array, 0))
        assert 0 < np.count_nonzero(found) <= 27


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_dilations_count_on_the_fine_grid(codes: str) -> None:
    """Labels with slices of 3 mm, dilated in voxels of 1 mm: one slice further, not three."""
    low_affine = AFFINE @ np.diag([2.0, 3, 3, 1])
    low_affine[:3, 3] = AFFINE @ [0.5, 1, 1, 1] @ np.eye(4)[:, :3]
    low = np.zeros((12, 10, 20), np.float32)
    low[4:6, 4:6, 8:10] = 1
    fine_affine = AFFINE @ np.diag([1 / 3, 1 / 2, 1 / 2, 1])
    fine_affine[:3, 3] = (AFFINE @ [-1 / 3, -1 / 4, -1 / 4, 1])[:3]
    fine = Volume(np.broadcast_to(np.uint8(0), (72, 60, 120)), fine_affine)
    array = np.ones(SHAPE, np.uint8)
    beside = {"low": Volume(low, low_affine), "fine": fine.reoriented("RAS")}
    found, _ = after(codes, array, {"rule": "mask_by_low", "dilate": 3}, **beside)
    levels = np.flatnonzero(found.any((1, 2)))
    assert levels.tolist() == list(range(7, 13))
    found, _ = after(codes, array, {"rule": "mask_by_low", "dilate": 3}, low=beside["low"])
    assert np.flatnonzero(found.any((1, 2))).tolist() == list(range(5, 15))


@pytest.mark.parametrize("name", names())
def test_every_rule_of_a_recipe_is_a_step_with_these_fields(name: str) -> None:
    for rule in load_system(name).postprocessing:
        numbers = rule.model_dump()
        assert make_step(numbers.pop("rule"), **numbers).rule == rule.rule


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_tumor_only_in_the_earlier_stages_kidney(codes: str) -> None:
    array = drawn((box(5, 8, 10, (3, 3, 3)), 1), (box(5, 8, 13, (3, 3, 3)), 2))
    roi = drawn((box(5, 8, 10, (3, 3, 5)), 1))
    place = Volume(roi, AFFINE).reoriented(codes)
    step = {"rule": "restrict_to_roi", "stage": "kidneys"}
    found, changes = after(codes, array, step, rois={"kidneys": place})
    np.testing.assert_array_equal(found, np.where((array == 2) & (roi == 0), 0, array))
    assert changes == [9]
    with pytest.raises(ValueError, match="'kidneys'"):
        after(codes, array, step)
    with pytest.raises(ValueError, match="another grid"):
        after(codes, array, step, rois={"kidneys": Volume(roi, np.eye(4))})


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_opening_and_closing_in_mm(codes: str) -> None:
    block, thread = (box(5, 8, 10, (6, 8, 8)), 1), (box(7, 11, 18, (1, 1, 12)), 1)
    found, _ = after(codes, drawn(block, thread), {"rule": "opening", "radius_mm": 3.0})
    assert not found[thread[0]][:, :, 2:].any()
    assert found[box(6, 10, 12, (4, 4, 4))].all()
    gap = (box(7, 8, 13, (1, 8, 2)), 0)
    tumor = (box(8, 8, 10, (3, 8, 8)), 2)
    found, changes = after(codes, drawn(block, tumor, gap), {"rule": "closing", "radius_mm": 3.1})
    np.testing.assert_array_equal(found > 0, drawn(block) > 0)
    assert changes == [16]
    assert set(np.unique(found[gap[0]])) <= {1, 2}
    # Closing the kidney alone leaves the tumor as it is.
    before = drawn(block, (box(7, 10, 12, (1, 2, 2)), 2))
    step = {"rule": "closing", "region": "kidney", "radius_mm": 4.0}
    np.testing.assert_array_equal(after(codes, before, step)[0], before)


@pytest.mark.parametrize("codes", ORIENTATIONS)
@pytest.mark.parametrize("label", [1, 2])
def test_cavities_become_what_surrounds_them(codes: str, label: int) -> None:
    block, hole = (box(5, 8, 10, (6, 8, 8)), label), (box(7, 10, 12, (2, 2, 2)), 0)
    tunnel = (box(5, 14, 16, (6, 1, 1)), 0)
    array = drawn(block, hole, tunnel)
    found, _ = after(codes, array, {"rule": "fill_holes"})
    np.testing.assert_array_equal(found, drawn(block, tunnel))
    found, _ = after(codes, array, {"rule": "fill_holes", "planes": "axial"})
    np.testing.assert_array_equal(found, drawn(block))


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_a_sinus_is_no_hole(codes: str) -> None:
    kidney, sinus = (box(5, 8, 10, (6, 8, 8)), 1), (box(7, 10, 12, (2, 2, 2)), 0)
    for most, filled_ in ((8 * ML, True), (7 * ML, False)):
        step = {"rule": "fill_holes", "most_ml": most}
        found, changes = after(codes, drawn(kidney, sinus), step)
        assert changes == [8 if filled_ else 0]
        np.testing.assert_array_equal(found, drawn(kidney) if filled_ else drawn(kidney, sinus))


@pytest.mark.parametrize("name", names())
def test_every_rule_of_every_recipe_is_a_step(name: str) -> None:
    for rule in load_system(name).postprocessing:
        numbers = rule.model_dump()
        step = make_step(numbers.pop("rule"), **numbers)
        assert {key: getattr(step, key) for key in numbers} == numbers


def published(*parts: tuple[Box, int]) -> np.ndarray:
    """A label map of 2 mm voxels after the rules of R5's recipe, in their order."""
    affine = np.array([[0, 0, -2.0, 100], [0, -2.0, 0, 10], [2.0, 0, 0, -50], [0, 0, 0, 1]])
    array = np.zeros((40, 50, 100), np.uint8)
    for where, value in parts:
        array[where] = value
    steps = []
    for rule in load_system("multires3d").postprocessing:
        numbers = rule.model_dump()
        steps.append(make_step(numbers.pop("rule"), **numbers))
    return run_steps(Volume(array, affine, Kind.LABELS), steps).labels.array


RIGHT = (box(5, 10, 10, (15, 15, 15)), 1)
"""A kidney of 27 ml."""


def test_a_large_mass_apart_from_its_kidney_does_not_remove_the_kidney() -> None:
    mass = (box(5, 8, 30, (25, 25, 25)), 2)  # 125 ml, 12 mm from the kidney
    found = published(RIGHT, mass)
    assert np.count_nonzero(found == 1) == 15**3
    assert np.count_nonzero(found == 2) == 25**3


def test_a_small_abnormality_near_its_kidney_stays_and_one_far_from_it_goes() -> None:
    cyst = (box(10, 15, 26, (5, 5, 5)), 2)  # 1 ml, one voxel of 2 mm between it and the kidney
    far = (box(30, 40, 10, (5, 5, 5)), 2)
    found = published(RIGHT, cyst, far)
    assert np.count_nonzero(found == 1) == 15**3
    assert found[cyst[0]].all()
    assert not found[far[0]].any()


def test_the_larger_parenchyma_is_the_kidney_and_not_the_larger_mass() -> None:
    """A second component on the right: little parenchyma, and a cyst that makes it the larger."""
    rind, cyst = (box(5, 30, 10, (15, 2, 15)), 1), (box(5, 32, 10, (15, 16, 15)), 2)
    found = published(RIGHT, rind, cyst)
    assert found[RIGHT[0]].all()
    assert not found[rind[0]].any()


def test_a_kidney_that_a_tumor_splits_stays_whole() -> None:
    upper, tumor, lower = (
        (box(4, 10, 10, (12, 12, 12)), 1),
        (box(16, 10, 10, (6, 12, 12)), 2),
        (box(22, 10, 10, (8, 12, 12)), 1),
    )
    second = (box(4, 35, 10, (10, 10, 10)), 1)
    found = published(upper, tumor, lower, second)
    for where, label in (upper, tumor, lower):
        assert (found[where] == label).all()
    assert not found[second[0]].any()


def test_cysts_are_lesions_when_told_so() -> None:
    array = drawn((box(5, 8, 10, (5, 5, 5)), 1), (box(5, 8, 40, (3, 3, 3)), 3))
    found, _ = after("RAS", array, {"rule": "attached"})
    np.testing.assert_array_equal(found, array)
    found, _ = after("RAS", array, {"rule": "attached"}, lesions=(2, 3))
    np.testing.assert_array_equal(found, np.where(array == 3, 0, array))


def test_steps_run_in_order_and_say_what_they_changed() -> None:
    kidney, second = (box(5, 8, 10, (5, 5, 5)), 1), (box(5, 8, 18, (3, 3, 3)), 1)
    tumor = (box(5, 8, 21, (2, 2, 2)), 2)
    labels = Volume(drawn(kidney, second, tumor), AFFINE, Kind.LABELS)
    largest, attached = make_step("side_largest"), make_step("attached")
    first = run_steps(labels, [largest, attached])
    np.testing.assert_array_equal(first.labels.array, drawn(kidney))
    assert [c.name for c in first.changes] == ["side_largest", "attached"]
    assert first.changes[0].ml == pytest.approx(27 * ML)
    assert "0.32 ml (27 voxels)" in first.changes[0].sentence
    other = run_steps(labels, [attached, largest])
    np.testing.assert_array_equal(other.labels.array, drawn(kidney, tumor))
    assert other.changes[0].sentence == "Attached: nothing to change."


def test_unknown_steps_and_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="no rule 'smooth'"):
        make_step("smooth")
    with pytest.raises(ValueError, match="no field 'radius'"):
        make_step("attached", radius=4)
    with pytest.raises(ValueError, match="low-resolution"):
        run_steps(Volume(drawn(), AFFINE), [make_step("mask_by_low")])


EVERY: list[dict[str, Any]] = [
    {"rule": "side_largest", "region": "renal"},
    {"rule": "attached", "radius_mm": 4.0},
    {"rule": "min_feret", "mm": 5.0},
    {"rule": "keep_if_ml", "ml": 0.1},
    {"rule": "opening", "radius_mm": 3.0},
    {"rule": "closing", "radius_mm": 3.0},
    {"rule": "fill_holes"},
]


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    codes=st.sampled_from(ORIENTATIONS),
    step=st.sampled_from(EVERY),
    density=st.floats(0.01, 0.6),
)
def test_no_step_depends_on_the_orientation(
    seed: int, codes: str, step: dict[str, Any], density: float
) -> None:
    rng = np.random.default_rng(seed)
    noise = ndimage.uniform_filter(rng.random((12, 14, 16)), 2)
    values = np.where(noise < np.quantile(noise, density), rng.integers(1, 3, noise.shape), 0)
    array = values.astype(np.uint8)
    if step["rule"] in ("side_largest", "closing"):
        # Equal sizes and equal distances are decided by array order: avoid them.
        array[array > 0] = 1
        if step["rule"] == "side_largest":
            array[:, :, ::2] = 0
            array[3:5, 3:6, 2:5], array[3:5, 3:6, 11:15] = 1, 1
    labels = Volume(array, AFFINE, Kind.LABELS)
    one = run_steps(labels, [make_step(**step)]).labels
    other = run_steps(labels.reoriented(codes), [make_step(**step)]).labels.reoriented()
    if step["rule"] == "side_largest":
        assert np.count_nonzero(one.array) == np.count_nonzero(other.array)
    else:
        np.testing.assert_array_equal(one.array, other.array)
    empty = run_steps(labels.like(np.zeros_like(array), Kind.LABELS), [make_step(**step)])
    assert not empty.labels.array.any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), radius=st.sampled_from([0.5, 1.0, 1.5, 2.0, 2.9]))
def test_morphology_against_scipy(seed: int, radius: float) -> None:
    """Ball structuring elements in mm, on a mask that does not reach the border."""
    spacing = (1.5, 1.0, 0.8)
    rng = np.random.default_rng(seed)
    mask = np.zeros((20, 24, 26), bool)
    noise = ndimage.uniform_filter(rng.random((8, 12, 14)), 2)
    mask[6:14, 6:18, 6:20] = noise > np.quantile(noise, 0.4)
    reach = [int(radius / s) for s in spacing]
    grid = np.stack(np.mgrid[tuple(slice(-n, n + 1) for n in reach)], -1) * spacing
    ball = (grid**2).sum(-1) <= radius**2 * (1 + 1e-6)
    np.testing.assert_array_equal(opened(mask, radius, spacing), ndimage.binary_opening(mask, ball))
    np.testing.assert_array_equal(closed(mask, radius, spacing), ndimage.binary_closing(mask, ball))
    np.testing.assert_array_equal(filled(mask), ndimage.binary_fill_holes(mask))
    np.testing.assert_array_equal(dilated(mask, 3), ndimage.binary_dilation(mask, iterations=3))


def test_a_kidney_cut_by_the_scans_end_keeps_its_end() -> None:
    mask = np.zeros((10, 12, 12), bool)
    mask[:4, 2:10, 2:10] = True
    assert opened(mask, 2.0, (1, 1, 1))[0, 4:8, 4:8].all()
    assert (closed(mask, 2.0, (1, 1, 1)) == mask).all()
