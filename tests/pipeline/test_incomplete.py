"""Cases of which a later step fails, or is stopped: nothing finished is lost or made twice."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.stub import half_phantom, stub_model
from test_segment import PLAIN, SHOWN, everything_below, save, with_air

import renalis.pipeline.finish as sample_transform
import renalis.systems.coarse_to_fine as running
from renalis.calibration import Fit, Fits
from renalis.cli import main
from renalis.errors import OutputError
from renalis.look_spread import LookSpread
from renalis.pipeline import CaseResult, Listener, SegmentOptions, Status, segment
from renalis.pipeline.failures import traceback_of
from renalis.pipeline.saved_prediction import load_prediction, save_prediction
from renalis.pipeline.work import CaseWork
from renalis.postprocessing import RuleChange
from renalis.systems.segmenter import Segmented
from renalis.volume import Kind, Volume

ALL = [
    "measurements.json",
    "preview.png",
    "provenance.json",
    "report.html",
    "segmentation.nii.gz",
]
LATER = ("measurements.json", "preview.png", "report.html")


@pytest.fixture(scope="module")
def scan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("Miller_Anna")
    return save(folder / "patient.nii.gz", with_air(half_phantom((8.0, 4.0, 4.0))))


@pytest.fixture(scope="module")
def whole(scan_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a case that nothing happened to."""
    return run(scan_file, tmp_path_factory.mktemp("whole")).folder or Path()


def run(file: Path, out: Path, options: SegmentOptions = SHOWN, **more: object) -> CaseResult:
    (result,) = segment(file, out, options, model=stub_model(), **more)  # type: ignore[arg-type]
    return result


def fail(error: Exception) -> Callable[..., object]:
    def failing(*_: object, **__: object) -> object:
        raise error

    return failing


