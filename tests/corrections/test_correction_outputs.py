"""A correction brings what the model's result has: report, DICOM objects, surfaces."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest
from helpers.finished_case import labels_of, study_in

from renalis.conventions import Label
from renalis.corrections import Result, find_results, newest, read_case_scan, save
from renalis.io import Scan, write_labels
from renalis.io.segments.dicom_seg import read_dicom_seg
from renalis.io.segments.stored import placed
from renalis.measurement import measure
from renalis.pipeline import outputs
from renalis.volume import Kind, Volume

OBJECTS = ("segmentation.dcm", "measurements.dcm", "structures.dcm", "report.dcm")


def segmented(folder: Path, formats: tuple[str, ...], **more: object) -> tuple[Result, Scan]:
    """A study in ``scan`` and its result in ``out/case``, which was written in these formats."""
    scan = study_in(folder / "scan")
    case = folder / "out" / "case"
    case.mkdir(parents=True)
    labels = scan.volume.like(labels_of(), Kind.LABELS)
    write_labels(case / "segmentation.nii.gz", labels, scan)
    (case / "measurements.json").write_text(measure(scan.volume, labels).to_json())
    series = scan.source.series
    assert series is not None
    made = {
        "case": "case",
        "files": ["segmentation.nii.gz", "measurements.json", "preview.png", "report.html"],
        "formats": list(formats),
        "source": {"kind": "dicom", "series": {"uid": series.uid, "number": series.name}},
        "scan": "../../scan",
        "model": {"name": "renalis-kidney", "version": "12", "licence": "CC BY-NC-SA-4.0"},
        "notes": [],
    } | more
    (case / "provenance.json").write_text(json.dumps(made))
    (result,) = find_results(folder / "out")
    return result, read_case_scan(result)


def all_cysts(scan: Scan) -> Volume:
    array = labels_of()
    array[array == Label.TUMOR] = Label.CYST
    return scan.volume.like(array, Kind.LABELS)


def test_objects_of_a_correction_hold_its_labels_and_say_that_a_person_was_there(
    tmp_path: Path,
) -> None:
    pytest.importorskip("highdicom")
    result, scan = segmented(tmp_path, ("dicom-seg", "sr", "rtstruct", "pdf", "nrrd"))
    made = save(result, scan, all_cysts(scan), who="A. Reader")

    assert "not_written" not in made.record
    names = {path.name for path in made.folder.iterdir()}
    assert names >= {*OBJECTS, "report.pdf", "report.html", "preview.png", "segmentation.seg.nrrd"}
    for name in OBJECTS:
        assert "corrected" in pydicom.dcmread(made.folder / name).SeriesDescription
    seg = pydicom.dcmread(made.folder / "segmentation.dcm")
    assert {one.SegmentAlgorithmType for one in seg.SegmentSequence} == {"SEMIAUTOMATIC"}
    assert not [one for one in seg.SegmentSequence if "umor" in one.SegmentLabel]
    outlines = pydicom.dcmread(made.folder / "structures.dcm")
    algorithms = {one.ROIGenerationAlgorithm for one in outlines.StructureSetROISequence}
    assert algorithms == {"SEMIAUTOMATIC"}
    read = placed(read_dicom_seg(made.folder / "segmentation.dcm"), scan.volume, "it")
    assert (read.volume.array == all_cysts(scan).array).all()
    assert "Corrected by hand (A. Reader)" in (made.folder / "report.html").read_text()


def test_a_result_without_names_gets_no_objects_that_name_the_patient(tmp_path: Path) -> None:
    result, scan = segmented(tmp_path, ("pdf",))
    del result.made["scan"]  # type: ignore[attr-defined]
    made = save(result, scan, all_cysts(scan))
    assert (made.folder / "report.pdf").is_file()
    assert not (made.folder / "report.dcm").exists()


def test_what_fails_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result, scan = segmented(tmp_path, ("rtstruct", "nrrd"))

    def broken(path: Path, case: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setitem(outputs._WRITERS, "structures.dcm", (broken, False))
    made = save(result, scan, all_cysts(scan))
    assert newest(result).name == made.name == "0001"
    (sentence,) = made.record["not_written"]
    assert sentence.startswith("structures.dcm could not be made: ")
    assert (made.folder / "segmentation.seg.nrrd").is_file()
    assert not list(made.folder.glob("*.partial"))
