"""Which kidney is which: none, one, horseshoe, transplant, cut, displaced."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from helpers.kidney_phantoms import (
    CYST,
    KIDNEY,
    LEFT,
    LEFT_CYST,
    RIGHT,
    RIGHT_TUMOR,
    TUMOR,
    Ellipsoid,
    Phantom,
    grid_around,
    sphere,
)

from renalis.boxes import bounding_box
from renalis.laterality import Midline
from renalis.measurement import Measurements, measure
from renalis.measurement.structures import find_groups
from renalis.preparation.body import Body
from renalis.volume import Kind, Volume

SPACING = (2.0, 2.0, 2.5)


def measured(*shapes: Ellipsoid, half: tuple[float, float, float] = (120, 100, 90)) -> Measurements:
    return measure(*Phantom(tuple(shapes)).draw(*grid_around(SPACING, half)))


def ids(found: Measurements) -> list[str]:
    return [kidney.id for kidney in found.kidneys]


def test_nothing() -> None:
    found = measured()
    assert found.kidneys == ()
    assert found.lesions == ()
    assert found.totals.kidney_ml == 0
    assert found.notes == ("no kidney, tumor or cyst was found",)


@pytest.mark.parametrize(("beside", "kidney"), [(105.0, True), (170.0, False)])
def test_what_lies_as_far_beside_the_midline_as_a_shoulder_is_doubtful(
    beside: float, kidney: bool
) -> None:
    right = replace(RIGHT, center=(beside, -20, 0))
    image, labels = Phantom((LEFT, right)).draw(*grid_around((4.0, 4.0, 4.0), (210, 100, 80)))
    midline = Body(None, (1, 1, 1), Midline(0.0, 0.0, 0.0, "known"))
    found = {one.id: one.is_kidney for one in measure(image, labels, body=midline).kidneys}
    assert found["right"].answer.counts == kidney
    assert any("beside the midline" in reason for reason in found["right"].reasons) != kidney
    assert found["left"].answer.counts


def test_what_lies_on_the_midline_speaks_against_a_kidney_and_a_horseshoe_does_not() -> None:
    womb, isthmus = (
        replace(RIGHT, center=(12, -20, 0)),
        Ellipsoid((0, -10, -25), (62, 9, 9), KIDNEY),
    )
    seen = Midline(0.0, rule="known")
    for shapes, midline, against in (
        ((womb,), seen, True),
        ((womb,), replace(seen, seen=False), False),
        ((LEFT, RIGHT, isthmus), seen, False),
        ((LEFT, RIGHT), seen, False),
    ):
        image, labels = Phantom(shapes).draw(*grid_around((4.0, 4.0, 4.0), (120, 100, 90)))
        found = measure(image, labels, body=Body(None, (1, 1, 1), midline)).kidneys
        for kidney in found:
            # There is no fat around it either.
            assert kidney.is_kidney.answer.counts != against
            reasons = kidney.is_kidney.reasons
            assert any("on the midline" in reason for reason in reasons) == against


@pytest.mark.parametrize(
    ("shape", "side", "missing"), [(RIGHT, "right", "left"), (LEFT, "left", "right")]
)
def test_one_kidney(shape: Ellipsoid, side: str, missing: str) -> None:
    found = measured(shape)
    assert ids(found) == [side]
    assert found.notes == (f"no {missing} kidney was found",)
    assert found.kidneys[0].parenchyma_ml == pytest.approx(shape.ml, rel=0.01)


def test_horseshoe_has_no_side() -> None:
    isthmus = Ellipsoid((0, -10, -25), (62, 9, 9), KIDNEY)
    found = measured(LEFT, RIGHT, isthmus, RIGHT_TUMOR)
    assert ids(found) == ["other-1"]
    assert found.kidneys[0].volume_ml > LEFT.ml + RIGHT.ml
    assert "crosses the midline" in found.notes[0]
    tumor = found.lesions[0]
    assert tumor.shape.pole is None
    assert "fused" in tumor.shape.pole_rule
    assert tumor.nephrometry is not None
    assert tumor.nephrometry.radius.points == 1
    assert tumor.nephrometry.total is None


def test_a_line_of_voxels_between_two_kidneys_makes_no_horseshoe() -> None:
    found = measure(*Phantom((LEFT, RIGHT), line=True).draw(*grid_around(SPACING, (120, 60, 65))))
    assert ids(found) == ["left", "right"]
    for kidney, truth in zip(found.kidneys, (LEFT, RIGHT), strict=True):
        assert kidney.parenchyma_ml == pytest.approx(truth.ml, rel=0.01)
        assert any("narrow neck" in note for note in kidney.notes)


@pytest.mark.parametrize("thick", [7.0, 12.0])
def test_an_isthmus_as_thick_as_parenchyma_makes_a_horseshoe(thick: float) -> None:
    isthmus = Ellipsoid((0, -10, -25), (62, thick, 9), KIDNEY)
    assert ids(measured(LEFT, RIGHT, isthmus, half=(120, 60, 70))) == ["other-1"]


def test_a_tumor_that_reaches_the_other_kidney_is_its_own_kidneys() -> None:
    found = measured(LEFT, RIGHT, sphere((8, -20, 0), 54, TUMOR), half=(120, 80, 70))
    assert ids(found) == ["left", "right"]
    assert found.lesions[0].kidney == "right"
    left = found.kidney("left")
    assert left is not None
    assert left.tumor_ml == 0


def test_a_tumor_in_the_isthmus_parts_no_horseshoe() -> None:
    isthmus = Ellipsoid((0, -10, -25), (62, 9, 9), KIDNEY)
    tumor = sphere((0, -10, -25), 18, TUMOR)
    assert ids(measured(LEFT, RIGHT, isthmus, tumor, half=(120, 60, 70))) == ["other-1"]


def test_polycystic_kidneys_that_touch_are_two() -> None:
    kidneys = [Ellipsoid((side * 58, -20, 0), (60, 45, 65), KIDNEY) for side in (-1, 1)]
    cysts = [
        sphere((kidney.center[0] + x, -20 + y, z), 15, CYST)
        for kidney in kidneys
        for x, y, z in product((-28, 0, 28), (-15, 15), (-30, 0, 30))
    ]
    affine, shape = grid_around((3.0, 3.0, 3.0), (125, 70, 70))
    labels = Phantom((*kidneys, *cysts)).draw(affine, shape)[1].reoriented()
    box = bounding_box(labels.array)
    assert box is not None
    groups, _ = find_groups(labels.cropped(box), box, Midline(0.0))
    assert [(str(group.side), group.bridged) for group in groups] == [
        ("left", True),
        ("right", True),
    ]
    for group, truth in zip(groups, kidneys, strict=True):
        ml = np.count_nonzero(group.labels.array) * labels.voxel_ml
        assert ml == pytest.approx(truth.ml, rel=0.01)


def test_a_large_cyst_does_not_stand_for_its_kidney() -> None:
    cyst = sphere((80, -20, 0), 32, CYST)
    right = measured(LEFT, RIGHT, cyst).kidney("right")
    assert right is not None
    assert right.cyst_ml > right.parenchyma_ml
    assert right.intensity is not None
    assert right.is_kidney.evidence.median_hu == pytest.approx(right.intensity.median_hu, abs=1)
    assert not any("median" in reason for reason in right.is_kidney.reasons)


def test_a_transplant_is_a_further_kidney() -> None:
    graft = Ellipsoid((80, 50, -50), (20, 20, 30), KIDNEY)
    found = measured(LEFT, RIGHT, graft)
    assert ids(found) == ["left", "right", "other-1"]
    assert "further kidney" in found.notes[0]
    assert found.kidneys[2].offset_mm > 0


def test_a_pelvic_kidney_on_the_midline_is_other() -> None:
    found = measured(RIGHT, Ellipsoid((3, 10, -50), (30, 20, 28), KIDNEY))
    assert ids(found) == ["right", "other-1"]
    assert "crosses the midline" in found.notes[0]


def test_a_large_tumor_does_not_move_its_kidney_across() -> None:
    tumor = sphere((25, 0, 0), 45, TUMOR)
    found = measured(LEFT, tumor, RIGHT)
    assert ids(found) == ["left", "right"]
    assert found.lesions[0].side == "right"


def test_a_kidney_in_two_parts_is_one() -> None:
    upper = Ellipsoid((65, -20, 40), (22, 20, 25), KIDNEY)
    lower = Ellipsoid((65, -20, -18), (22, 20, 28), KIDNEY)
    found = measured(LEFT, upper, lower)
    assert ids(found) == ["left", "right"]
    right = found.kidney("right")
    assert right is not None
    assert right.parenchyma_ml == pytest.approx(upper.ml + lower.ml, rel=0.02)


def test_a_cut_kidney_says_so() -> None:
    found = measured(LEFT, RIGHT, RIGHT_TUMOR, half=(170, 120, 45))
    right = found.kidney("right")
    assert right is not None
    assert right.location.borders == ("inferior", "superior")
    assert any("cut by the scan's inferior and superior border" in note for note in found.notes)
    assert found.lesions[0].shape.exophytic_fraction is None
    assert found.lesions[0].diameter_mm == pytest.approx(24, abs=2.5)


def test_a_lesion_without_a_kidney() -> None:
    found = measured(LEFT, sphere((70, -20, 0), 40, TUMOR))
    assert ids(found) == ["left"]
    assert found.lesions[0].kidney is None
    assert found.lesions[0].side == "right"
    assert "tumor-1 belongs to no kidney" in found.notes
    assert found.lesions[0].shape.pole is None


def test_a_kidney_far_larger_than_the_other_is_pointed_out() -> None:
    double = Ellipsoid((65, -20, 0), (40, 32, 62), KIDNEY)
    found = measured(LEFT, double)
    right = found.kidney("right")
    assert right is not None
    assert right.parenchyma_ml == pytest.approx(double.ml, rel=0.01)
    noted = [note for note in found.notes if "parenchyma" in note]
    assert len(noted) == 1
    ml = f"{right.parenchyma_ml:.0f} ml"
    assert noted[0].startswith(f"the right kidney has {ml} of parenchyma, the left")
    assert not [note for note in measured(LEFT, RIGHT).notes if "parenchyma" in note]
    cut = measured(LEFT, double, half=(120, 100, 45))
    assert not [note for note in cut.notes if "parenchyma" in note]


def test_specks_are_counted_but_are_no_kidney() -> None:
    found = measured(LEFT, RIGHT, sphere((0, 60, 60), 4, KIDNEY))
    assert ids(found) == ["left", "right"]
    assert found.totals.unassigned_ml == pytest.approx(4 / 3 * np.pi * 0.064, rel=0.2)
    parts = sum(kidney.parenchyma_ml for kidney in found.kidneys) + found.totals.unassigned_ml
    assert parts == pytest.approx(found.totals.kidney_ml)


def test_touching_lesions_of_two_kinds_are_two() -> None:
    found = measured(
        LEFT, RIGHT, sphere((88, -20, 20), 12, TUMOR), sphere((88, -20, 43), 12, CYST), LEFT_CYST
    )
    assert [lesion.id for lesion in found.lesions] == ["tumor-1", "cyst-1", "cyst-2"]
    right = found.kidney("right")
    assert right is not None
    assert right.lesions == ("tumor-1", "cyst-1")
    assert right.volume_ml == pytest.approx(right.parenchyma_ml + right.tumor_ml + right.cyst_ml)


def test_sides_without_any_body() -> None:
    affine, shape = grid_around(SPACING)
    image, labels = Phantom((LEFT, RIGHT)).draw(affine, shape)
    air = Volume(np.full(image.shape, -1000, np.int16), affine)
    found = measure(air, labels)
    assert ids(found) == ["left", "right"]
    assert "no body" in found.midline_rule
    nothing = measure(air, labels.like(np.zeros(shape, np.uint8), Kind.LABELS))
    assert nothing.kidneys == ()


def test_image_values_that_are_not_finite_are_left_out() -> None:
    image, labels = Phantom((LEFT, RIGHT)).draw(*grid_around(SPACING))
    holes = image.array.astype(np.float32)
    holes[holes == 160] = np.where(np.arange((holes == 160).sum()) % 7, 160, np.nan)
    found = measure(Volume(holes, image.affine), labels)
    assert found.kidneys[0].intensity is not None
    assert found.kidneys[0].intensity.mean_hu == pytest.approx(160)


def blocks(
    shape: tuple[int, int, int], *places: tuple[tuple[slice, slice, slice], int]
) -> Measurements:
    """Boxes on a grid of 2 mm, x = 0 in its middle, measured with the midline there."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1.0)
    labels = np.zeros(shape, np.uint8)
    for place, label in places:
        labels[place] = label
    image = Volume(np.full(shape, 40, np.int16), affine)
    body = Body(None, (1, 1, 1), Midline(0.0))
    return measure(image, image.like(labels, Kind.LABELS), body=body)


