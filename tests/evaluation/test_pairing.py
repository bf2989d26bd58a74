"""Which prediction belongs to which reference: right, or refused, and said."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers.folders import anatomy, write

from renalis.cli import main
from renalis.errors import InputError
from renalis.evaluation.pairing import pair_cases


def folders(root: Path, references: Sequence[str], predictions: Sequence[str]) -> tuple[Path, Path]:
    """Two folders of files of these names; pairing opens none of them."""
    for folder, names in (("r", references), ("p", predictions)):
        for name in names:
            path = root / folder / f"{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root / "r", root / "p"


def pairs(root: Path, references: Sequence[str], predictions: Sequence[str]) -> dict[str, str]:
    """Names of the paired files, below their folders."""
    one, two = folders(root, references, predictions)
    return {
        str(c.reference.relative_to(one)).removesuffix(".nii.gz"): str(
            c.prediction.relative_to(two)
        ).removesuffix(".nii.gz")
        for c in pair_cases(one, two).cases
        if c.prediction is not None
    }


@pytest.mark.parametrize(
    "names",
    [
        ["siteA_001", "siteB_001"],
        ["P01_visit1", "P01_visit2", "P02_visit1"],
        ["abd_20230501_07", "abd_20230501_08"],
        ["case_1", "img_1", "1"],
    ],
)
def test_equal_names_are_pairs_whatever_their_numbers(names: list[str], tmp_path: Path) -> None:
    assert pairs(tmp_path, names, names) == {n: n for n in names}
    assert pairs(tmp_path / "b", names, [f"{n}/segmentation" for n in names]) == {
        n: f"{n}/segmentation" for n in names
    }


@pytest.mark.parametrize(
    "change", ["prediction_{}", "{}_seg", "{}_0000", "pred-{}_mask", "case_{}"]
)
@pytest.mark.parametrize(
    "names",
    [
        ["siteA_001", "siteB_001"],
        ["P01_visit1", "P01_visit2"],
        ["abd_20230501_07", "abd_20230501_08"],
        ["smith", "jones"],
        ["00210", "00211"],
    ],
)
def test_known_words_before_and_behind_do_not_count(
    names: list[str], change: str, tmp_path: Path
) -> None:
    assert pairs(tmp_path, names, [change.format(n) for n in names]) == {
        n: change.format(n) for n in names
    }


@pytest.mark.parametrize(
    ("reference", "prediction"),
    [
        ("siteA_001", "siteB_001"),
        ("P01_visit1", "P01_visit2"),
        ("abd_20230501_07", "abd_20230501_08"),
        ("siteA_001", "siteA_002"),
    ],
)
def test_another_patient_or_visit_is_refused(
    reference: str, prediction: str, tmp_path: Path
) -> None:
    one, two = folders(tmp_path, [reference], [prediction])
    with pytest.raises(InputError, match=r"no prediction in .* belongs to a reference") as refused:
        pair_cases(one, two)
    assert prediction in str(refused.value)
    assert reference in str(refused.value)


def test_the_number_alone_counts_where_one_file_of_each_folder_has_it(tmp_path: Path) -> None:
    assert pairs(tmp_path, ["case_00007", "case_00008"], ["fold0_7", "fold0_8"]) == {
        "case_00007": "fold0_7",
        "case_00008": "fold0_8",
    }
    # Two sites have number 1; nothing says which of them is meant.
    one, two = folders(tmp_path / "b", ["siteA_1", "siteB_1", "siteA_2"], ["1", "siteA_2"])
    found = {c.case_id: c for c in pair_cases(one, two).cases}
    assert found["siteA_1"].prediction is None
    assert found["siteB_1"].prediction is None
    assert found["siteA_2"].prediction is not None
    assert "1.nii.gz has the number of siteA_1.nii.gz, but so has siteB_1" in found["siteA_1"].doubt


def test_two_sites_are_scored_each_against_its_own(tmp_path: Path, capsys) -> None:
    for seed, site in enumerate(("siteA", "siteB")):
        write(tmp_path / "r" / f"{site}_001.nii.gz", anatomy(seed))
        write(tmp_path / "p" / f"prediction_{site}_001.nii.gz", anatomy(seed, seed))
    given = ["-r", str(tmp_path / "r"), "-p", str(tmp_path / "p"), "-o", str(tmp_path / "o")]
    assert main(["evaluate", *given, "--jobs", "1"]) == 0
    with (tmp_path / "o" / "metrics.csv").open() as file:
        rows = {row["caseID"]: float(row["Dice_kidney"]) for row in csv.DictReader(file)}
    assert rows["siteA_001"] == 1
    assert 0 < rows["siteB_001"] < 1
    made = json.loads((tmp_path / "o" / "metrics.json").read_text())["pairs"]
    assert [(p["case_id"], p["reference"], p["prediction"]) for p in made] == [
        (f"{site}_001", f"{site}_001.nii.gz", f"prediction_{site}_001.nii.gz")
        for site in ("siteA", "siteB")
    ]
    assert all("but for words such as prediction" in p["paired_by"] for p in made)
    page = (tmp_path / "o" / "metrics.html").read_text()
    assert "prediction_siteB_001.nii.gz" in page
    assert "but for words such as prediction" in page
    # What was scored can be compared: both sites have a place of their own there, too.
    table = tmp_path / "o" / "metrics.json"
    capsys.readouterr()
    assert main(["compare", f"a={table}", f"b={table}", "-o", str(tmp_path / "c")]) == 0


def test_pairs_by_number_alone_are_said_on_the_command_line(tmp_path: Path, capsys) -> None:
    write(tmp_path / "r" / "case_00007.nii.gz", anatomy())
    write(tmp_path / "p" / "fold0_7.nii.gz", anatomy())
    given = ["-r", str(tmp_path / "r"), "-p", str(tmp_path / "p"), "-o", str(tmp_path / "o")]
    assert main(["evaluate", *given, "--jobs", "1"]) == 0
    assert "case_00007.nii.gz with fold0_7.nii.gz" in capsys.readouterr().err
    made = json.loads((tmp_path / "o" / "metrics.json").read_text())["pairs"]
    assert made[0]["paired_by"] == "the number alone"


def test_the_straight_copy_beside_a_segmentation_is_no_second_label_map(tmp_path: Path) -> None:
    given = ["case_1/segmentation", "case_1/segmentation_straight"]
    assert pairs(tmp_path, ["case_1"], given) == {"case_1": "case_1/segmentation"}
    one, two = folders(tmp_path / "flat", ["case_1"], given)
    assert len(pair_cases(one, two / "case_1").cases) == 1
