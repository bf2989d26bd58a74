"""``renalis compare`` on tables that ``renalis evaluate`` wrote."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from helpers.folders import anatomy, cohort, write

from renalis.cli import main
from renalis.evaluation.evaluated_systems import read_system


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two systems on six cases: ``near`` is off by one voxel less than ``far``."""
    folder = tmp_path_factory.mktemp("systems")
    references, _ = cohort(folder, 6)
    for name, shift in (("near", 0), ("far", 1)):
        for k in range(6):
            write(folder / name / f"case_{k:05d}.nii.gz", anatomy(k, shift + k % 3))
        given = ["-r", str(references), "-p", str(folder / name), "-o", str(folder / f"m_{name}")]
        assert main(["evaluate", *given, "--jobs", "1"]) == 0
    rows = [["case", "phase", "age"]]
    rows += [[f"case_{k:05d}", "arterial" if k < 4 else "venous", str(40 + k)] for k in range(6)]
    with (folder / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def test_tests_ranking_and_strata(systems: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "c"
    given = [f"A={systems / 'm_near'}", f"B={systems / 'm_far'}", "-o", str(out)]
    table = ["--cases", str(systems / "cases.csv"), "--by", "phase"]
    assert main(["compare", *given, *table]) == 0
    shown = capsys.readouterr().out
    assert "KiTS ranking" in shown
    found = json.loads((out / "comparison.json").read_text())
    assert [p["system"] for p in found["ranking"]] == ["A", "B"]
    scores = {
        n: [
            c["score"]["regions"]["kidney"]["dice"]
            for c in json.loads((systems / f"m_{n}" / "metrics.json").read_text())["cases"]
        ]
        for n in ("near", "far")
    }
    test = next(t for t in found["tests"] if (t["region"], t["metric"]) == ("kidney", "dice"))
    deltas = np.array(scores["far"]) - np.array(scores["near"])
    assert test["difference"]["mean"] == pytest.approx(deltas.mean())
    assert test["difference"]["p_wilcoxon"] == pytest.approx(scipy.stats.wilcoxon(deltas).pvalue)
    assert test["p_holm"] >= test["difference"]["p_wilcoxon"]
    groups = {(s["by"], s["group"]): s["n"] for s in found["strata"]}
    assert groups[("phase", "arterial")] == 4
    assert groups[("phase", "venous")] == 2
    assert groups[("slice thickness", "1 to 3 mm")] == 6
    assert groups[("tumor size", "up to 40 mm")] == 6
    stratum = next(s for s in found["strata"] if s["group"] == "venous")
    mean = stratum["summaries"]["A"]["kidney"]["dice"]["mean"]
    assert mean == pytest.approx(np.mean(scores["near"][4:]))
    assert (out / "comparison.html").read_text().count("<svg") >= 4
    with (out / "comparison.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(found["tests"])


def test_tables_with_kits23_header(systems: Path, capsys) -> None:
    given = [f"A={systems / 'm_near' / 'metrics.csv'}", f"B={systems / 'm_far' / 'metrics.csv'}"]
    assert main(["compare", *given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {t["metric"] for t in found["tests"]} == {"dice", "surface_dice"}
    assert found["ranking"][0]["system"] == "A"


def test_what_does_not_compare_is_refused(systems: Path, tmp_path: Path, capsys) -> None:
    def refused(*arguments: str) -> str:
        assert main(["compare", *map(str, arguments)]) == 2
        return capsys.readouterr().err

    near, far = systems / "m_near", systems / "m_far"
    assert "same name" in refused(near, near)
    assert "not a table of scores" in refused(near, systems / "cases.csv")
    assert "cannot be read" in refused(near, tmp_path / "nothing.json")
    assert "no column 'sex'" in refused(near, far, "--cases", systems / "cases.csv", "--by", "sex")
    assert "--by" in refused(near, far, "--by", "phase")
    data = json.loads((far / "metrics.json").read_text())
    data["cases"].pop()
    (tmp_path / "fewer.json").write_text(json.dumps(data))
    assert "1 cases were not scored for every system" in refused(near, tmp_path / "fewer.json")
    assert main(["compare", str(near), str(tmp_path / "fewer.json"), "--common"]) == 0
    capsys.readouterr()
    data["cases"][0]["score"]["regions"]["kidney"]["reference_ml"] += 1
    (tmp_path / "others.json").write_text(json.dumps(data))
    assert "different references" in refused(near, tmp_path / "others.json", "--common")
    data["labels"]["scored"] = "kits19"
    (tmp_path / "kits19.json").write_text(json.dumps(data))
    assert "different conventions" in refused(near, tmp_path / "kits19.json", "--common")


def test_a_group_named_like_a_built_in_one_hides_no_other(systems: Path, tmp_path: Path) -> None:
    table = tmp_path / "stages.csv"
    stages = ["T1", "no tumor", "T1", "T2", "T2", "T2"]
    table.write_text("case,stage\n" + "".join(f"{k},{s}\n" for k, s in enumerate(stages)))
    given = [str(systems / "m_near"), str(systems / "m_far"), "--cases", str(table)]
    assert main(["compare", *given, "-o", str(tmp_path / "c")]) == 0
    found = json.loads((tmp_path / "c" / "comparison.json").read_text())["strata"]
    sizes = [(s["group"], s["n"]) for s in found if s["by"] == "stage"]
    assert sizes == [("no tumor", 1), ("T1", 2), ("T2", 3)]


def test_cases_that_are_listed_twice_are_refused(systems: Path, tmp_path: Path, capsys) -> None:
    scores = (systems / "m_far" / "metrics.csv").read_text()
    (tmp_path / "twice.csv").write_text(scores + scores.splitlines()[1] + "\n")
    assert main(["compare", str(systems / "m_near"), str(tmp_path / "twice.csv")]) == 2
    assert "twice.csv lists case 0 twice" in capsys.readouterr().err
    both = [str(systems / "m_near"), str(systems / "m_far")]
    table = tmp_path / "phases.csv"
    table.write_text("case,phase\ncase_00000,arterial\n0,venous\n")
    assert main(["compare", *both, "--cases", str(table)]) == 2
    assert "phases.csv lists case 0 twice (case_00000 and 0)" in capsys.readouterr().err
    table.write_text("case,phase\n0,arterial, early\n")
    assert main(["compare", *both, "--cases", str(table)]) == 2
    assert "more values than columns in the row of 0" in capsys.readouterr().err


def test_a_folder_with_an_equals_sign_is_not_taken_for_a_name(
    systems: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(systems / "m_far", tmp_path / "lr=0.1")
    assert read_system("lr=0.1").name == "lr=0.1"
    assert read_system("B=lr=0.1").name == "B"
