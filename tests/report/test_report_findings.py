"""Tables, names and pictures speak of the same voxels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers.report_case import ALL_ORDERS, made_up

from renalis.conventions import Label
from renalis.measurement import CaseConfidence, Confidence, Measurements, measure
from renalis.postprocessing.kidney_check import judged
from renalis.report.findings import find, short_name
from renalis.report.page import expected_overlap
from renalis.report.scene import Scene
from renalis.report.sheet import numbers
from renalis.report.tables import (
    cards,
    doubts,
    kidney_table,
    largest,
    lesion_table,
    nephrometry_table,
    rules,
    summary,
)
from renalis.volume import Kind, Volume


@pytest.mark.parametrize("order", ALL_ORDERS[::7])
def test_every_row_has_its_own_voxels(order: str) -> None:
    image, labels = made_up(order)
    measured = measure(image, labels)
    scene = Scene.of(image, labels)
    found = find(scene, measured)
    assert set(found.lesions) == {"tumor-1", "cyst-1"}
    for lesion in measured.lesions:
        mine = found.lesions[lesion.id]
        assert mine.mask.sum() * labels.voxel_ml == pytest.approx(lesion.volume_ml)
        here = scene.labels.array[mine.box][mine.mask]
        assert set(np.unique(here)) == {Label[str(lesion.kind).upper()]}
    for kidney in measured.kidneys:
        voxels = found.kidneys[kidney.id].mask.sum()
        assert voxels * labels.voxel_ml == pytest.approx(kidney.parenchyma_ml)


def test_many_lesions_of_one_kind_keep_their_names() -> None:
    image, labels = made_up(lesions=False)
    array = labels.array.copy()
    rng = np.random.default_rng(3)
    for size in (2, 3, 4, 5):
        z, y, x = rng.integers(12, 40), 42, (30, 40, 82, 90)[size - 2]
        array[z : z + size, y : y + size, x : x + size] = Label.CYST
    marked = Volume(array, labels.affine, Kind.LABELS)
    measured = measure(image, marked)
    scene = Scene.of(image, marked)
    found = find(scene, measured)
    assert len(measured.lesions) == 4
    for lesion in measured.lesions:
        mine = found.lesions[lesion.id]
        assert mine.name == short_name(lesion)
        assert mine.mask.sum() * marked.voxel_ml == pytest.approx(lesion.volume_ml)
        corner = [side.start for side in mine.box]
        center = scene.labels.world(np.argwhere(mine.mask).mean(axis=0) + corner)
        assert center == pytest.approx(lesion.location.centroid_mm, abs=1e-6)


def test_tables_tell_the_numbers(patient: tuple[Volume, Volume, Measurements]) -> None:
    _, _, measured = patient
    kidneys, lesions = kidney_table(measured), lesion_table(measured)
    assert kidneys is not None
    assert lesions is not None
    assert [row[0] for row in kidneys.rows] == ["Right kidney", "Left kidney"]
    right = measured.kidney("right")
    assert right is not None
    assert kidneys.rows[0][1] == "yes"
    assert kidneys.rows[0][3] == f"{right.parenchyma_ml:.1f}"
    assert [row[:2] for row in lesions.rows] == [("T1", "tumor"), ("C1", "cyst")]
    assert lesions.rows[0][2].startswith("right")
    assert lesions.rows[1][2].startswith("left")
    for table in (kidneys, lesions):
        assert {len(row) for row in table.rows} == {len(table.columns)}
    assert summary(measured) == "Found: right kidney and left kidney; 1 tumor; 1 cyst."
    assert [card.title for card in cards(measured)] == [
        "Right kidney", "Left kidney", "Tumors", "Cysts",
    ]  # fmt: skip
    assert {name[0] for name, _ in rules(measured)} == set("RENAL")


def test_a_doubtful_kidney_is_called_so_wherever_it_is_named(
    patient: tuple[Volume, Volume, Measurements],
) -> None:
    _, _, measured = patient
    right, left = (measured.kidney(side) for side in ("right", "left"))
    assert right is not None
    assert left is not None
    seen = dataclasses.replace(right.is_kidney.evidence, mean_probability=0.5)
    doubtful = dataclasses.replace(right, is_kidney=judged(seen))
    seen = dataclasses.replace(left.is_kidney.evidence, mean_probability=0.7)
    likely = dataclasses.replace(left, is_kidney=judged(seen))
    changed = dataclasses.replace(measured, kidneys=(likely, doubtful))
    assert summary(changed).startswith("Found: right kidney (doubtful) and left kidney;")
    assert "doubtful" in cards(changed)[0].detail
    assert numbers(changed).startswith("Right kidney (doubtful) ")
    table = kidney_table(changed)
    assert table is not None
    assert [row[1] for row in table.rows] == ["doubtful (0.50)", "likely (0.70)"]
    assert any("left is likely one, although" in note for note in doubts(changed))


def test_slice_column_is_the_files_slice(patient: tuple[Volume, Volume, Measurements]) -> None:
    image, labels = made_up("RAI")
    measured = measure(image, labels)
    table = lesion_table(measured)
    assert table is not None
    number = int(table.rows[0][-1])
    assert table.columns[-1] == "Slice of 56"
    assert (labels.array[:, :, number - 1] == Label.TUMOR).any()


def test_doubts_are_sentences(patient: tuple[Volume, Volume, Measurements]) -> None:
    _, _, measured = patient
    unsure = Confidence(mean_probability=0.5, low_ml=1.0, high_ml=9.0)
    tumor = dataclasses.replace(
        measured.lesions[0],
        confidence=unsure,
        location=dataclasses.replace(measured.lesions[0].location, borders=("superior",)),
    )
    changed = dataclasses.replace(
        measured,
        lesions=(tumor, *measured.lesions[1:]),
        notes=("tumor-1 belongs to no kidney", "no left kidney was found"),
    )
    assert doubts(changed) == [
        "T1 belongs to no kidney.",
        "No left kidney was found.",
        "T1 touches the scan's superior border and may go on outside.",
        "T1 is uncertain: the network's mean probability in it is 0.50 (not calibrated).",
        "The size of T1 is uncertain: between 1.0 and 9.0 ml, depending on the threshold.",
    ]


def test_doubts_by_what_was_measured_say_it_once(
    patient: tuple[Volume, Volume, Measurements],
) -> None:
    _, _, measured = patient
    sure = Confidence(0.5, 8.0, 9.0, lesion_confidence=0.42)
    tumor = dataclasses.replace(measured.lesions[0], confidence=sure)
    case = CaseConfidence(0.71, 0.8, 0.6, None, "", "three scans")
    changed = dataclasses.replace(
        measured, lesions=(tumor, *measured.lesions[1:]), confidence=case, notes=()
    )
    assert doubts(changed) == [
        "The kidneys' outline is doubtful: of scans like this one, labels and reference overlapped "
        "by a Dice of 0.71 where the model was tested.",
        "T1 is doubtful: about 4 of 10 findings like it were lesions where the model was tested.",
    ]
    table = lesion_table(changed)
    assert table is not None
    assert [row[-2] for row in table.rows][:2] == ["4 of 10", "–"]


def test_the_page_says_that_nothing_was_measured_and_how_far_members_agree(
    patient: tuple[Volume, Volume, Measurements],
) -> None:
    _, _, measured = patient
    case = CaseConfidence(None, 0.8, 0.6, 0.934, "3 members", "nothing was measured with these")
    facts = dict(expected_overlap(dataclasses.replace(measured, confidence=case)))
    assert facts["Expected overlap with a reader's kidneys"].startswith("not known: nothing was")
    assert facts["Agreement, not calibrated"] == "3 members agree with a Dice of 0.93"


def test_of_an_unusual_scan_the_page_claims_less(
    patient: tuple[Volume, Volume, Measurements],
) -> None:
    _, _, measured = patient
    case = CaseConfidence(0.95, 0.98, 0.9, None, "", "three scans")
    usual = dataclasses.replace(measured, confidence=case, unusual=())
    ((_, words),) = expected_overlap(usual)
    assert words == "Dice of about 0.95, as of such scans among three scans"
    ((_, words),) = expected_overlap(dataclasses.replace(usual, unusual=("metal", "thick_slices")))
    assert "few of those were as unusual as this one (metal, thick slices), so it may be" in words


def test_specks_are_no_part_of_a_kidneys_pictures() -> None:
    """A tumor that replaced its kidney keeps a rim; the other kidney's pictures stay its own."""
    image, labels = made_up("RAS", lesions=False)
    array = labels.array.copy()
    right = np.argwhere((array == Label.KIDNEY) & (np.arange(array.shape[0]) > 60)[:, None, None])
    array[tuple(right.T)] = Label.TUMOR
    array[tuple(right[:40].T)] = Label.KIDNEY
    marked = labels.like(array, Kind.LABELS)
    measured = measure(image, marked)
    assert [kidney.id for kidney in measured.kidneys] == ["left"]
    assert measured.totals.unassigned_ml > 0
    found = find(Scene.of(image, marked), measured)
    voxels = found.kidneys["left"].mask.sum()
    assert voxels * labels.voxel_ml == pytest.approx(measured.kidneys[0].parenchyma_ml)


