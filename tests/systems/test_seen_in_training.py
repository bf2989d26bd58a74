"""A run knows whom it learned from, and whoever predicts or scores with it is told."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from helpers.coarse_grids import COARSE
from helpers.untrained_runs import untrained_run

import renalis
from renalis.cli import main
from renalis.dataset import Split
from renalis.known_cases import KnownModel
from renalis.model import read_any_header
from renalis.model_header import CaseHashes, FoldSides, KnownCases
from renalis.pipeline import Status
from renalis.systems.pack import ModelDescription, pack_run
from renalis.systems.training_cases import known_cases

LEARNED, HELD, NEW = "case_00001", "case_00006", "case_00009"


@pytest.fixture(scope="module")
def run(kits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds that both learned from case 1; one held case 6 out; none has met case 9."""
    ids = [f"case_{number:05d}" for number in range(8)]
    splits = [Split(tuple(ids[:6]), tuple(ids[6:])), Split((*ids[1:4], *ids[6:]), (ids[0], ids[5]))]
    folder = tmp_path_factory.mktemp("seen") / "run"
    # Nothing is left to measure, which would take longer than all else.
    nothing = "postprocessing=[{rule: keep_if_ml, region: renal, ml: 1000000}]"
    changes = [*COARSE["unet3d-plain"], nothing]
    return untrained_run("unet3d-plain", kits, folder, changes, splits=splits)


