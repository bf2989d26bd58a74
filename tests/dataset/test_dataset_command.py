"""The command line, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.small_datasets import labels_with, plain_case, save

from renalis.cli import main
from renalis.dataset import load_splits
from renalis.dataset.fingerprint import read_volumes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty cases of ten patients, with tumors of 1 to 20 voxels and ever more cysts."""
    root = tmp_path / "data"
    for number in range(20):
        labels = labels_with(20 + number, 1 + number, max(0, number - 9))
        plain_case(root, f"case_{number}", labels)
    rows = [f"case_{n},p{n // 2},{'AB'[n % 4 // 2]}" for n in range(20)]
    (root / "cases.csv").write_text("case,patient,site\n" + "\n".join(rows) + "\n")
    return root


def _run(*words: object) -> int:
    return main(["dataset", *map(str, words)])


def test_check(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--labels", "kits23", "--jobs", 1]
    assert _run("check", folder, *options) == 0
    out = capsys.readouterr().out
    assert "20 cases, 20 with labels (kits23)" in out
    assert "nothing is wrong" in out
    save(folder / "labels/case_7.nii.gz", labels_with(shape=(9, 16, 15)))
    assert _run("check", folder, *options, "-o", tmp_path / "check.json", "--json") == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "check.json").read_text())
    (error,) = (f for f in printed["findings"] if f["level"] == "error")
    assert (error["case"], error["code"]) == ("case_7", "shape")
    assert _run("check", folder, *options) == 1
    out = capsys.readouterr().out
    assert "error shape: 1 case\n  case_7: the scan has 9 × 16 × 16 voxels" in out
    assert "nothing is wrong" not in out


def test_fingerprint_then_split_without_reading_labels(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--labels", "kits23", "--jobs", 1]
    file = tmp_path / "fingerprint.json"
    assert _run("fingerprint", folder, *options, "-o", file) == 0
    assert read_volumes(file)["case_3"]["tumor"] == pytest.approx(4 * 0.00192, abs=1e-4)
    capsys.readouterr()
    both = []
    for more in ([], ["--fingerprint", file]):
        words = ["--nested", "80:20:20", "--keep-smallest", 16, *options, *more]
        assert _run("split", folder, *words, "-o", tmp_path / "s.json") == 0
        both.append((tmp_path / "s.json").read_text())
    assert both[0] == both[1]
    content = json.loads(both[0])
    assert content["made"] == {
        "cases": 16, "by": "patient", "seed": 42, "nested": "80:20:20", "keep_smallest": 16
    }  # fmt: skip
    (split,) = content["folds"]
    used = {i for side in split.values() for i in side}
    assert used == {f"case_{n}" for n in range(16)}
    assert "16 of 20 labelled cases take part" in capsys.readouterr().out


def test_patients_are_never_torn(folder: Path, tmp_path: Path) -> None:
    words = ["--labels", "kits23", "--kfold", 5, "--format", "nnunet"]
    assert _run("split", folder, *words, "-o", tmp_path / "s.json") == 0
    assert isinstance(json.loads((tmp_path / "s.json").read_text()), list)
    folds = load_splits(tmp_path / "s.json")
    assert len(folds) == 5
    for fold in folds:
        assert fold.sizes == (16, 4, 0)
        pairs = [{int(i[5:]) // 2 for i in side} for side in (fold.train, fold.val)]
        assert not pairs[0] & pairs[1]


@pytest.mark.parametrize(("name", "value"), [("site", "A"), ("Site", "A"), ("cyst", True)])
def test_stratified(folder: Path, tmp_path: Path, name: str, value: object) -> None:
    words = ["--labels", "kits23", "--jobs", 1, "--holdout", "60/20/20", "--stratify", name]
    for seed in range(3):
        out = tmp_path / f"{seed}.json"
        assert _run("split", folder, *words, "--seed", seed, "-o", out) == 0
        (split,) = load_splits(out)
        assert split.sizes == (12, 4, 4)
        numbers = [int(i[5:]) for i in split.train]
        found = [(n % 4 < 2) if value == "A" else n > 9 for n in numbers]
        assert 4 <= sum(found) <= 8


def test_strata_need_volumes_that_the_fingerprint_knows(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "fingerprint.json"
    labels = ["--labels", "kits23", "--jobs", 1]
    assert _run("fingerprint", folder, *labels, "-o", file) == 0
    content = json.loads(file.read_text())
    del content["case"]["case_3"]["volume_ml"]["cyst"]
    file.write_text(json.dumps(content))
    words = ["--holdout", "80/20", "--stratify", "cyst", "--fingerprint", file]
    assert _run("split", folder, *words, *labels, "-o", tmp_path / "s.json") == 2
    assert "the volume of cyst is not known in case_3" in capsys.readouterr().err


def test_export(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--labels", "kits23", "--jobs", 1]
    split = tmp_path / "s.json"
    assert _run("split", folder, "--holdout", "70/10/20", *options, "-o", split) == 0
    capsys.readouterr()
    words = ["--id", 42, "--name", "Tiny", "--split", split, "-o", tmp_path / "raw", *options]
    assert _run("export-nnunet", folder, *words) == 0
    target = Path(capsys.readouterr().out.strip())
    assert target == tmp_path / "raw" / "Dataset042_Tiny"
    assert _run("check", target, "--jobs", 1) == 0
    assert "16 cases, 16 with labels (kits23)" in capsys.readouterr().out
    assert _run("export-nnunet", folder, *words) == 2
    assert "there already" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "message"), [
    (["check", "DATA"], "add --labels"),
    (["split", "DATA", "--holdout", "80/10", "-o", "s.json", "--labels", "kits23"], "sum to 1"),
    (["split", "DATA", "--nested", "70:20:20", "-o", "s.json", "--labels", "kits23"], "first two"),
    (["split", "DATA", "--holdout", "x", "-o", "s.json", "--labels", "kits23"], "no split"),
    (["split", "DATA", "--kfold", "1", "-o", "s.json", "--labels", "kits23"], "2 or more"),
    (["split", "DATA", "--kfold", "5", "--stratify", "site", "-o", "s.json", "--labels",
      "kits23"], "not stratified"),
    (["split", "DATA", "--holdout", "80/20", "--stratify", "age", "-o", "s.json", "--labels",
      "kits23"], "no case of folder has a property 'age'"),
    (["check", "DATA", "--labels", "kits23", "--jobs", "0"], "--jobs"),
])  # fmt: skip
def test_refusals(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(folder.parent)
    assert main(["dataset", *(str(folder) if w == "DATA" else w for w in words)]) == 2
    assert message in capsys.readouterr().err
    assert not (folder.parent / "s.json").exists()
