"""Cases stand in the order in which people count, in every table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from helpers.folders import anatomy, write

from renalis.cli import main

NUMBERS = [10, 2, 0, 11, 1]
COUNTED = sorted(NUMBERS)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("order")
    for k in NUMBERS:
        for name, shift in (("r", 0), ("a", 1), ("b", 2)):
            write(folder / name / f"siteA_{k}.nii.gz", anatomy(0, shift))
    for name in ("a", "b"):
        given = ["-r", str(folder / "r"), "-p", str(folder / name), "-o", str(folder / f"m_{name}")]
        assert main(["evaluate", *given, "--jobs", "1"]) == 0
    return folder


def test_evaluate_counts_its_cases(evaluated: Path) -> None:
    expected = [f"siteA_{k}" for k in COUNTED]
    with (evaluated / "m_a" / "metrics.csv").open() as file:
        assert [row["caseID"] for row in csv.DictReader(file)] == [*expected, "average"]
    found = json.loads((evaluated / "m_a" / "metrics.json").read_text())
    assert [case["case_id"] for case in found["cases"]] == expected
    assert [pair["case_id"] for pair in found["pairs"]] == expected


def test_compare_counts_cases_and_groups(evaluated: Path, capsys) -> None:
    table = evaluated / "cases.csv"
    table.write_text("case,fold\n" + "".join(f"siteA_{k},fold {k}\n" for k in NUMBERS))
    given = [str(evaluated / "m_a"), str(evaluated / "m_b"), "--cases", str(table), "--json"]
    assert main(["compare", *given]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cases"] == [f"sitea_{k}" for k in COUNTED]
    groups = [s["group"] for s in found["strata"] if s["by"] == "fold"]
    assert groups == [f"fold {k}" for k in COUNTED]


def test_unused_predictions_are_counted(evaluated: Path, tmp_path: Path) -> None:
    reference = tmp_path / "r"
    write(reference / "siteA_0.nii.gz", anatomy())
    write(reference / "siteA_99.nii.gz", anatomy())
    write(evaluated / "a" / "siteA_99.nii.gz", anatomy())
    given = ["-r", str(reference), "-p", str(evaluated / "a"), "-o", str(tmp_path / "m")]
    assert main(["evaluate", *given, "--jobs", "1"]) == 0
    found = json.loads((tmp_path / "m" / "metrics.json").read_text())
    assert found["unused_predictions"] == [f"siteA_{k}.nii.gz" for k in COUNTED if k]