@pytest.fixture(scope="module")
def scans(kits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three cases under names that say nothing, axes reversed, one of them not packed."""
    folder = tmp_path_factory.mktemp("scans")
    for name, case in (("anna", LEARNED), ("bert", HELD), ("carl", NEW)):
        image = nibabel.load(kits / case / "imaging.nii.gz")
        turned = nibabel.as_closest_canonical(image)
        ending = ".nii" if name == "anna" else ".nii.gz"
        nibabel.save(turned, folder / f"{name}{ending}")
    return folder


@pytest.fixture(scope="module")
def segmented(run: Path, scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    # In this process: the command gives several scans to others.
    results = renalis.segment(scans, out, model=run)
    assert [result.status for result in results] == [Status.DONE] * 3
    return out


@pytest.fixture(scope="module")
def references(kits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("references")
    for name, case in (("anna", LEARNED), ("bert", HELD), ("carl", NEW)):
        image = nibabel.load(kits / case / "segmentation.nii.gz")
        nibabel.save(nibabel.as_closest_canonical(image), folder / f"{name}.nii.gz")
    return folder


def evaluate(references: Path, predictions: Path, out: Path, *more: str) -> int:
    words = ["evaluate", "-r", str(references), "-p", str(predictions), "-o", str(out)]
    return main([*words, "--labels", "kits19", "--jobs", "1", *more])


def provenance(out: Path, case: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((out / case / "provenance.json").read_text("utf-8"))
    return found


def test_a_scan_is_recognized_under_another_name_and_packing(segmented: Path) -> None:
    (learned,) = provenance(segmented, "anna")["seen_in_training"]
    assert (learned["how"], learned["recognized_by"], learned["folds"]) == (
        "learned", "voxels", [0, 1],
    )  # fmt: skip
    (held,) = provenance(segmented, "bert")["seen_in_training"]
    assert (held["how"], held["folds"]) == ("learned", [1])
    assert provenance(segmented, "carl")["seen_in_training"] == []
    sentence = "unet3d-plain learned from this scan (folds 0, 1): the result is no test of it"
    assert sentence in provenance(segmented, "anna")["notes"]
    assert sentence[1:] in (segmented / "anna" / "report.html").read_text(encoding="utf-8")
    assert "learned from" not in (segmented / "carl" / "report.html").read_text(encoding="utf-8")


def test_it_is_said_on_the_terminal_and_of_one_fold(
    run: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["segment", str(scans / "bert.nii.gz"), "-o", str(tmp_path), "--model", str(run)]
    arguments = [*words, "--device", "cpu", "--fold", "0", "--no-report"]
    for _ in range(2):  # said of what is already there, too
        assert main(arguments) == 0
        said = capsys.readouterr().err
        assert "unet3d-plain was validated with this scan" in said
    assert "learned from this scan" not in said


def test_evaluate_and_compare_say_which_cases_were_learned_from(
    segmented: Path, references: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(references, segmented, tmp_path / "one") == 0
    said = capsys.readouterr().err
    assert "1 of 3 cases: unet3d-plain learned from this scan (folds 0, 1)" in said
    told = json.loads((tmp_path / "one" / "metrics.json").read_text(encoding="utf-8"))
    assert set(told["seen_in_training"]) == {"anna", "bert"}
    page = (tmp_path / "one" / "metrics.html").read_text(encoding="utf-8")
    assert "anna (seen in training)" in page
    assert "carl (seen in training)" not in page
    with (tmp_path / "one" / "details.csv").open(encoding="utf-8") as file:
        seen = {row["caseID"] for row in csv.DictReader(file) if row["seen_in_training"]}
    assert seen == {"anna", "bert"}
    assert evaluate(references, references, tmp_path / "two") == 0
    capsys.readouterr()
    words = ["compare", str(tmp_path / "one"), str(tmp_path / "two"), "-o", str(tmp_path / "both")]
    assert main(words) == 0
    assert "Seen in training" in capsys.readouterr().out
    told = json.loads((tmp_path / "both" / "comparison.json").read_text(encoding="utf-8"))
    assert set(told["seen"]) == {"one"}
    assert set(told["seen"]["one"]) == {"anna", "bert"}
    page = (tmp_path / "both" / "comparison.html").read_text(encoding="utf-8")
    assert "one, 1 of 3 cases: unet3d-plain learned from" in page


def test_evaluate_is_told_the_model_of_predictions_without_provenance(
    run: Path, references: Path, segmented: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("anna", "bert", "carl"):
        target = plain / f"{name}.nii.gz"
        target.write_bytes((segmented / name / "segmentation.nii.gz").read_bytes())
    assert evaluate(references, plain, tmp_path / "one") == 0
    assert "learned from" not in capsys.readouterr().err
    for model in (run, pack_run(run)):
        assert evaluate(references, plain, tmp_path / "two", "--model", str(model)) == 0
        said = capsys.readouterr().err
        assert "unet3d-plain" in said
        told = json.loads((tmp_path / "two" / "metrics.json").read_text(encoding="utf-8"))
        assert set(told["seen_in_training"]) == {"anna", "bert"}
        assert "learned from the scan of this reference" in told["seen_in_training"]["anna"]


def test_the_shipped_model_says_no_more_than_its_header_knows(
    references: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(references, references, tmp_path, "--model", "renalis-kidney") == 0
    said = capsys.readouterr().err
    assert "does not say case by case what it learned from" in said
    assert "KiTS23 training set" in said
    told = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert told["seen_in_training"] == {}
    assert "case by case" in told["remark"]


def test_model_files_of_both_kinds_know_their_cases(kits: Path, run: Path, tmp_path: Path) -> None:
    small = ["network.channels=[4, 8]", "stages.fine.network.channels=[4, 8]"]
    shipped = untrained_run("renalis-kidney", kits, tmp_path / "run", small)
    for folder, packed in ((run, pack_run(run)), (shipped, pack_run(shipped))):
        known = read_any_header(packed).cases
        assert known is not None
        assert known == known_cases(folder)
        assert known.hashes[known.folds[0].train[0]].image


def test_a_training_notes_the_voxels_of_its_cases(kits: Path, tmp_path: Path) -> None:
    words = ["train", "unet3d-plain", "--tiny", "--data", str(kits), "--kind", "kits19"]
    short = ("optimisation.stop.epochs=1", "split.k=2", "augmentation.copies=0")
    changes = (*COARSE["unet3d-plain"], *short)
    sets = [part for change in changes for part in ("--set", change)]
    assert main([*words, "-o", str(tmp_path / "run"), "--device", "cpu", *sets]) == 0
    known = known_cases(tmp_path / "run")
    assert known is not None
    assert set(known.hashes) == {f"case_{number:05d}" for number in range(10)}
    assert len({one.image for one in known.hashes.values()}) == 10


def known_model(hashed: bool) -> KnownModel:
    hashes = {"a": CaseHashes(image="1" * 64, label="2" * 64)} if hashed else {}
    return KnownModel("m", KnownCases(folds=(FoldSides(number=0, train=("a",)),), hashes=hashes))


def test_names_count_only_where_voxels_are_not_known() -> None:
    seen = known_model(False).seen(["a"], image="3" * 64)
    assert seen is not None
    assert "probably this one" in seen.sentence
    assert known_model(True).seen(["a"], image="3" * 64) is None  # another scan of that name
    assert known_model(True).seen(["b"], image="1" * 64) is not None
    assert known_model(True).seen(["b"], label="2" * 64) is not None
    assert known_model(True).seen(["b"], label="") is None
    assert KnownModel("m", None).seen(["a"]) is None


def test_runs_from_before_there_were_hashes_are_known_by_name(
    run: Path, scans: Path, tmp_path: Path
) -> None:
    for number in (0, 1):
        old = tmp_path / "run" / f"fold_{number}"
        old.mkdir(parents=True)
        (old / "split.json").write_bytes((run / f"fold_{number}" / "split.json").read_bytes())
    known = known_cases(tmp_path / "run")
    assert known is not None
    assert known.hashes == {}
    assert np.all([LEARNED in fold.train for fold in known.folds])


def test_a_model_file_without_names_still_knows_the_voxels(
    run: Path, scans: Path, tmp_path: Path
) -> None:
    packed = pack_run(run, ModelDescription(anonymous=True))
    assert b"case_0000" not in packed.read_bytes()[: 1 << 20]
    out = tmp_path / "out"
    words = ["segment", str(scans / "anna.nii"), "-o", str(out), "--model", str(packed)]
    assert main([*words, "--no-report", "--device", "cpu"]) == 0
    (learned,) = provenance(out, "anna")["seen_in_training"]
    assert (learned["how"], learned["folds"]) == ("learned", [0, 1])
