"""``--write``, steps of a case: each fails alone, is repeated alone, or refused early."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from helpers.dicom_writer import write_series
from helpers.stub import FAT, half_phantom, phantom, stub_model
from test_segment import PLAIN, save, with_air

from renalis.cli import main
from renalis.errors import OutputError, UsageError
from renalis.io import read_scan
from renalis.io.segments.dicom_seg import read_dicom_seg
from renalis.io.segments.stored import placed
from renalis.laterality import Midline
from renalis.measurement.numbering import numbered
from renalis.pipeline import CaseResult, SegmentOptions, Status, segment
from renalis.pipeline.formats import to_write
from renalis.volume import Kind, Volume

WRITTEN = replace(PLAIN, write=("nifti", "dicom-seg"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hu = np.asarray(with_air(phantom(spacing=(8.0, 4.0, 4.0))).array)
    place = tmp_path_factory.mktemp("input") / "study"
    write_series(place, hu, PixelSpacing=["4", "4"], step=(0, 0, 8.0), origin=(-110, -120, 0))
    return place


def run(path: Path, out: Path, options: SegmentOptions = WRITTEN) -> CaseResult:
    (result,) = segment(path, out, options, model=stub_model())
    return result


def test_the_object_holds_what_measurements_and_labels_hold(study: Path, tmp_path: Path) -> None:
    result = run(study, tmp_path)
    assert result.status == Status.DONE, result.problem
    assert result.folder is not None
    provenance = json.loads((result.folder / "provenance.json").read_text("utf-8"))
    assert "segmentation.dcm" in provenance["files"]
    path = result.folder / "segmentation.dcm"
    measured = json.loads((result.folder / "measurements.json").read_text("utf-8"))
    ids = [one["id"] for one in (*measured["kidneys"], *measured["lesions"])]
    found = [s.TrackingID for s in pydicom.dcmread(path).SegmentSequence]
    assert [name for name in found if name != "unassigned"] == ids
    assert {"left", "right", "tumor-1"} <= set(found)
    labels = nib.load(result.folder / "segmentation.nii.gz")
    grid = read_scan(study).volume
    read = placed(read_dicom_seg(path), grid, "it")
    np.testing.assert_array_equal(read.volume.array, np.asarray(labels.dataobj))
    assert run(study, tmp_path).status == Status.SKIPPED


def test_a_failed_object_costs_only_itself_and_is_made_later(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("renalis.io.segments.dicom_seg_out.write_dicom_seg", full)
        result = run(study, tmp_path)
    assert result.status == Status.INCOMPLETE
    assert "segmentation.dcm could not be made: the disk is full" in result.problem
    assert result.folder is not None
    assert (result.folder / "measurements.json").is_file()
    before = (result.folder / "segmentation.nii.gz").stat().st_mtime_ns
    monkeypatch.setattr("renalis.systems.coarse_to_fine.predict", full)  # not predicted again
    assert run(study, tmp_path).status == Status.DONE
    assert (result.folder / "segmentation.dcm").is_file()
    assert (result.folder / "segmentation.nii.gz").stat().st_mtime_ns == before


def test_a_scan_without_a_study_is_finished_and_says_what_it_lacks(tmp_path: Path) -> None:
    path = save(tmp_path / "scan.nii.gz", with_air(half_phantom((8.0, 4.0, 4.0))))
    result = run(path, tmp_path / "out")
    assert result.status == Status.DONE, result.problem
    (note,) = [note for note in result.notes if "not written" in note]
    assert note.startswith("segmentation.dcm was not written: the scan is no DICOM, so there is no")
    assert result.folder is not None
    assert (result.folder / "measurements.json").is_file()
    assert not (result.folder / "segmentation.dcm").exists()
    assert run(path, tmp_path / "out").status == Status.SKIPPED


def test_a_format_asked_for_later_is_added_to_the_same_labels(study: Path, tmp_path: Path) -> None:
    first = run(study, tmp_path, PLAIN)
    assert first.folder is not None
    before = (first.folder / "segmentation.nii.gz").stat().st_mtime_ns
    assert run(study, tmp_path).status == Status.DONE
    assert (first.folder / "segmentation.dcm").is_file()
    assert (first.folder / "segmentation.nii.gz").stat().st_mtime_ns == before
    assert run(study, tmp_path).status == Status.SKIPPED
    assert run(study, tmp_path, PLAIN).status == Status.SKIPPED


def test_where_nothing_is_found_there_is_no_object_and_a_note(tmp_path: Path) -> None:
    empty = phantom(spacing=(8.0, 4.0, 4.0))
    empty.array[...] = FAT
    hu = np.asarray(with_air(empty).array)
    write_series(tmp_path / "empty", hu, PixelSpacing=["4", "4"], step=(0, 0, 8.0))
    result = run(tmp_path / "empty", tmp_path / "out")
    assert result.status == Status.DONE, result.problem
    assert "segmentation.dcm was not written: nothing was found" in result.notes
    assert result.folder is not None
    assert not (result.folder / "segmentation.dcm").exists()
    assert run(tmp_path / "empty", tmp_path / "out").status == Status.SKIPPED


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (replace(WRITTEN, anonymous=True), "which --anonymous takes away"),
        (replace(WRITTEN, write=("nifti", "vtk")), "knows nifti, dicom-seg.*there is no 'vtk'"),
        (replace(WRITTEN, write=("dicom-seg",)), "always needs nifti"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(
    study: Path, tmp_path: Path, options: SegmentOptions, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        run(study, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_without_highdicom_the_command_says_what_to_install(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    words = ["segment", str(study), "-o", str(tmp_path / "out"), "--write", "nifti,dicom-seg"]
    assert main(words) == 2
    assert "pip install 'renalis[dicom]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


ALL = ("nifti", "dicom-seg", "dicom-seg-labelmap", "sr", "rtstruct", "nrrd", "mesh", "pdf")


def test_all_formats_at_once_and_again(study: Path, tmp_path: Path) -> None:
    result = run(study, tmp_path, replace(PLAIN, write=ALL))
    assert result.status == Status.DONE, result.problem
    assert result.folder is not None
    story = json.loads((result.folder / "provenance.json").read_text("utf-8"))
    wanted = {*to_write(ALL), "surface-left.stl", "surface-right.stl", "surface-tumor-1.stl"}
    assert wanted <= set(story["files"])
    assert all((result.folder / name).is_file() for name in story["files"])
    assert run(study, tmp_path, replace(PLAIN, write=ALL)).status == Status.SKIPPED
    (result.folder / "surface-left.stl").unlink()
    assert run(study, tmp_path, replace(PLAIN, write=ALL)).status == Status.DONE
    assert (result.folder / "surface-left.stl").is_file()
    # No file is named after the patient, and --overwrite takes all of them for its own.
    again = run(study, tmp_path, replace(PLAIN, write=ALL, overwrite=True))
    assert again.status == Status.DONE, again.problem


def test_a_scan_without_a_study_gets_the_formats_that_need_none(tmp_path: Path) -> None:
    path = save(tmp_path / "scan.nii.gz", with_air(half_phantom((8.0, 4.0, 4.0))))
    result = run(path, tmp_path / "out", replace(PLAIN, write=ALL))
    assert result.status == Status.DONE, result.problem
    assert result.folder is not None
    there = {file.name for file in result.folder.iterdir()}
    assert {"report.pdf", "segmentation.seg.nrrd", "surfaces.glb"} <= there
    assert not any(name.endswith(".dcm") for name in there)
    (note,) = [note for note in result.notes if "not written" in note]
    for name in ("segmentation.dcm", "measurements.dcm", "structures.dcm", "report.dcm"):
        assert name in note


def test_without_names_the_report_is_a_file_and_no_object(study: Path, tmp_path: Path) -> None:
    options = replace(PLAIN, anonymous=True, write=("nifti", "nrrd", "pdf"))
    result = run(study, tmp_path, options)
    assert result.status == Status.DONE, result.problem
    assert result.folder is not None
    there = {file.name for file in result.folder.iterdir()}
    assert {"report.pdf", "segmentation.seg.nrrd"} <= there
    assert "report.dcm" not in there
    for file in ("report.pdf", "segmentation.seg.nrrd"):
        assert b"4711" not in (result.folder / file).read_bytes()


def test_one_writer_that_fails_costs_only_its_file(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    options = replace(PLAIN, write=("nifti", "dicom-seg", "sr", "rtstruct", "nrrd"))
    with monkeypatch.context() as patch:
        patch.setattr("renalis.io.segments.dicom_seg_out.write_dicom_seg", broken)
        patch.setattr("renalis.io.segments.rtstruct_out.write_rtstruct", broken)
        result = run(study, tmp_path, options)
    assert result.status == Status.INCOMPLETE
    assert result.internal
    assert "segmentation.dcm and structures.dcm could not be made" in result.problem
    assert result.folder is not None
    assert (result.folder / "segmentation.seg.nrrd").is_file()
    # The report does not refer to a segmentation that there is not.
    report = (result.folder / "measurements.dcm").read_bytes()
    assert b"1.2.840.10008.5.1.4.1.1.66.4" not in report
    assert run(study, tmp_path, options).status == Status.DONE
    assert (result.folder / "structures.dcm").is_file()
    assert b"1.2.840.10008.5.1.4.1.1.66.4" in (result.folder / "measurements.dcm").read_bytes()


def test_our_own_evaluation_reads_what_was_written(study: Path, tmp_path: Path) -> None:
    formats = ("nifti", "dicom-seg", "rtstruct", "nrrd")
    result = run(study, tmp_path / "out", replace(PLAIN, write=formats))
    assert result.folder is not None
    for file in ("segmentation.dcm", "structures.dcm", "segmentation.seg.nrrd"):
        words = ["evaluate", "-r", str(result.folder / "segmentation.nii.gz"), "-o",
                 str(tmp_path / file), "-p", str(result.folder / file)]  # fmt: skip
        assert main(words) == 0
        scores = json.loads((tmp_path / file / "metrics.json").read_text("utf-8"))
        (case,) = scores["cases"]
        assert set(_dices(case)) == {1.0}, file


def _dices(found: object) -> list[float]:
    """All Dice scores somewhere in a record."""
    if isinstance(found, list):
        return [score for one in found for score in _dices(one)]
    if not isinstance(found, dict):
        return []
    own = [value for name, value in found.items() if name == "dice" and isinstance(value, float)]
    return [*own, *(score for one in found.values() for score in _dices(one))]


def test_every_labeled_voxel_has_one_number_in_any_orientation() -> None:
    array = np.zeros((60, 50, 40), np.uint8)
    array[8:20, 10:30, 5:25] = 1
    array[40:52, 10:30, 5:25] = 1
    array[18:24, 12:18, 8:14] = 2
    array[42:45, 12:15, 8:11] = 3
    array[30, 40, 35] = 1  # a speck that belongs to no kidney
    labels = Volume(array, np.diag([3.0, 3.0, 3.0, 1.0]), Kind.LABELS)
    seen = []
    for codes in ("RAS", "SPL", "LPI", "ARS"):
        turned = labels.reoriented(codes)
        found = numbered(turned, Midline(90.0))
        assert found.volume.same_grid(turned)
        kinds = np.array([0, *(one.label for one in found.structures)])
        np.testing.assert_array_equal(kinds[found.volume.array], turned.array)
        seen.append([one.id for one in found.structures])
    assert seen == [["left", "right", "unassigned", "tumor-1", "cyst-1"]] * 4
