"""A case may take its process with it: only that case is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.small_cohort import OPTIONS, deadly_model, write_scan

from renalis.cli import main
from renalis.cohort.manifest import lines_of


def _lines(out: Path) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for line in lines_of(out):
        found.setdefault(line["case"], []).append((line["status"], line["cause"]))
    return found


@pytest.mark.slow
def test_a_case_that_kills_its_process_twice_fails_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    for number in range(3):
        write_scan(scans / f"case_{number}.nii.gz", number, deadly=number == 1)
    model = deadly_model(tmp_path, "abort", "kill")
    words = ["segment", str(scans), "-o", str(out), "--model", str(model), "--jobs", "1", *OPTIONS]
    assert main([*words, "--json"]) == 1
    captured = capsys.readouterr()
    cases = {case["case"]: case for case in json.loads(captured.out)}
    assert {name: case["status"] for name, case in cases.items()} == {
        "case_0": "done", "case_1": "failed", "case_2": "done",
    }  # fmt: skip
    assert "SIGABRT" in captured.err
    assert cases["case_1"]["problem"].startswith("case_1: the process that worked on it was killed")
    found = _lines(out)
    assert found["case_0"] == found["case_2"] == [("done", "")]
    assert found["case_1"] == [("failed", "crash"), ("failed", "killed")]
    assert not [path for path in out.iterdir() if "partial" in path.name or "part" in path.suffix]
    assert main(words) == 0, "tried again, and nothing kills it any more"
    assert _lines(out)["case_1"][-1] == ("done", "")


@pytest.mark.slow
def test_a_case_that_hangs_is_ended_and_tried_once_more(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "case_1.nii.gz", deadly=True)
    model, out = deadly_model(tmp_path, "hang"), tmp_path / "out"
    words = ["segment", str(scan), "-o", str(out), "--model", str(model), "--jobs", "1", *OPTIONS]
    assert main([*words, "--patience", "0.08"]) == 0
    assert _lines(out) == {"case_1": [("failed", "timed out"), ("done", "")]}
