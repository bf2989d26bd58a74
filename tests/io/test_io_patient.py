"""Patients: kept apart, and not told by case ids or by the sentences kept with a result."""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.dicom_writer import body, write_series
from pydicom.dataset import Dataset

from renalis.io import find_scans, read_scan

GAPS = [0, 1, 2, *range(4, 13)]


def without(*tags: str):
    """A change that removes tags."""

    def change(data: Dataset, index: int) -> None:
        for tag in tags:
            delattr(data, tag)

    return change


def test_warnings_of_a_dicom_scan_name_the_case_and_no_path(tmp_path: Path) -> None:
    folder = tmp_path / "MUSTER_ERIKA"
    files = write_series(folder, body(), places=GAPS)
    (folder / "MUSTER_bad.dcm").write_bytes(files[5].read_bytes()[:300])
    write_series(tmp_path / "MUSTER_ERIKA" / "2", body(3, 16, 16))
    write_series(folder / "Muster", body(2), StudyInstanceUID="1.9", SeriesInstanceUID="1.9.1")
    scan = read_scan(folder)
    assert len(scan.warnings) >= 4
    for warning in scan.warnings:
        assert warning.startswith(scan.case_id)
        assert "muster" not in warning.lower()


def test_warnings_of_a_nifti_scan_name_the_case_and_no_path(tmp_path: Path) -> None:
    folder = tmp_path / "MUSTER_ERIKA"
    folder.mkdir()
    values = np.random.default_rng(0).integers(0, 2000, (6, 7, 8)).astype(np.int32)
    values[0, 0, 0] = 70000
    image = nib.Nifti1Image(values, None)
    image.header["pixdim"][1:4] = 30
    nib.save(image, folder / "ct.nii.gz")
    scan = read_scan(folder / "ct.nii.gz")
    assert len(scan.warnings) == 4
    for warning in scan.warnings:
        assert warning.startswith("ct: ")
        assert "MUSTER" not in warning


def test_patients_with_equal_uids_are_two_cases(tmp_path: Path) -> None:
    write_series(tmp_path / "p1", body(), PatientID="A1")
    write_series(tmp_path / "p2", body(), PatientID="B2", origin=(-100, -80, 56))
    sources = find_scans([tmp_path])
    assert [s.case_id for s in sources] == ["p1", "p2"]
    for source in sources:
        scan = read_scan(source)
        assert scan.volume.shape[2] == 12
        assert {s.file[:2] for s in scan.source.slices} == {source.case_id}
        assert "A1" not in repr(source)


def test_patients_with_equal_uids_stay_apart_when_headers_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("renalis.io.find._MOST_HEADERS", 10)
    write_series(tmp_path / "p1", body(), PatientID="A1")
    write_series(tmp_path / "p2", body(), PatientID="B2", origin=(-100, -80, 56))
    for source in find_scans([tmp_path]):
        assert not hasattr(source.headers, "frames")
        assert read_scan(source).volume.shape[2] == 12


@pytest.mark.parametrize(
    "tags", [("StudyInstanceUID",), ("StudyInstanceUID", "SeriesInstanceUID", "PatientID")]
)
def test_subfolders_without_study_uids_are_cases(tmp_path: Path, tags) -> None:
    write_series(tmp_path / "p1", body(), change=without(*tags))
    write_series(tmp_path / "p2", body(), change=without(*tags), origin=(-100, -80, 56))
    sources = find_scans([tmp_path])
    assert [s.case_id for s in sources] == ["p1", "p2"]
    assert [read_scan(s).volume.shape[2] for s in sources] == [12, 12]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("WU_LI", "Wu^Li"),
        ("Li_Wu_CT", "Wu^Li"),
        ("LIWU", "Wu^Li"),
        ("MusterErika2", "Muster^Erika"),
        ("erikamuster", "Muster^Erika"),
        ("MustermeierCT", "Muster-Meier^Erika"),
        (unicodedata.normalize("NFD", "Müller"), "Müller^Ö"),
        ("Müller2", unicodedata.normalize("NFD", "Müller^Ö")),
        ("Mueller", "Müller^Ö"),
        ("Muller", "Mueller^Ö"),
        ("Müller", "Mueller^Ö"),
        ("Grosse", "Große^Ada"),
        ("ONeil", "O'Neil^Ed"),
        ("O'Neil", "O'Neil^Ed"),
        ("o_neil", "ONeil^Ed"),
        ("ct_joe", "Bar^Joe"),
        ("山田太郎", "Yamada^Tarou=山田^太郎"),
        ("P0047110815_CT", "X^Y"),
        ("scan-P004-7110815", "X^Y"),
        ("ct19600102", "X^Y"),
        ("1960-01-02", "X^Y"),
        ("CT 02.01.1960", "X^Y"),
    ],
)
def test_folders_that_tell_the_patient_give_no_case_id(
    tmp_path: Path, folder: str, name: str
) -> None:
    write_series(
        tmp_path / folder,
        body(2),
        SpecificCharacterSet="ISO_IR 192",
        PatientName=name,
        PatientID="P0047110815",
        PatientBirthDate="19600102",
    )
    (source,) = find_scans([tmp_path / folder])
    assert source.case_id.startswith("case_")
    assert len(source.case_id) == len("case_") + 8


@pytest.mark.parametrize(
    "folder", ["scan7", "case_0007", "CT_abdomen_WU", "study_1960", "Mull", "LI"]
)
def test_other_folders_keep_their_names(tmp_path: Path, folder: str) -> None:
    write_series(
        tmp_path / folder,
        body(2),
        PatientName="Wu^Li Mueller",
        PatientID="7",
        PatientBirthDate="19600102",
    )
    (source,) = find_scans([tmp_path / folder])
    assert source.case_id == folder


@pytest.mark.parametrize("pseudonym", ["KiTS-00210", "sub-012", "PAT00001", "12-A"])
def test_pseudonyms_of_studies_stay_the_names_of_cases(tmp_path: Path, pseudonym: str) -> None:
    write_series(tmp_path / pseudonym, body(2), PatientID=pseudonym)
    (source,) = find_scans([tmp_path / pseudonym])
    assert source.case_id == pseudonym


def test_folders_of_deidentified_studies_keep_their_names(tmp_path: Path) -> None:
    write_series(
        tmp_path / "0047110815", body(2), PatientID="0047110815", PatientIdentityRemoved="YES"
    )
    (source,) = find_scans([tmp_path / "0047110815"])
    assert source.case_id == "0047110815"


def test_only_hashes_of_identifiers_are_kept(tmp_path: Path) -> None:
    write_series(tmp_path, body(2), PatientID="P0047110815", PatientBirthDate="19600102")
    (source,) = find_scans([tmp_path])
    (tags,) = {frame.series for frame in source.headers.frames}
    kept = f"{source!r} {tags!r} {sorted(tags.patient)} {tags.owner} {source.group}".lower()
    for identifier in ("muster", "erika", "p0047110815", "19600102"):
        assert identifier not in kept


def test_a_study_whose_files_are_written_anew_is_another_state(tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    write_series(folder, body())
    (first,) = find_scans([folder])
    (again,) = find_scans([folder])
    assert first.state == again.state != ""
    file = sorted(folder.glob("*"))[3]
    file.write_bytes(file.read_bytes())
    os.utime(file, ns=(10**18, 10**18))
    (later,) = find_scans([folder])
    assert later.state != first.state
    # A zip is one file, whose size and time tell as much.
    archive = Path(shutil.make_archive(str(tmp_path / "scan"), "zip", folder))
    assert find_scans([archive])[0].state == ""
