"""Names of cases: stable, telling nobody's name, and none of a series that is no choice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.dicom_writer import body, write_series
from hypothesis import given
from hypothesis import strategies as st

from renalis.errors import InputError
from renalis.io import find_scans, inventory, read_scan
from renalis.io.case_names import Study, study_names


def code(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:8]


def study(folder: Path, uid: str, first: int = 0, **tags: str) -> None:
    """A study in a folder, beside others that may lie there."""
    name = f"{first}_{{:04d}}.dcm"
    series = f"{uid}.1"
    write_series(folder, body(), name=name, StudyInstanceUID=uid, SeriesInstanceUID=series, **tags)


def names(folder: Path) -> dict[str, str]:
    return {scan.study_uid: scan.case_id for scan in find_scans([folder])}


def test_a_study_in_a_flat_folder_keeps_its_name_whatever_lies_beside_it(tmp_path: Path) -> None:
    flat = tmp_path / "export"
    study(flat, "1.2.5", 2)
    study(flat, "1.2.6", 1)
    two = names(flat)
    assert two == {uid: f"export_{code(uid)}" for uid in ("1.2.5", "1.2.6")}
    study(flat, "1.2.0", 0)  # the first by its files, and by its UID
    assert names(flat) == two | {"1.2.0": f"export_{code('1.2.0')}"}


def test_a_study_with_a_folder_of_its_own_is_named_after_it(tmp_path: Path) -> None:
    study(tmp_path / "sub-01" / "2019", "1.2.5")
    study(tmp_path / "sub-01" / "2021", "1.2.6")
    study(tmp_path / "sub-02" / "2019" / "series", "1.2.7")
    study(tmp_path / "sub-03", "1.2.8", 1)
    study(tmp_path / "sub-03", "1.2.9", 2)
    assert names(tmp_path) == {
        "1.2.5": "sub-01_2019",
        "1.2.6": "sub-01_2021",
        "1.2.7": "sub-02",
        "1.2.8": f"sub-03_{code('1.2.8')}",
        "1.2.9": f"sub-03_{code('1.2.9')}",
    }


def test_a_folder_that_tells_the_patient_gives_a_hash_of_the_study(tmp_path: Path) -> None:
    study(tmp_path / "in" / "Muster_Erika", "1.2.5")
    study(tmp_path / "in" / "sub-02", "1.2.6")
    assert names(tmp_path / "in") == {"1.2.5": f"case_{code('1.2.5')}", "1.2.6": "sub-02"}


def test_equal_folders_in_several_inputs_are_told_apart_by_the_study(tmp_path: Path) -> None:
    for place, uid in (("a", "1.2.5"), ("b", "1.2.6")):
        study(tmp_path / place / "CT", uid)
    inputs = [tmp_path / "a" / "CT", tmp_path / "b" / "CT"]
    for order in (inputs, inputs[::-1]):
        found = {scan.study_uid: scan.case_id for scan in find_scans(order)}
        assert found == {uid: f"CT_{code(uid + group)}" for uid, group in groups(order).items()}


def groups(inputs: list[Path]) -> dict[str, str]:
    return {scan.study_uid: scan.group for scan in find_scans(inputs)}


def test_equal_files_in_equal_folders_are_told_apart_by_their_place(tmp_path: Path) -> None:
    for name in ("a/x/ct.nii.gz", "b/x/ct.nii.gz", "b/y/ct.nii.gz"):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        hu = np.random.default_rng(0).integers(-150, 200, (9, 9, 9)).astype(np.int16)
        nib.save(nib.Nifti1Image(hu, np.eye(4)), tmp_path / "in" / name)
    found = [scan.case_id for scan in find_scans([tmp_path / "in"])]
    assert found == ["in_a_x_ct", "in_b_x_ct", "y_ct"]


@given(st.permutations(range(5)), st.sets(st.integers(0, 4), min_size=2))
def test_names_depend_neither_on_the_order_nor_on_studies_elsewhere(
    order: list[int], kept: set[int]
) -> None:
    folders = ["p1/a", "p1/b", "p2", "", "p3/deep/er"]
    studies = [
        Study(f"1.2.{n}", "", frozenset(), {f"{folder}/{k}".strip("/") for k in range(n, n + 9, 3)})
        for n, folder in enumerate(folders)
    ]
    # One that shares the top keeps the folders below from being the place of a single study.
    always = [Study("1.2.9", "", frozenset(), {"z", "p1/z"})]
    whole = dict(zip(range(5), study_names("in", [*studies, *always]), strict=False))
    picked = [n for n in order if n in kept]
    some = study_names("in", [*always, *(studies[n] for n in picked)])[1:]
    assert some == [whole[n] for n in picked]


def test_anonymous_names_follow_from_the_study_or_the_content(tmp_path: Path) -> None:
    study(tmp_path / "in" / "Zimmer 12 links", "1.2.5")
    path = tmp_path / "in" / "Schmidt.nii.gz"
    hu = np.random.default_rng(0).integers(-150, 200, (9, 9, 9)).astype(np.int16)
    nib.save(nib.Nifti1Image(hu, np.eye(4)), path)
    content = hashlib.sha256(hashlib.sha256(path.read_bytes()).digest()).hexdigest()[:8]
    found = inventory([tmp_path / "in"], anonymous=True).scans
    assert [s.case_id for s in found] == [f"case_{content}", f"case_{code('1.2.5')}"]
    (alone,) = inventory([path.rename(tmp_path / "Meier.nii.gz")], anonymous=True).scans
    assert alone.case_id == f"case_{content}"


def test_choices_of_series_are_described_and_what_is_none_is_grouped(tmp_path: Path) -> None:
    def series(number: int, slices: int, description: str, **tags: object) -> None:
        uid = f"1.2.3.1.{number}"
        folder = tmp_path / str(number)
        tags = {"SeriesInstanceUID": uid, "SeriesNumber": number} | tags
        write_series(folder, body(slices), SeriesDescription=description, **tags)

    series(1, 2, "Topogram", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    series(2, 12, "Abdomen portal venous", ConvolutionKernel="B30f")
    series(3, 10, "Abdomen nativ", step=(0, 0, 5.0), SliceThickness="5")
    for index in range(8):
        write_series(
            tmp_path / f"t{index}",
            body(1) + 9,
            SeriesInstanceUID="1.2.3.1.4",
            SeriesNumber=4,
            SeriesDescription="Monitoring",
            AcquisitionNumber=index,
            AcquisitionTime=f"10150{index}",
        )
    with pytest.raises(InputError) as refused:
        read_scan(tmp_path, series="77")
    assert str(refused.value).endswith(
        "it has: series 2 'Abdomen portal venous' (CT, 12 slices of 0.7 × 0.9 × 3 mm, "
        "nephrographic, kernel B30f); "
        "series 3 'Abdomen nativ' (CT, 10 slices of 0.7 × 0.9 × 5 mm, unenhanced); "
        "and no volumes (localizer, all 8 images have the same ImagePositionPatient and no "
        "SliceLocation): 1, 4"
    )
