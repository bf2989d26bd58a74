"""The measure on single slices counts what its page says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import real_slices

from renalis.dataset.slices import SliceSet

ALL = {"kidney": True, "tumor": True, "cyst": True}


def slices_of(labels: np.ndarray) -> SliceSet:  # type: ignore[type-arg]
    count = len(labels)
    spacing = np.full((count, 3), 2.0)
    image = np.zeros(labels.shape, np.uint8)
    numbers = np.arange(count)
    return SliceSet("s", image, labels, numbers, numbers.astype(float), spacing, (-79.0, 304.0))


def test_cases_are_chosen_by_number_range_and_divisor() -> None:
    wanted = real_slices.chosen("%5, 7, 20-22")
    assert [n for n in range(26) if wanted(n)] == [0, 5, 7, 10, 15, 20, 21, 22, 25]
    assert real_slices.chosen("!%5")(6)
    assert real_slices.chosen("case%5==0")(10)
    assert not real_slices.chosen("case % 5 != 0")(10)
    with pytest.raises(SystemExit, match="none of"):
        real_slices.chosen("import os")


def test_a_slice_is_scored_by_what_its_file_holds() -> None:
    truth = np.zeros((1, 20, 20), np.uint8)
    truth[0, :10, :10] = 1
    truth[0, :4, :5] = 2
    named = np.zeros((20, 20), np.uint8)
    named[:10, :10] = 1
    named[:4, :2] = 2
    one = real_slices.score(slices_of(truth), 0, named, ALL)
    assert one.dice == {"kidney": 1.0, "tumor": pytest.approx(2 * 8 / 28), "cyst": None}
    assert one.overlap == pytest.approx(0.4)
    assert one.diameter_mm == pytest.approx(2 * np.sqrt(80 / np.pi))
    assert one.confusion["tumor>kidney"] == 12
    only_tumors = real_slices.score(slices_of(truth), 0, named, {**ALL, "kidney": False})
    assert only_tumors.dice["kidney"] is None
    only_kidneys = real_slices.score(slices_of(truth), 0, named, {**ALL, "tumor": False})
    assert only_kidneys.has_tumor is None


def test_false_tumors_and_touched_ones_are_counted() -> None:
    truth = np.zeros((3, 20, 20), np.uint8)
    truth[0, :10, :10] = 2
    named = np.zeros((3, 20, 20), np.uint8)
    named[0, 0, 0] = 2
    named[1, 3, 3] = 2
    slices = slices_of(truth)
    table = real_slices.table([real_slices.score(slices, i, named[i], ALL) for i in range(3)])
    assert table["slices"] == 3
    assert (table["tumor_slices"], table["tumor_slices_touched"]) == (1, 1)
    assert table["tumor_slices_found"] == 0
    assert (table["slices_without_tumor"], table["false_tumor_slices"]) == (2, 1)
    assert table["cyst_dice"] is None
    assert table["tumor_dice_interval"] is None  # one slice has no interval
    json.dumps(table, allow_nan=False)


def test_old_pictures_do_not_stay_beside_new_ones(tmp_path: Path) -> None:
    (tmp_path / "old.png").touch()
    truth = np.ones((1, 20, 20), np.uint8)
    slices = slices_of(truth)
    scores = [real_slices.score(slices, 0, truth[0], ALL)]
    real_slices.pictures(tmp_path, {"s": slices}, scores, [truth[0]])
    names = {path.name for path in tmp_path.iterdir()}
    assert "old.png" not in names
    assert any(name.startswith("kidney-best") for name in names)