def test_a_separate_piece_belongs_to_the_nearest_kidney_not_the_largest() -> None:
    left = (slice(20, 47), slice(5, 25), slice(5, 55)), KIDNEY
    right = (slice(54, 75), slice(5, 25), slice(5, 55)), KIDNEY
    between = (slice(51, 53), slice(10, 20), slice(20, 30)), TUMOR
    found = blocks((100, 30, 60), left, right, between)
    assert ids(found) == ["left", "right"]
    assert found.kidneys[0].parenchyma_ml > found.kidneys[1].parenchyma_ml
    assert (found.lesions[0].kidney, str(found.lesions[0].side)) == ("right", "right")


def test_a_kidney_in_two_pieces_counts_as_a_whole() -> None:
    one = (slice(10, 25), slice(5, 25), slice(5, 30)), KIDNEY
    halves = [((slice(10, 25), slice(5, 25), z), KIDNEY) for z in (slice(50, 66), slice(69, 86))]
    found = blocks((100, 30, 90), one, *halves)
    assert [(kidney.id, round(kidney.parenchyma_ml, 1)) for kidney in found.kidneys] == [
        ("left", 79.2),
        ("other-1", 60.0),
    ]


def test_the_distance_from_the_midline_is_that_of_all_parenchyma() -> None:
    places = [
        ((slice(5, 25), slice(5, 25), slice(5, 40)), KIDNEY),
        ((slice(29, 45), slice(5, 25), slice(5, 40)), KIDNEY),
    ]
    found = blocks((100, 30, 90), *places)
    x = np.concatenate([np.arange(5, 25), np.arange(29, 45)]) * 2 - 99
    assert found.kidneys[0].offset_mm == pytest.approx(x.mean(), abs=0.05)


def test_voxels_are_measured_where_they_lie_on_a_grid_turned_by_45_degrees() -> None:
    """Rounding turns image and labels to different axes if each is asked by itself."""

    def turned(error: float) -> np.ndarray:
        angle = np.pi / 4 + error
        affine = np.eye(4)
        affine[:3, :3] = 2 * np.array(
            [
                [np.cos(angle), -np.sin(angle), 0],
                [np.sin(angle), np.cos(angle), 0],
                [0, 0, 1],
            ]
        )
        affine[:3, 3] = -affine[:3, :3] @ np.full(3, 19.5)
        return affine

    labels = np.zeros((40, 40, 40), np.uint8)
    labels[5:15, 10:20, 5:35] = KIDNEY
    image = Volume(np.where(labels > 0, 200, 0).astype(np.int16), turned(1e-7))
    body = Body(None, (1, 1, 1), Midline(0.0))
    found = measure(image, Volume(labels, turned(-1e-7), Kind.LABELS), body=body)
    assert found.kidneys[0].intensity is not None
    assert found.kidneys[0].intensity.mean_hu == 200
