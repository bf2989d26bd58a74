"""Each case by the fold that did not see it; killed, resumed, compared, incomplete."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from helpers.coarse_grids import COARSE
from helpers.programs import start_program
from helpers.untrained_runs import untrained_run
from helpers.vanishing import bring_back, take_away

import renalis
from renalis.cli import main
from renalis.conventions import Convention
from renalis.crossvalidation.run import CrossOptions, crossvalidate
from renalis.dataset import Split, load_split
from renalis.errors import OutputError
from renalis.evaluation import score
from renalis.evaluation.scores import Options
from renalis.io.read_labels import read_label_map
from renalis.systems.pack import pack_run
from renalis.systems.predict import predict_scan
from renalis.systems.runs import open_run


def command(data: Path, out: Path, *runs: Path | str, kind: str = "kits19") -> list[str]:
    place = ["--data", str(data), "-o", str(out), "--device", "cpu", "--jobs", "1"]
    return ["crossvalidate", *map(str, runs), *place, "--kind", kind]


def untrained(recipe: str, data: Path, run: Path, changes: Sequence[str] = (), **more: Any) -> Path:
    """On a coarse grid: what is tested here is who predicts whom, not how finely."""
    return untrained_run(recipe, data, run, [*COARSE.get(recipe, ()), *changes], **more)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def label_maps(out: Path, run: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / run / "labels").glob("*.nii.gz")}


@pytest.fixture(scope="module")
def run(ten: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five folds of a published system."""
    return untrained("unet3d-plain", ten, tmp_path_factory.mktemp("runs") / "plain")


