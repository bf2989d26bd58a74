"""The montage as it lies on disk."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from helpers.report_case import ALL_ORDERS, made_up
from PIL import Image

from renalis.errors import OutputError
from renalis.measurement import Measurements, measure
from renalis.report import ReportContent, write_preview
from renalis.report.findings import Findings, find
from renalis.report.html import render
from renalis.report.picture_choice import evenly, pair_pictures, spread
from renalis.report.scene import Scene
from renalis.report.sheet import LARGE
from renalis.report.stack import stack
from renalis.report.style import STYLES
from renalis.volume import Volume


def test_preview_is_a_whole_picture_in_color(
    patient: tuple[Volume, Volume, Measurements], tmp_path: Path
) -> None:
    written = write_preview(tmp_path / "preview.png", ReportContent("case_1", *patient))
    picture = np.asarray(Image.open(written).convert("RGB")).astype(int)
    assert picture.shape[1] == 4 * 408 + 8
    assert [path.name for path in tmp_path.iterdir()] == ["preview.png"]
    for style in STYLES.values():
        near = np.abs(picture - np.array(style.rgb)).sum(axis=2) < 90
        assert near.sum() > 200, style.name


def test_preview_of_nothing_still_shows_the_scan(
    healthy: tuple[Volume, Volume, Measurements], tmp_path: Path
) -> None:
    written = write_preview(tmp_path / "preview.png", ReportContent("case_1", *healthy))
    picture = np.asarray(Image.open(written).convert("RGB")).astype(int)
    colored = np.ptp(picture[92:], axis=2) > 60  # below the legend
    assert not colored.any()
    assert (picture[92:] > 200).any()


@pytest.mark.parametrize("order", ALL_ORDERS[::5])
def test_axis_order_of_the_file_does_not_show(order: str) -> None:
    expected = pair_pictures(*_prepared("SPL"), LARGE)
    shown = pair_pictures(*_prepared(order), LARGE)
    for one, two in zip(expected, shown, strict=True):
        np.testing.assert_array_equal(one.pixels, two.pixels)
        assert one.edges == two.edges
        assert [tag.text for tag in one.tags] == [tag.text for tag in two.tags]
        for line, other in zip(one.outlines, two.outlines, strict=True):
            np.testing.assert_allclose(line.points, other.points)


def test_lesions_are_named_on_their_own_side() -> None:
    axial, coronal = pair_pictures(*_prepared("LPS"), LARGE)
    (tumor,) = [tag for tag in axial.tags if tag.text == "T1"]
    assert tumor.x < axial.width / 2
    names = {tag.text: tag.x for tag in coronal.tags}
    assert names["T1"] < coronal.width / 2 < names["C1"]


def test_label_map_on_another_grid_is_refused(
    patient: tuple[Volume, Volume, Measurements], tmp_path: Path
) -> None:
    image, labels, measured = patient
    moved = labels.affine.copy()
    moved[0, 3] += 5
    beside = Volume(labels.array, moved, labels.kind)
    with pytest.raises(ValueError, match="another grid"):
        write_preview(tmp_path / "p.png", ReportContent("case", image, beside, measured))
    assert list(tmp_path.iterdir()) == []


def test_unwritable_place_is_one_sentence(
    patient: tuple[Volume, Volume, Measurements], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        write_preview(tmp_path / "file" / "preview.png", ReportContent("case", *patient))


def test_slices_are_spread_over_the_whole_range() -> None:
    side = slice(10, 110)
    chosen = evenly(side, 16)
    assert len(chosen) == 16
    assert min(chosen) < 10 + 8
    assert max(chosen) > 110 - 9
    assert evenly(slice(4, 7), 16) == [4, 5, 6]
    stack = spread(side, step_mm=1.0, most=30, spacing=0.5)
    assert len(stack) <= 30
    assert set(np.diff(stack)) == {4}


def test_stack_keeps_to_its_budget_and_says_which_slices() -> None:
    scene, findings = _prepared("LPS")
    whole, few = stack(scene, findings), stack(scene, findings, budget=300_000)
    assert whole is not None
    assert few is not None
    assert whole.words.startswith("Every slice from head to feet, 2.5 mm apart.")
    assert 8 <= len(few.pictures) < len(whole.pictures)
    assert sum(len(picture.image) for picture in few.pictures) <= 300_000
    apart = abs(few.indices[0] - few.indices[1])
    assert f"{apart * 2.5:.1f} mm apart" in few.words
    assert list(few.indices) == sorted(few.indices, reverse=True)  # from the head downwards
    assert few.nearest(few.indices[3]) == 3


def test_oblique_scan_is_shown_with_double_letters(tmp_path: Path) -> None:
    image, labels = made_up("ALS")
    angle = np.radians(20)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    image, labels = (Volume(v.array, turn @ v.affine, v.kind) for v in (image, labels))
    measured = measure(image, labels)
    content = ReportContent("case", image, labels, measured)
    write_preview(tmp_path / "preview.png", content)
    scene = Scene.of(image, labels)
    axial, _ = pair_pictures(scene, find(scene, measured), LARGE)
    assert (axial.edges.left, axial.edges.top) == ("R", "AH")
    text = render(content)
    assert "by up to 20°" in text


@functools.cache
def _prepared(order: str) -> tuple[Scene, Findings]:
    image, labels = made_up(order)
    scene = Scene.of(image, labels)
    return scene, find(scene, measure(image, labels))