def test_lesions_without_pictures_are_the_smallest(
    patient: tuple[Volume, Volume, Measurements],
) -> None:
    lesions = patient[2].lesions
    tumor, cyst = lesions
    large_cyst = dataclasses.replace(cyst, volume_ml=tumor.volume_ml + 1)
    assert largest([tumor, large_cyst], 1) == [large_cyst]
    assert largest([tumor, large_cyst], 2) == [tumor, large_cyst]


def test_values_of_the_score_can_be_held_against_their_rules(
    patient: tuple[Volume, Volume, Measurements],
) -> None:
    measured = patient[2]
    tumor = measured.lesions[0]
    assert tumor.nephrometry is not None
    for mm, shown in ((40.4, "2 (40.4)"), (150.0, "3 (150.0)")):
        radius = dataclasses.replace(
            tumor.nephrometry.radius, value=mm, points=3 if mm >= 70 else 2
        )
        scored = dataclasses.replace(tumor.nephrometry, radius=radius)
        with_it = dataclasses.replace(
            measured, lesions=(dataclasses.replace(tumor, nephrometry=scored),)
        )
        table = nephrometry_table(with_it)
        assert table is not None
        assert table.rows[0][1] == shown


def test_words_from_outside_stay_as_they_are(
    patient: tuple[Volume, Volume, Measurements],
) -> None:
    told = doubts(patient[2], ("series 'cyst-1 follow-up' was chosen",))
    assert told[0] == "Series 'cyst-1 follow-up' was chosen."
