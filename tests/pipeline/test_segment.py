"""The whole way from files to result folders, with networks whose right answer is known."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.stub import FAT, half_phantom, phantom, stub_model

from renalis.errors import InputError, OutputError
from renalis.pipeline import Listener, SegmentOptions, Status, segment
from renalis.pipeline.folder import make_output, provenance, result_folder
from renalis.postprocessing import NONE
from renalis.prediction import PredictionOptions, RuntimeName
from renalis.volume import Volume

PREDICTION = PredictionOptions(runtime=RuntimeName.TORCH, keep_heap=False)
PLAIN = SegmentOptions(prediction=PREDICTION, report=False)
SHOWN = SegmentOptions(prediction=PREDICTION)


def save(path: Path, scan: Volume) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(scan.array.astype(np.int16), scan.affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def with_air(scan: Volume) -> Volume:
    """Air around the patient, as in a scan: label maps have none."""
    wide = np.pad(scan.array, ((0, 0), (10, 10), (10, 10)), constant_values=-1000)
    noise = np.random.default_rng(1).normal(0, 3, wide.shape)
    affine = scan.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [0, 10, 10]
    return Volume((wide + noise).astype(np.int16), affine)


@pytest.fixture(scope="module")
def scan() -> Volume:
    return with_air(half_phantom((6.0, 3.0, 3.0)))


@pytest.fixture(scope="module")
def scan_file(tmp_path_factory: pytest.TempPathFactory, scan: Volume) -> Path:
    return save(tmp_path_factory.mktemp("in") / "patient.nii.gz", scan)


def everything_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_all_files_and_the_right_kidneys(tmp_path: Path) -> None:
    scan_file = save(tmp_path / "patient.nii.gz", with_air(phantom(spacing=(6.0, 3.0, 3.0))))
    (result,) = segment(scan_file, tmp_path / "out", SHOWN, model=stub_model())
    assert result.status == Status.DONE, result.problem
    assert everything_below(tmp_path / "out") == [
        "measurements.csv",
        "patient/measurements.json",
        "patient/preview.png",
        "patient/provenance.json",
        "patient/report.html",
        "patient/segmentation.nii.gz",
    ]
    given = nib.load(scan_file)
    written = nib.load(result.folder / "segmentation.nii.gz")
    assert np.array_equal(written.affine, given.affine)
    assert written.shape == given.shape
    (row,) = csv.DictReader((tmp_path / "out" / "measurements.csv").open())
    assert row["kidneys"] == "2"
    # Ellipsoids of 131 ml (left) and 114 ml (right), less their lesions.
    assert 110 < float(row["kidney_left_with_lesions_ml"]) < 140
    assert 100 < float(row["kidney_right_with_lesions_ml"]) < 140
    measured = json.loads((result.folder / "measurements.json").read_text())
    assert {kidney["id"] for kidney in measured["kidneys"]} == {"left", "right"}
    provenance = json.loads((result.folder / "provenance.json").read_text())
    assert provenance["model"]["name"] == "by-hu"
    assert provenance["row"] == row
    assert "by-hu" in (result.folder / "report.html").read_text()


def test_a_tilted_scan_gets_a_straight_copy_and_says_why(tmp_path: Path) -> None:
    tilted = with_air(phantom(spacing=(6.0, 3.0, 3.0)))
    affine = tilted.affine.copy()
    # The slices of a gantry tilted by 12 degrees: each a little further to the front.
    affine[:3, 0] += affine[:3, 1] * (6.0 * np.tan(np.radians(12)) / 3.0)
    file = save(tmp_path / "patient.nii.gz", Volume(tilted.array, affine))
    (result,) = segment(file, tmp_path / "out", PLAIN, model=stub_model())
    assert result.status == Status.DONE, result.problem
    (note,) = [n for n in result.notes if "segmentation_straight.nii.gz" in n]
    assert "tilt, 12.0°" in note
    labels, copy = (
        nib.load(result.folder / name)
        for name in ("segmentation.nii.gz", "segmentation_straight.nii.gz")
    )
    assert np.array_equal(labels.affine, nib.load(file).affine)
    counts = [np.bincount(np.asarray(i.dataobj).ravel(), minlength=4) for i in (labels, copy)]
    assert counts[0][1] > 0
    assert counts[0][1:].tolist() == counts[1][1:].tolist()
    steps = copy.affine[:3, :3] / np.linalg.norm(copy.affine[:3, :3], axis=0)
    assert np.abs(steps.T @ steps - np.eye(3)).max() < 1e-6
    provenance = json.loads((result.folder / "provenance.json").read_text())
    assert "segmentation_straight.nii.gz" in provenance["files"]
    again = replace(PLAIN, overwrite=True)
    (result,) = segment(file, tmp_path / "out", again, model=stub_model())
    assert result.status == Status.DONE, result.problem


def test_repeating_skips_and_changes_nothing(scan_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    segment(scan_file, out, PLAIN, model=stub_model())
    before = {name: (out / name).stat().st_mtime_ns for name in everything_below(out)}
    (result,) = segment(scan_file, out, PLAIN, model=stub_model())
    assert result.status == Status.SKIPPED
    assert result.row["kidneys"] == "1"
    for name, changed in before.items():
        assert name == "measurements.csv" or (out / name).stat().st_mtime_ns == changed


def test_other_options_need_overwrite(scan_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    segment(scan_file, out, PLAIN, model=stub_model())
    other = SegmentOptions(prediction=PREDICTION, report=False, rules=NONE)
    (refused,) = segment(scan_file, out, other, model=stub_model())
    assert refused.status == Status.FAILED
    assert "--overwrite" in refused.problem
    assert (out / "patient" / "segmentation.nii.gz").is_file()
    forced = SegmentOptions(prediction=PREDICTION, report=False, rules=NONE, overwrite=True)
    (result,) = segment(scan_file, out, forced, model=stub_model())
    assert result.status == Status.DONE


def test_a_folder_with_somebodys_files_is_never_replaced(scan_file: Path, tmp_path: Path) -> None:
    mine = tmp_path / "out" / "patient" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    for overwrite in (False, True):
        options = SegmentOptions(prediction=PREDICTION, report=False, overwrite=overwrite)
        (result,) = segment(scan_file, tmp_path / "out", options, model=stub_model())
        assert result.status == Status.FAILED
        assert everything_below(tmp_path / "out") == ["patient/thesis.txt"]


def test_one_bad_scan_does_not_stop_the_others(
    scan: Volume, scan_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(scan_file, folder / "b.nii.gz")
    (folder / "a.nii.gz").write_bytes(gzip.compress(b"this is a letter, not a scan"))
    (folder / "c.nii.gz").write_bytes(scan_file.read_bytes()[:2000])
    # Left out by the search for scans, and so no failure.
    save(folder / "d.nii.gz", Volume((scan.array > 100).astype(np.int16), scan.affine))
    results = {r.case_id: r for r in segment(folder, tmp_path / "out", PLAIN, model=stub_model())}
    assert results["b"].status == Status.DONE
    assert sorted(results) == ["a", "b", "c"]  # a label map is no scan
    for name in "ac":
        assert results[name].status == Status.FAILED
        assert f"{name}.nii.gz" in results[name].problem
        assert not results[name].internal
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["b", "measurements.csv"]


def test_no_kidneys_is_a_result(tmp_path: Path) -> None:
    empty = phantom(spacing=(6.0, 3.0, 3.0))
    empty.array[...] = FAT
    path = save(tmp_path / "head.nii.gz", with_air(empty))
    (result,) = segment(path, tmp_path / "out", SHOWN, model=stub_model())
    assert result.status == Status.DONE, result.problem
    assert not np.asarray(nib.load(result.folder / "segmentation.nii.gz").dataobj).any()
    assert any("No kidney" in note for note in result.notes)
    assert (result.folder / "report.html").is_file()


@pytest.mark.parametrize("step", ["read", "coarse", "fine", "tidy", "write"])
def test_interrupting_leaves_nothing_half_written(
    scan_file: Path, tmp_path: Path, step: str
) -> None:
    class Interrupter(Listener):
        def step(self, name: str, done: int, total: int) -> None:
            if name == step and done == min(1, total):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment(scan_file, tmp_path / "out", PLAIN, listener=Interrupter(), model=stub_model())
    assert list((tmp_path / "out").iterdir()) == []


def test_incomplete_results_are_called_so(scan_file: Path, tmp_path: Path) -> None:
    (first,) = segment(scan_file, tmp_path / "o", PLAIN, model=stub_model())
    assert first.folder is not None
    (first.folder / "segmentation.nii.gz").unlink()
    (again,) = segment(scan_file, tmp_path / "o", PLAIN, model=stub_model())
    assert again.status == Status.FAILED
    assert "incomplete results" in again.problem
    assert "--overwrite" in again.problem


def test_the_table_holds_what_was_finished_before_an_interruption(
    scan_file: Path, tmp_path: Path
) -> None:
    class Interrupter(Listener):
        def case(self, case_id: str, number: int) -> None:
            if number == 1:
                raise KeyboardInterrupt

    second = tmp_path / "second.nii.gz"
    second.write_bytes(scan_file.read_bytes())
    with pytest.raises(KeyboardInterrupt):
        segment(
            [scan_file, second], tmp_path / "o", PLAIN, listener=Interrupter(), model=stub_model()
        )
    rows = (tmp_path / "o" / "measurements.csv").read_text().splitlines()
    assert len(rows) == 2
    assert rows[1].startswith("patient,")


def test_leftovers_of_a_killed_run_are_removed(scan_file: Path, tmp_path: Path) -> None:
    (first,) = segment(scan_file, tmp_path / "out", PLAIN, model=stub_model())
    with result_folder(tmp_path / "out", "other", overwrite=False) as part:
        here = part.name.removeprefix(".other.partial-").rpartition("-")[0]
    out = tmp_path / "out"
    dead = 99999999
    left = out / f".patient.partial-{here}-{dead}"
    mine = out / f".patient.partial-{here}-{os.getpid()}"
    elsewhere = out / f".patient.partial-0123abcd-{dead}"
    for folder in (left, mine, elsewhere):
        folder.mkdir()
        (folder / "segmentation.nii.gz").write_bytes(b"half")
    # Killed while an older result was set aside: it comes back.
    aside = out / f".patient.old-{here}-{dead}"
    first.folder.rename(aside)
    segment(scan_file, out, PLAIN, model=stub_model())
    assert not left.exists()
    assert not aside.exists()
    assert mine.exists()
    assert elsewhere.exists(), "another machine may be at work there"
    make_output(out)
    assert provenance(first.folder) is not None


def test_a_second_process_on_one_folder_is_refused_also_with_one_scan(
    scan_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("renalis.pipeline.folder._PATIENCE_S", 0.0)
    (tmp_path / ".lock").touch()  # as one that was killed leaves it
    refused: list[str] = []

    class Second(Listener):
        def case(self, case: str, number: int) -> None:
            with pytest.raises(InputError, match="another renalis segment works on") as error:
                segment(scan_file, tmp_path, PLAIN, model=stub_model())
            refused.append(str(error.value))

    (result,) = segment(scan_file, tmp_path, PLAIN, listener=Second(), model=stub_model())
    assert len(refused) == 1
    assert result.status == Status.DONE


def test_a_folder_that_goes_away_ends_the_run_and_nothing_is_written_in_its_place(
    scan_file: Path, tmp_path: Path
) -> None:
    out, away = tmp_path / "out", tmp_path / "away"

    class Unmounting(Listener):
        def case(self, case: str, number: int) -> None:
            out.rename(away)
            out.mkdir()

    with pytest.raises(OutputError, match="no longer the folder that this run began in"):
        segment(scan_file, out, PLAIN, listener=Unmounting(), model=stub_model())
    assert not (out / "measurements.csv").exists()


def test_a_result_set_aside_by_a_killed_run_comes_back(tmp_path: Path) -> None:
    with result_folder(tmp_path, "case", overwrite=False) as part:
        (part / "provenance.json").write_text("{}")
        here = part.name.removeprefix(".case.partial-").rpartition("-")[0]
    aside = tmp_path / f".case.old-{here}-99999999"
    (tmp_path / "case").rename(aside)
    make_output(tmp_path)
    assert (tmp_path / "case" / "provenance.json").read_text() == "{}"
    assert not aside.exists()


def test_somebodys_reference_labels_are_never_replaced(scan_file: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "out" / "patient" / "segmentation.nii.gz"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"drawn by hand")
    options = replace(PLAIN, overwrite=True)
    (result,) = segment(scan_file, tmp_path / "out", options, model=stub_model())
    assert result.status == Status.FAILED
    assert "did not write" in result.problem
    assert theirs.read_bytes() == b"drawn by hand"


def test_a_case_called_like_the_table_gets_another_name(scan: Volume, tmp_path: Path) -> None:
    file = save(tmp_path / "measurements.csv.nii.gz", scan)
    (result,) = segment(file, tmp_path / "out", PLAIN, model=stub_model())
    assert result.case_id == "measurements.csv_"
    assert (tmp_path / "out" / "measurements.csv").is_file()


def test_the_table_holds_earlier_cases_too(scan: Volume, scan_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    segment(scan_file, out, PLAIN, model=stub_model())
    second = save(tmp_path / "second.nii.gz", scan)
    segment(second, out, PLAIN, model=stub_model())
    rows = list(csv.DictReader((out / "measurements.csv").open()))
    assert [row["case"] for row in rows] == ["patient", "second"]


def test_nothing_given_and_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no input"):
        segment([], tmp_path / "out", PLAIN, model=stub_model())
    (result,) = segment(tmp_path / "nowhere", tmp_path / "out", PLAIN, model=stub_model())
    assert "does not exist" in result.problem


def test_an_output_that_cannot_be_written_is_refused_at_once(
    scan_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="choose another"):
        segment(scan_file, tmp_path / "file" / "out", PLAIN, model=stub_model())
    if os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.mkdir()
        locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
        with pytest.raises(OutputError, match="choose another"):
            segment(scan_file, locked, PLAIN, model=stub_model())


def test_too_little_memory_is_a_sentence(scan_file: Path, tmp_path: Path) -> None:
    options = SegmentOptions(
        prediction=PredictionOptions(runtime=RuntimeName.TORCH, max_ram_mb=10), report=False
    )
    (result,) = segment(scan_file, tmp_path / "out", options, model=stub_model())
    assert result.status == Status.FAILED
    assert "--max-ram" in result.problem
    assert result.problem.startswith("patient: ")
    assert list((tmp_path / "out").iterdir()) == []