@pytest.fixture(scope="module")
def whole(run: Path, ten: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed cross-validation."""
    out = tmp_path_factory.mktemp("whole")
    assert main(command(ten, out, run)) == 0
    return out


@pytest.fixture(scope="module")
def two_folds(four: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "two"
    return untrained("unet3d-plain", four, folder, ["split.k=2"])


@pytest.fixture(scope="module")
def two_scored(two_folds: Path, four: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their cross-validation."""
    out = tmp_path_factory.mktemp("two")
    assert main(command(four, out, two_folds)) == 0
    return out


@pytest.fixture
def out(two_scored: Path, tmp_path: Path) -> Path:
    """A folder that holds it already."""
    return shutil.copytree(two_scored, tmp_path / "out")


def test_every_case_is_predicted_by_the_fold_that_held_it_out(
    whole: Path, run: Path, ten: Path
) -> None:
    assert len(label_maps(whole, "plain")) == 10
    folds = {row["case"]: int(row["fold"]) for row in rows(whole / "cases.csv")}
    for fold in range(5):
        held = load_split(run / f"fold_{fold}" / "split.json").val
        assert {case for case, number in folds.items() if number == fold} == set(held)
    case = load_split(run / "fold_3" / "split.json").val[1]
    scan = renalis.read_scan(ten / case / "imaging.nii.gz").volume
    expected = predict_scan(open_run(run, [3]), scan).tidied.labels
    found = nibabel.load(whole / "plain" / "labels" / f"{case}.nii.gz")
    assert np.array_equal(np.asarray(found.dataobj), expected.array)
    assert np.array_equal(found.affine, nibabel.load(ten / case / "imaging.nii.gz").affine)


def test_the_table_has_mean_and_sd_of_the_folds_means(whole: Path, ten: Path) -> None:
    options = Options(Convention.KITS19, Convention.KITS19, Convention.KITS19)
    dice: dict[str, dict[str, float]] = {}
    for case in ("case_00000", "case_00007"):
        reference = read_label_map(ten / case / "segmentation.nii.gz")
        prediction = read_label_map(whole / "plain" / "labels" / f"{case}.nii.gz")
        found = score(reference, prediction, options)
        dice[case] = {name: found[name].dice for name in ("kidney", "tumor")}
    cases = rows(whole / "cases.csv")
    for row in cases:
        if row["case"] in dice and row["region"] in dice[row["case"]]:
            assert float(row["dice"]) == pytest.approx(dice[row["case"]][row["region"]])
    folds = rows(whole / "folds.csv")
    for region in ("kidney", "tumor"):
        means = [
            np.mean([float(r["dice"]) for r in cases if r["fold"] == k and r["region"] == region])
            for k in "01234"
        ]
        table = {r["fold"]: float(r["dice"]) for r in folds if r["region"] == region}
        assert [table[k] for k in "01234"] == pytest.approx(means)
        assert table["mean"] == pytest.approx(np.mean(means))
        assert table["sd"] == pytest.approx(np.std(means, ddof=1))
        page = (whole / "crossvalidation.html").read_text(encoding="utf-8")
        assert f"{np.mean(means):.4f} ± {np.std(means, ddof=1):.4f}" in page
    told = json.loads((whole / "crossvalidation.json").read_text(encoding="utf-8"))
    assert told["runs"][0]["over_folds"]["kidney"]["dice"]["n"] == 5
    assert len(told["runs"][0]["cases"]) == 10


@pytest.mark.slow
def test_killed_twice_it_ends_with_the_same_label_maps_and_tables(
    run: Path, whole: Path, ten: Path, tmp_path: Path
) -> None:
    program = ("-m", "renalis", *command(ten, tmp_path, run))
    done: list[int] = []
    for line in ("(3 of ", "(5 of "):
        with start_program(*program, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            assert any(line in said for said in process.stderr)
            process.kill()
        assert process.returncode == -9
        done.append(len(list((tmp_path / "plain" / "labels").glob("*.json"))))
    assert 2 <= done[0] < done[1] < 10
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "plain" / "labels").glob("*.json")}
    # As if it had been killed while it wrote.
    (tmp_path / "plain" / "labels" / ".case.nii.gz.00000000.part").touch()
    assert main(command(ten, tmp_path, run)) == 0
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert label_maps(tmp_path, "plain") == label_maps(whole, "plain")
    for name in ("folds.csv", "cases.csv", "crossvalidation.json", "crossvalidation.html"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()
    assert not list(tmp_path.rglob("*.part"))


def test_cases_of_unfinished_folds_are_named_and_left_out(
    ten: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = untrained("unet3d-plain", ten, tmp_path / "run", unfinished=[1, 4])
    shutil.rmtree(run / "fold_4")  # not even begun
    assert main(command(ten, tmp_path / "out", run)) == 1
    said = capsys.readouterr().err
    left = load_split(run / "fold_1" / "split.json").val
    assert "not finished: 1, 4" in said
    assert all(case in said for case in left)
    page = (tmp_path / "out" / "crossvalidation.html").read_text(encoding="utf-8")
    assert f"{left[0]}" in page
    told = json.loads((tmp_path / "out" / "crossvalidation.json").read_text(encoding="utf-8"))
    assert set(left) < set(told["runs"][0]["not_held_out"])
    assert len(told["runs"][0]["not_held_out"]) == 4
    assert {row["fold"] for row in rows(tmp_path / "out" / "folds.csv")} == {
        "0", "2", "3", "mean", "sd",
    }  # fmt: skip


def test_several_runs_are_compared_case_by_case(
    four: Path, two_folds: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = untrained("unet3d-preact", four, tmp_path / "preact", ["split.k=2"], seed=1)
    assert main(command(four, out, two_folds, other)) == 0
    tests = rows(out / "comparison.csv")
    assert {(row["first"], row["second"]) for row in tests} == {("two", "preact")}
    # Out of fold is a test, whatever the run as a whole has learned from.
    place = ["-p", str(out / "two" / "labels"), "-o", str(tmp_path / "scores")]
    words = ["evaluate", "-r", str(four), *place, "--labels", "kits19", "--model", str(two_folds)]
    assert main([*words, "--jobs", "1"]) == 0
    assert "learned from" not in capsys.readouterr().err
    metrics = [str(out / name) for name in ("two", "preact")]
    capsys.readouterr()
    assert main(["compare", *metrics, "-o", str(tmp_path / "again")]) == 0
    again = (tmp_path / "again" / "comparison.csv").read_bytes()
    assert again == (out / "comparison.csv").read_bytes()
    page = (out / "crossvalidation.html").read_text(encoding="utf-8")
    assert "Paired tests" in page
    assert main(command(four, out, two_folds, two_folds)) == 2  # one name for two


@pytest.mark.parametrize(
    "recipe", ["resnet34-2d", "quicknat-2d", "cascade3d", "multires3d", "simple-unet-2d"]
)
def test_every_recipe_predicts_what_it_held_out(
    recipe: str, ten: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = untrained(recipe, ten, tmp_path / "run", unfinished=range(1, 5))
    arguments = command(ten, tmp_path / "out", run)
    # As published, the cascade is trained on the first of five folds alone.
    assert main([*arguments, "--labels", "kits19"]) == (1 if recipe == "cascade3d" else 0)
    split = load_split(run / "fold_0" / "split.json")
    held = set(split.test or split.val)
    found = {row["case"] for row in rows(tmp_path / "out" / "cases.csv")}
    regions = {row["region"] for row in rows(tmp_path / "out" / "cases.csv")}
    # What a system never looks for is not scored as if it had missed it.
    assert ("tumor" in regions) == (recipe in ("resnet34-2d", "cascade3d"))
    said = capsys.readouterr().err
    assert found == held
    if recipe == "cascade3d":
        assert "8 cases are left out of the means" in said
    else:
        assert f"only the {len(held)} cases that it held out are predicted" in said
        chosen = not split.test
        assert ("best on the cases held out here" in said) == chosen


def test_the_shipped_recipe_predicts_what_it_held_out(
    ten: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["network.channels=[4, 8]", "stages.fine.network.channels=[4, 8]"]
    run = untrained("renalis-kidney", ten, tmp_path / "run", small)
    packed = pack_run(run)
    held = load_split(run / "fold_0" / "split.json").val
    assert main(command(ten, tmp_path / "out", run, f"file={packed}", kind="kits23")) == 0
    assert {name.split(".")[0] for name in label_maps(tmp_path / "out", "run")} == set(held)
    assert label_maps(tmp_path / "out", "run") == label_maps(tmp_path / "out", "file")
    assert "only the 2 cases that it held out are predicted" in capsys.readouterr().err


def test_a_packed_run_gives_the_same_as_its_folder(four: Path, two_folds: Path, out: Path) -> None:
    packed = pack_run(two_folds)
    assert main(command(four, out, two_folds, f"file={packed}")) == 0
    assert label_maps(out, "two") == label_maps(out, "file")
    assert len(label_maps(out, "file")) == 4


def test_a_file_that_does_not_know_its_cases_is_refused(
    ten: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(ten, tmp_path, renalis.load_model().path)) == 2
    assert "does not name its training cases" in capsys.readouterr().err
    assert main(command(ten, tmp_path, tmp_path / "nothing")) == 2
    assert "neither the folder of a training nor a model file" in capsys.readouterr().err


def test_scans_that_were_learned_from_under_another_name_are_no_test(
    four: Path, two_folds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = (load_split(two_folds / f"fold_{k}" / "split.json").val[0] for k in (0, 1))
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for case in four.iterdir():
        source = four / other if case.name == one else case
        (mixed / case.name).symlink_to(source.resolve())
    assert main(command(mixed, tmp_path / "out", two_folds)) == 1
    said = capsys.readouterr().err
    assert f"{one} is no test of fold 0, which learned from the same voxels" in said
    assert len(label_maps(tmp_path / "out", "two")) == 3


def test_an_unreadable_scan_is_named_and_the_others_are_scored(
    four: Path, two_folds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(four, data)
    (data / "case_00002" / "imaging.nii.gz").write_bytes(b"nothing")
    assert main(command(data, tmp_path / "out", two_folds)) == 1
    assert "case_00002 is left out" in capsys.readouterr().err
    assert len({row["case"] for row in rows(tmp_path / "out" / "cases.csv")}) == 3


@pytest.mark.parametrize("when", ["case_00001 by fold", "label maps are scored"])
def test_nothing_is_written_where_the_drive_of_the_results_was(
    when: str, four: Path, two_folds: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def report(line: str) -> None:
        if when in line:
            take_away(out)

    given = ([str(two_folds)], four, out, CrossOptions(kind="kits19", device="cpu"))
    with pytest.raises(OutputError, match="is gone: its drive was unmounted"):
        crossvalidate(*given, report)
    bring_back(out)
    assert crossvalidate(*given, lambda _: None).complete


def test_label_maps_of_other_networks_are_not_replaced_unasked(
    four: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = untrained("unet3d-plain", four, tmp_path / "run", ["split.k=2"], seed=7)
    before = label_maps(out, "two")
    assert main(command(four, out, f"two={other}")) == 2
    assert "give --overwrite" in capsys.readouterr().err
    assert label_maps(out, "two") == before
    assert main([*command(four, out, f"two={other}"), "--overwrite"]) == 0
    assert label_maps(out, "two") != before


def test_files_of_somebody_else_are_left_alone(
    four: Path, two_folds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "out" / "two" / "labels" / "case_00001.nii.gz"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    assert main(command(four, tmp_path / "out", two_folds)) == 2
    assert "no cross-validation's" in capsys.readouterr().err
    assert own.read_bytes() == b"mine"


def test_folds_that_hold_out_the_same_cases_are_refused(
    ten: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [f"case_{number:05d}" for number in range(10)]
    splits = [Split(tuple(ids[:6]), tuple(ids[6:])), Split(tuple(ids[:5]), tuple(ids[5:]))]
    run = untrained("unet3d-plain", ten, tmp_path / "run", splits=splits)
    assert main(command(ten, tmp_path / "out", run)) == 2
    assert "hold out the same cases" in capsys.readouterr().err
