"""Lists of scans: which rows become which cases, and what is said about bad ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.dicom_writer import write_series
from helpers.small_cohort import write_scan

from renalis.cohort.listing import list_cohort
from renalis.errors import InputError
from renalis.io import find_scans, read_scan
from renalis.io.source_json import source_from_json, source_to_json


def listed(path: Path, text: str, anonymous: bool = False) -> list[tuple[str, str | None]]:
    path.write_text(text, encoding="utf-8")
    found = list_cohort([path], anonymous)
    cases = list(found.cases)
    assert found.total == len(cases)
    return [(one.source.case_id, one.series) for one in cases]


def test_rows_of_a_csv_are_cases(tmp_path: Path) -> None:
    for name in ("one/imaging.nii.gz", "two/imaging.nii.gz", "ct.nii.gz", "other/ct.nii.gz"):
        write_scan(tmp_path / "scans" / name)
    rows = "scan,case,series,age\nscans/one/imaging.nii.gz,,,50\nscans/two/imaging.nii.gz,mine,3,\n"
    rows += "scans/ct.nii.gz,,,\nscans/other/ct.nii.gz,,,\n,,,\n"
    assert listed(tmp_path / "list.csv", rows) == [
        ("one", None), ("mine", "3"), ("scans_ct", None), ("other_ct", None),
    ]  # fmt: skip


def test_lines_of_json_are_cases_too(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "a.nii.gz")
    text = json.dumps({"path": str(scan), "case": "x"}) + "\n\n" + json.dumps({"path": "gone.nii"})
    assert listed(tmp_path / "list.jsonl", text) == [("x", None), ("gone", None)]


def test_a_scan_that_is_not_there_is_a_failed_case_and_stops_no_other(tmp_path: Path) -> None:
    write_scan(tmp_path / "a.nii.gz")
    (tmp_path / "list.csv").write_text("scan\ngone.nii.gz\na.nii.gz\n.\n")
    write_scan(tmp_path / "b.nii.gz")
    gone, there, several = (one.source for one in list_cohort([tmp_path / "list.csv"]).cases)
    assert (gone.kind, there.kind, several.kind) == ("unreadable", "nifti", "unreadable")
    assert "does not exist" in gone.problem
    assert "holds 2 scans" in several.problem


def test_anonymous_cases_are_named_by_hashes(tmp_path: Path) -> None:
    write_scan(tmp_path / "Erika.nii.gz", 1)
    write_scan(tmp_path / "Otto.nii.gz", 2)
    found = listed(tmp_path / "l.csv", "scan,case\nErika.nii.gz,Erika\nOtto.nii.gz,\n", True)
    assert all(case.startswith("case_") and len(case) == 13 for case, _ in found)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("scan\n", "lists no scan"),
        ("file\na.nii\n", "line 2 names no scan"),
        ("scan,case\na.nii,x\nb.nii,X\n", "several rows for case"),
        ("scan,case\na.nii,../x\n", "cannot be a folder's name"),
    ],
)
def test_a_list_that_cannot_be_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        listed(tmp_path / "list.csv", text)


def test_a_list_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("scan\na.nii\n")
    with pytest.raises(InputError, match="give it alone"):
        list_cohort([tmp_path / "list.csv", tmp_path])


def test_another_process_reads_what_this_one_listed(tmp_path: Path) -> None:
    hu = np.arange(8 * 16 * 16, dtype=np.int16).reshape(8, 16, 16)
    for number in (1, 2):
        write_series(tmp_path / f"p{number}", hu + number, StudyInstanceUID=f"1.2.{number}")
    (tmp_path / "p1" / "damaged.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\7" * 40)
    sources = find_scans([tmp_path])
    assert len(sources) == 2
    for source in sources:
        other = source_from_json(json.loads(json.dumps(source_to_json(source))))
        there, here = read_scan(other), read_scan(source)
        assert (there.volume.array == here.volume.array).all()
        assert (there.volume.affine == here.volume.affine).all()
        assert there.warnings == here.warnings
        assert other.headers is not None
        assert (other.case_id, other.place, other.state, other.slice_count) == (
            source.case_id, source.place, source.state, source.slice_count,
        )  # fmt: skip
