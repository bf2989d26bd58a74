"""Objects that go back into a study: valid, of the right patient, and of what was measured."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import highdicom
import pydicom
import pytest
from helpers.finished_case import GEOMETRIES, finished, study_in
from pydicom.sr.codedict import codes

from renalis.pipeline.formats import FORMATS, PDF, PDF_OBJECT, SEG, SEG_LABELMAP, SR
from renalis.pipeline.outputs import FinishedCase, write_output

OBJECTS = [f for one in FORMATS.values() for f in one.study_files if f != SEG_LABELMAP]
"""All but the label map, whose kind dciodvfy of Debian 12 does not know yet."""


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> FinishedCase:
    return finished(study_in(tmp_path_factory.mktemp("study")))


def all_written(folder: Path, case: FinishedCase) -> dict[str, pydicom.Dataset]:
    for file in OBJECTS:
        assert write_output(folder, case, file) == [file]
    return {file: pydicom.dcmread(folder / file) for file in OBJECTS}


def errors_of(path: Path) -> list[str]:
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True)
    return [line for line in done.stderr.splitlines() if line.startswith("Error")]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not here")
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_dciodvfy_finds_no_error(tmp_path: Path, geometry: str) -> None:
    case = finished(study_in(tmp_path / "study", **GEOMETRIES[geometry]))
    vars(case)["pdf"] = b"%PDF-1.4 is the same in every geometry"
    all_written(tmp_path, case)
    assert [line for file in OBJECTS for line in errors_of(tmp_path / file)] == []


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not here")
def test_headers_that_lack_or_break_values_make_valid_objects(tmp_path: Path) -> None:
    def broken(data: pydicom.Dataset, _: int) -> None:
        data.SpecificCharacterSet = "ISO_IR 100"
        data.PatientName = "Müller^Jörg"
        data.PatientSex = "W"
        data.add_new("StudyDate", "DA", "2020")
        for tag in ("StudyTime", "PatientID"):
            delattr(data, tag)

    case = finished(study_in(tmp_path / "study", change=broken))
    vars(case)["pdf"] = b"%PDF-1.4"
    write_output(tmp_path, case, SR)  # alone: it refers to no segments
    assert errors_of(tmp_path / SR) == []
    for file, data in all_written(tmp_path, case).items():
        assert str(data.PatientName) == "Müller^Jörg"
        assert (data.PatientSex, data.StudyDate, data.PatientID) == ("", "", "")
        assert errors_of(tmp_path / file) == [], file


def test_all_are_of_the_patient_and_study_and_say_what_they_are(
    case: FinishedCase, tmp_path: Path
) -> None:
    made = all_written(tmp_path, case)
    for data in made.values():
        assert (data.PatientName, data.PatientID) == ("Muster^Erika", "4711")
        assert data.StudyInstanceUID == "1.2.3.1"
        assert data.Manufacturer == "renalis"
        assert data.ManufacturerModelName == "renalis-kidney 12"
        assert data.private_block(0x0099, "RENALIS")[1].value.startswith("Research software")
        assert "research only" in data.SeriesDescription
    for tag in ("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber"):
        assert len({data[tag].value for data in made.values()}) == len(OBJECTS)


def test_the_same_case_gives_the_same_bytes(case: FinishedCase, tmp_path: Path) -> None:
    again = finished(case.scan)
    for folder, one in ((tmp_path / "a", case), (tmp_path / "b", again)):
        all_written(folder, one)
        write_output(folder, one, PDF)
    for file in (*OBJECTS, PDF):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def groups_of(path: Path) -> list[highdicom.sr.MeasurementsAndQualitativeEvaluations]:
    report = highdicom.sr.srread(path).content
    return [
        *report.get_volumetric_roi_measurement_groups(),
        *report.get_image_measurement_groups(),
    ]


def numbers_of(group: highdicom.sr.MeasurementsAndQualitativeEvaluations) -> dict[str, float]:
    found = {}
    for one in group.get_measurements():
        derivation = f" {one.derivation.meaning}" if one.derivation else ""
        found[f"{one.name.meaning}{derivation} ({one.unit.value})"] = float(one.value)
    return found


def test_the_report_holds_what_was_measured_and_refers_to_segments(
    case: FinishedCase, tmp_path: Path
) -> None:
    write_output(tmp_path, case, SEG)
    write_output(tmp_path, case, SR)
    segmentation = pydicom.dcmread(tmp_path / SEG)
    tracked = {s.TrackingUID: s for s in segmentation.SegmentSequence}
    groups = groups_of(tmp_path / SR)
    measured = case.measured
    assert len(groups) == len(measured.kidneys) + len(measured.lesions) == 4
    for group in groups:
        segment = tracked[group.tracking_uid]
        (item,) = [i for i in group[0].ContentSequence if i.name == codes.DCM.ReferencedSegment]
        assert item.referenced_sop_instance_uid == segmentation.SOPInstanceUID
        assert item.referenced_segment_numbers == [segment.SegmentNumber]
        assert segment.TrackingID == group.tracking_identifier
        assert group.finding_sites[0].value == codes.SCT.Kidney
    by_id = {group.tracking_identifier: group for group in groups}
    tumor = next(lesion for lesion in measured.lesions if lesion.id == "tumor-1")
    assert by_id["tumor-1"].finding_type == codes.SCT.Neoplasm
    assert by_id["tumor-1"].finding_sites[0].laterality.meaning.lower() == str(tumor.side)
    assert numbers_of(by_id["tumor-1"]) == pytest.approx(
        {
            "Volume (ml)": tumor.volume_ml,
            "Long axis (mm)": tumor.axial_mm,
            "Short axis (mm)": tumor.axial_short_mm,
            "Diameter Maximum (mm)": tumor.diameter_mm,
            "Attenuation Coefficient Mean ([hnsf'U])": tumor.intensity.mean_hu,
            "Attenuation Coefficient Standard Deviation ([hnsf'U])": tumor.intensity.sd_hu,
            "Attenuation Coefficient Median ([hnsf'U])": tumor.intensity.median_hu,
        },
        abs=1e-3,
    )
    kidney = measured.kidney("left")
    assert numbers_of(by_id["left"])["Volume (ml)"] == pytest.approx(kidney.parenchyma_ml, abs=1e-3)


def test_without_a_segmentation_the_report_refers_to_the_images_that_show_it(
    case: FinishedCase, tmp_path: Path
) -> None:
    write_output(tmp_path, case, SR)
    images = {one.sop_instance_uid: one.place for one in case.scan.source.slices}
    for group in groups_of(tmp_path / SR):
        (source,) = group.source_images
        lesion = [one for one in case.measured.lesions if one.id == group.tracking_identifier]
        if lesion:
            assert images[source.referenced_sop_instance_uid] == lesion[0].axial_slice


def test_the_pdf_is_the_same_in_the_study_and_as_a_file(case: FinishedCase, tmp_path: Path) -> None:
    write_output(tmp_path, case, PDF)
    write_output(tmp_path, case, PDF_OBJECT)
    data = pydicom.dcmread(tmp_path / PDF_OBJECT)
    pdf = (tmp_path / PDF).read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert data.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert data.EncapsulatedDocument[: data.EncapsulatedDocumentLength] == pdf
    assert len(data.SourceInstanceSequence) == len(case.scan.source.slices)