def break_step(patch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    """Let the step that makes a file fail."""
    if name == "measurements.json":
        patch.setattr(sample_transform, "measure", fail(error))
    else:
        writer = {"preview.png": "write_preview", "report.html": "write_report"}[name]
        patch.setattr(f"renalis.report.{writer}", fail(error))


def never_predict(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(running, "predict", fail(AssertionError("predicted a second time")))


def same_results(one: Path, two: Path) -> None:
    """Equal files, apart from times."""
    assert everything_below(one) == everything_below(two) == ALL
    for name in ("segmentation.nii.gz", "measurements.json", "preview.png"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    stories = [json.loads((folder / "provenance.json").read_text()) for folder in (one, two)]
    assert stories[0].keys() == stories[1].keys()
    for key in stories[0].keys() - {"seconds", "peak_mb"}:
        assert stories[0][key] == stories[1][key], key
    pages = [(folder / "report.html").read_text() for folder in (one, two)]
    assert len(pages[0]) == pytest.approx(len(pages[1]), abs=20)  # seconds are written in it
    assert "possible reach" in pages[0]
    assert "possible reach" in pages[1]


@pytest.mark.parametrize("name", LATER)
def test_a_step_that_fails_loses_nothing_and_is_made_later(
    scan_file: Path, whole: Path, tmp_path: Path, name: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        break_step(patch, name, ValueError("cannot reshape array of size 0"))
        result = run(scan_file, tmp_path)
    assert result.status == Status.INCOMPLETE
    assert result.internal
    assert result.folder == tmp_path / "patient"
    lost = LATER if name == "measurements.json" else (name,)
    there = {path.name for path in result.folder.iterdir()}
    assert there == {*ALL, "renalis-error.log", "unfinished.safetensors"} - set(lost)
    assert (result.folder / "segmentation.nii.gz").read_bytes() == (
        whole / "segmentation.nii.gz"
    ).read_bytes()
    for word in (*lost, "cannot reshape", "renalis-error.log", "the same command"):
        assert word in result.problem
    assert "\n" not in result.problem
    measured = name != "measurements.json"
    assert bool(result.row) == measured
    assert (tmp_path / "measurements.csv").is_file() == measured
    with pytest.MonkeyPatch.context() as patch:
        never_predict(patch)
        again = run(scan_file, tmp_path)
    assert again.status == Status.DONE, again.problem
    same_results(result.folder, whole)
    assert (tmp_path / "measurements.csv").is_file()
    assert run(scan_file, tmp_path).status == Status.SKIPPED


def test_preview_and_page_fail_together_in_one_sentence(scan_file: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("preview.png", "report.html"):
            break_step(patch, name, MemoryError())
        result = run(scan_file, tmp_path)
    assert result.problem.startswith("patient: preview.png and report.html could not be made")
    assert result.problem.count("not enough memory") == 1
    assert not result.internal
    assert run(scan_file, tmp_path).status == Status.DONE


def test_a_full_disk_keeps_what_is_written(scan_file: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        break_step(
            patch, "report.html", OutputError("report.html was not written: the disk is full")
        )
        result = run(scan_file, tmp_path)
    assert result.status == Status.INCOMPLETE
    assert "the disk is full" in result.problem
    assert "defect" not in result.problem
    assert run(scan_file, tmp_path).status == Status.DONE


@pytest.mark.parametrize(("step", "done"), [("measure", 0), ("report", 0), ("report", 1)])
def test_a_case_that_is_stopped_in_a_later_step_is_taken_up(
    scan_file: Path, whole: Path, tmp_path: Path, step: str, done: int
) -> None:
    class Stopper(Listener):
        def step(self, name: str, at: int, total: int) -> None:
            if (name, at) == (step, done):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(scan_file, tmp_path, listener=Stopper())
    assert (tmp_path / "patient" / "segmentation.nii.gz").is_file()
    with pytest.MonkeyPatch.context() as patch:
        never_predict(patch)
        assert run(scan_file, tmp_path).status == Status.DONE
    same_results(tmp_path / "patient", whole)


def test_a_file_that_a_killed_run_was_writing_is_cleared_away(
    scan_file: Path, whole: Path, tmp_path: Path
) -> None:
    class Stopper(Listener):
        def step(self, name: str, at: int, total: int) -> None:
            if name == "report":
                raise KeyboardInterrupt

    for options in (SHOWN, replace(SHOWN, overwrite=True)):
        with pytest.raises(KeyboardInterrupt):
            run(scan_file, tmp_path, listener=Stopper())
        (tmp_path / "patient" / ".preview.png.0123abcd.part").write_bytes(b"half")
        assert run(scan_file, tmp_path, options).status == Status.DONE
        same_results(tmp_path / "patient", whole)
        (tmp_path / "patient" / "provenance.json").unlink()
        for path in (tmp_path / "patient").iterdir():
            path.unlink()


@pytest.mark.parametrize("name", LATER)
def test_a_deleted_file_of_a_finished_case_is_made_again(
    scan_file: Path, whole: Path, tmp_path: Path, name: str
) -> None:
    folder = shutil.copytree(whole, tmp_path / "patient")
    labels = (folder / "segmentation.nii.gz").stat().st_mtime_ns
    (folder / name).unlink()
    assert run(scan_file, tmp_path).status == Status.DONE
    assert (folder / "segmentation.nii.gz").stat().st_mtime_ns == labels
    same_results(folder, whole)


def test_labels_that_somebody_corrected_are_never_replaced(scan_file: Path, tmp_path: Path) -> None:
    folder = run(scan_file, tmp_path, PLAIN).folder
    assert folder is not None
    (folder / "measurements.json").unlink()
    (folder / "segmentation.nii.gz").write_bytes(b"corrected by hand")
    result = run(scan_file, tmp_path, PLAIN)
    assert result.status == Status.FAILED
    for word in ("measurements.json is missing", "was changed", "--overwrite"):
        assert word in result.problem
    assert (folder / "segmentation.nii.gz").read_bytes() == b"corrected by hand"
    forced = run(scan_file, tmp_path, replace(PLAIN, overwrite=True))
    assert forced.status == Status.DONE


def test_a_damaged_note_of_the_prediction_is_made_again(scan_file: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        break_step(patch, "measurements.json", ValueError("broken"))
        folder = run(scan_file, tmp_path, PLAIN).folder
    assert folder is not None
    (folder / "unfinished.safetensors").write_bytes(b"half")
    assert run(scan_file, tmp_path, PLAIN).status == Status.DONE


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    affine[:3, 3] = 0.1, 20.3, -7.7
    maps = [rng.integers(0, 256, (4, 5, n)).astype(np.uint8).transpose(2, 0, 1) for n in (6, 7)]
    labels = Volume(np.ones((2, 3, 4), np.uint8), np.eye(4), Kind.LABELS)
    kidney = Volume(maps[0], affine, Kind.PROBABILITY)
    fit = Fit(intercept=0.5, weights={"log_ml": 0.25})
    before = Segmented(
        labels,
        kidney,
        Volume(maps[1], affine, Kind.PROBABILITY),
        ("The scan's axes are 5° off.",),
        (RuleChange("holes", 3, 0.25, "3 voxels were filled."),),
        {"coarse": 1.5},
        "torch",
        spread=LookSpread(kidney, None, 4),
        fits=Fits(case=fit, lesion=fit, kind=fit, basis="three scans"),
    )
    save_prediction(tmp_path, before)
    after = load_prediction(tmp_path, labels)
    assert after is not None
    for part in dataclasses.fields(Segmented):
        one, two = getattr(before, part.name), getattr(after, part.name)
        if isinstance(one, Volume):
            np.testing.assert_array_equal(one.array, two.array)
            np.testing.assert_array_equal(one.affine, two.affine)
            assert one.kind == two.kind
        elif isinstance(one, LookSpread):
            np.testing.assert_array_equal(one.kidney.array, two.kidney.array)
            assert (two.lesion, two.looks) == (None, 4)
        else:
            assert one == two, part.name
    nothing = replace(before, kidney=None, lesion=None, spread=None, fits=None)
    save_prediction(tmp_path, nothing)
    again = load_prediction(tmp_path, labels)
    assert again is not None
    assert again.kidney is again.lesion is None


def test_an_error_before_the_labels_leaves_its_traceback(scan_file: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "predict", fail(RuntimeError(f"cannot use {scan_file}")))
        result = run(scan_file, tmp_path, PLAIN)
        again = run(scan_file, tmp_path, PLAIN)
    assert result.status == again.status == Status.FAILED
    assert result.internal
    assert everything_below(tmp_path) == ["patient/renalis-error.log"]
    text = (tmp_path / "patient" / "renalis-error.log").read_text()
    assert "RuntimeError: cannot use …" in text
    assert "in segment" in text
    assert run(scan_file, tmp_path, PLAIN).status == Status.DONE
    assert not (tmp_path / "patient" / "renalis-error.log").exists()


def test_a_traceback_stays_out_of_somebodys_folder(scan_file: Path, tmp_path: Path) -> None:
    (tmp_path / "patient").mkdir()
    (tmp_path / "patient" / "thesis.txt").write_text("years of work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "find_body", fail(RuntimeError("broken")))
        patch.setattr(CaseWork, "key", fail(RuntimeError("broken")))
        assert run(scan_file, tmp_path, PLAIN).status == Status.FAILED
    assert everything_below(tmp_path) == ["patient/thesis.txt"]


@pytest.mark.parametrize(
    "message",
    [
        "no such file: /home/clinic/MILLER^ANNA/1.dcm",
        "cannot read C:\\Scans\\Miller_Anna\\7.dcm",
        "value 'Miller Anna' is too long",
        "MILLER^ANNA^^ has no age",
        "study Miller_Anna",
        "UID 1.2.840.113619.2.55.3 twice",
    ],
)
def test_tracebacks_name_nobody(message: str) -> None:
    try:
        try:
            raise KeyError(message)
        except KeyError as inner:
            raise ValueError(f"for array of size 0: {message}") from inner
    except ValueError as error:
        text = traceback_of(error, ("patient", "Miller_Anna"))
    for word in ("iller", "ILLER", "clinic", "Scans", "113619", str(Path(__file__).parents[2])):
        assert word not in text.replace("raise KeyError(message)", ""), text
    assert "ValueError: for array of size 0: " in text
    assert "in test_tracebacks_name_nobody" in text


def test_messages_of_readers_are_left_out() -> None:
    import pydicom

    dataset = pydicom.Dataset()
    try:
        dataset.PatientName = "Miller^Anna"
        _ = dataset.Miller
    except AttributeError as error:
        text = traceback_of(error)
    assert "AttributeError: (left out" in text
    assert "pydicom/" in text


def test_the_command_says_it_once_and_debug_says_where(
    scan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["segment", str(scan_file), "-o", str(tmp_path), "--runtime", "torch"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "load_model", lambda *_: stub_model())
        patch.setattr(running, "find_body", fail(ZeroDivisionError("by nothing")))
        assert main([*words, "--debug", "--no-report"]) == 3
        error = capsys.readouterr().err
        assert "Traceback (most recent call last)" in error
        assert "in segment" in error
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "load_model", lambda *_: stub_model())
        break_step(patch, "report.html", ZeroDivisionError("by nothing"))
        assert main(words) == 1
        captured = capsys.readouterr()
        assert captured.err.count("report.html could not be made") == 1
        assert "Traceback" not in captured.err
        assert "0 of 1 scans done" in captured.out
        assert main([*words, "--debug", "--json"]) == 1
        captured = capsys.readouterr()
        assert "Traceback (most recent call last)" in captured.err
        assert json.loads(captured.out)[0]["status"] == "incomplete"
        assert "Miller" not in (tmp_path / "patient" / "renalis-error.log").read_text()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "load_model", lambda *_: stub_model())
        never_predict(patch)
        assert main(words) == 0


def test_other_options_do_not_touch_what_is_incomplete_and_say_how_to_finish(
    scan_file: Path, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        break_step(patch, "report.html", ValueError("no"))
        run(scan_file, tmp_path)
    result = run(scan_file, tmp_path, PLAIN)
    assert "repeat the command that made them" in result.problem
    assert run(scan_file, tmp_path).status == Status.DONE
