"""JSON keeps to its schema; the CSV's columns never change."""

from __future__ import annotations

import functools
import json

import jsonschema
import numpy as np
import pytest
from helpers.kidney_phantoms import (
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

from renalis.measurement import CSV_HEADER, Measurements, measure, schema
from renalis.volume import Kind

GRID = grid_around((2.0, 2.0, 2.5))
BODIES = {
    "usual": (LEFT, RIGHT, RIGHT_TUMOR, LEFT_CYST),
    "none": (),
    "single": (RIGHT, RIGHT_TUMOR),
    "horseshoe": (LEFT, RIGHT, Ellipsoid((0, -10, -25), (62, 9, 9), KIDNEY), RIGHT_TUMOR),
}


@functools.cache
def measured(name: str) -> Measurements:
    image, labels = Phantom(BODIES[name]).draw(*GRID)

    class Given:
        kidney = labels.like(labels.array * 60, Kind.PROBABILITY)
        lesion = kidney

    return measure(image, labels, Given())


@pytest.mark.parametrize("name", sorted(BODIES))
def test_json_keeps_to_the_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    content = json.loads(measured(name).to_json())
    jsonschema.Draft202012Validator(schema()).validate(content)


def test_the_schema_refuses_what_is_wrong() -> None:
    validator = jsonschema.Draft202012Validator(schema())
    good = json.loads(measured("usual").to_json())
    for path, value in (
        (("kidneys", 0, "side"), "links"),
        (("kidneys", 0, "volume_ml"), -1),
        (("lesions", 0, "enhancement_hu"), 12),
        (("lesions", 0, "nephrometry", "total"), 13),
        (("totals", "surprise"), 1),
    ):
        bad = json.loads(json.dumps(good))
        spot = bad
        for key in path[:-1]:
            spot = spot[key]
        spot[path[-1]] = value
        assert not validator.is_valid(bad), path


def test_json_is_deterministic_and_rounded() -> None:
    text = measured("usual").to_json()
    assert text == measured.__wrapped__("usual").to_json()  # measured once more
    assert text.endswith("}\n")
    content = json.loads(text)
    assert list(content)[:3] == ["schema", "units", "grid"]

    def floats(value: object) -> list[float]:
        if isinstance(value, dict):
            return [number for inner in value.values() for number in floats(inner)]
        if isinstance(value, list):
            return [number for inner in value for number in floats(inner)]
        return [value] if isinstance(value, float) else []

    assert floats(content)
    assert all(np.isclose(number, round(number, 3), atol=1e-12) for number in floats(content))


def test_csv_row() -> None:
    row = measured("usual").csv_row("case_1")
    assert tuple(row) == CSV_HEADER
    assert row["case"] == "case_1"
    assert float(row["kidney_right_ml"]) == pytest.approx(
        RIGHT.ml - RIGHT_TUMOR.ml * 0.48, rel=0.05
    )
    assert float(row["largest_tumor_mm"]) == pytest.approx(24, abs=2.5)
    assert (row["lesions"], row["tumors"], row["cysts"]) == ("2", "1", "1")
    assert row["largest_tumor_side"] == "right"
    assert row["kidney_left_cut"] == "no"
    assert float(row["kidney_left_with_lesions_ml"]) == pytest.approx(
        float(row["kidney_left_ml"]) + float(row["kidney_left_cyst_ml"]), abs=0.02
    )


def test_the_largest_tumor_is_tumor_1_the_largest_by_volume() -> None:
    long, thick = Ellipsoid((70, -20, 30), (5, 5, 20), TUMOR), sphere((65, -20, -20), 15, TUMOR)
    found = measure(*Phantom((LEFT, RIGHT, long, thick)).draw(*GRID))
    assert [lesion.id for lesion in found.lesions] == ["tumor-1", "tumor-2"]
    assert found.lesions[0].diameter_mm < found.lesions[1].diameter_mm
    row = found.csv_row()
    assert row["largest_tumor_mm"] == f"{found.lesions[0].diameter_mm:.1f}"
    assert row["largest_lesion_mm"] == row["largest_tumor_mm"]


def test_spacing_is_not_rounded_like_lengths() -> None:
    affine, shape = grid_around((2.003906, 2.003906, 2.4875))
    found = measure(*Phantom(BODIES["usual"]).draw(affine, shape))
    spacing = json.loads(found.to_json())["grid"]["spacing_mm"]
    assert spacing == [2.003906, 2.003906, 2.4875]


def test_csv_columns_are_the_same_for_every_case() -> None:
    rows = {name: measured(name).csv_row() for name in BODIES}
    assert {name: bool(row["kidney_other_ml"]) for name, row in rows.items()} == {
        "usual": False,
        "none": False,
        "single": False,
        "horseshoe": True,
    }
    assert {tuple(row) for row in rows.values()} == {CSV_HEADER}
    assert rows["single"]["kidney_left_ml"] == ""
    assert rows["none"]["largest_lesion_mm"] == ""
    assert rows["none"]["kidneys"] == "0"
    assert float(rows["horseshoe"]["kidney_other_ml"]) > 200
