"""Whole trees of scans, label maps and studies: what is a scan, and where it lies."""

from __future__ import annotations

import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.dicom_writer import body, write_series

from renalis.errors import InputError
from renalis.io import find_scans, inventory, read_scan
from renalis.synthesis.cohort import Cohort, make_cohort

SHAPE = (40, 30, 20)


def ct(seed: int = 0) -> np.ndarray:
    """HU with noise, and air at the border."""
    hu = np.random.default_rng(seed).integers(-150, 200, SHAPE).astype(np.int16)
    hu[:4] = -1000
    return hu


def labels(values: tuple[int, ...] = (1, 2, 3)) -> np.ndarray:
    """A label map whose first half is 0."""
    array = np.zeros(SHAPE, np.uint8)
    for index, value in enumerate(values):
        array[5 + 2 * index : 7 + 2 * index, 10:20, 10 + index % 5 : 18] = value
    return array


def write(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([0.8, 0.8, 3.0, 1.0])), path)
    return path


def places(folder: Path) -> list[str]:
    return [scan.place for scan in find_scans([folder])]


def test_what_synthesize_writes_is_one_scan_each(tmp_path: Path) -> None:
    cohort = Cohort(2, spacing=(12, 9, 9), matrix=48, body_mm=6.0)
    assert len(list(make_cohort(cohort, None, tmp_path))) == 2
    found = inventory([tmp_path])
    assert [s.place for s in found.scans] == [
        "images/case_00000.nii.gz",
        "images/case_00001.nii.gz",
    ]
    assert len(found.remarks) == 1
    assert "2 label maps (labels/case_00000.nii.gz and others) left out" in found.remarks[0]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("a/kidney.nii.gz", labels((1,))),
        ("a/organs.nii.gz", labels(tuple(range(1, 118)))),
        ("a/organs.nii.gz", labels().astype(np.float32)),
        ("a/organs.nii.gz", labels((255,)).astype(np.int16)),
        ("segmentations/kidney_cyst_left.nii.gz", labels(())),
        ("labelsTr/a.nii.gz", labels()),
    ],
)
def test_label_maps_are_told_by_their_voxels(tmp_path: Path, name: str, array: np.ndarray) -> None:
    write(tmp_path / "ct.nii.gz", ct())
    write(tmp_path / name, array)
    assert places(tmp_path) == ["ct.nii.gz"]


def test_a_mask_of_nothing_is_left_out_beside_other_masks(tmp_path: Path) -> None:
    write(tmp_path / "ct.nii.gz", ct())
    write(tmp_path / "masks_of_mine" / "kidney_left.nii.gz", labels((1,)))
    write(tmp_path / "masks_of_mine" / "kidney_cyst_left.nii.gz", labels(()))
    assert places(tmp_path) == ["ct.nii.gz"]


@pytest.mark.parametrize(
    "name", ["labels/a.nii.gz", "segmentation.nii.gz", "a_mask.nii.gz", "labelsTr/a.nii.gz"]
)
@pytest.mark.parametrize("padding", [-1000, 0])
def test_a_ct_is_a_scan_whatever_it_is_called(tmp_path: Path, name: str, padding: int) -> None:
    hu = ct()
    hu[hu < -900] = padding
    hu = np.pad(hu, ((0, 0), (0, 0), (6, 0)), constant_values=padding)  # the first in the file
    write(tmp_path / name, hu)
    assert places(tmp_path) == [name]


def test_a_windowed_scan_is_no_label_map(tmp_path: Path) -> None:
    write(tmp_path / "a.nii.gz", ((ct() + 1000) // 5).clip(0, 255).astype(np.uint8))
    assert places(tmp_path) == ["a.nii.gz"]


def test_a_folder_of_label_maps_alone_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.nii.gz", labels())
    write(tmp_path / "b.nii.gz", labels())
    with pytest.raises(InputError, match=r"holds no CT scan but 2 label maps \(a\.nii\.gz"):
        read_scan(tmp_path)


def test_a_label_map_that_is_given_itself_is_refused_as_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a label map"):
        read_scan(write(tmp_path / "a.nii.gz", labels()))


def test_a_place_is_told_from_the_input_on(tmp_path: Path) -> None:
    write(tmp_path / "in" / "n" / "a.nii.gz", ct())
    write_series(tmp_path / "in" / "p" / "s" / "1", body())
    write_series(tmp_path / "in" / "p" / "s" / "2", body(), SeriesInstanceUID="1.2.3.1.6")
    with zipfile.ZipFile(tmp_path / "in" / "n" / "z.zip", "w") as archive:
        for file in write_series(tmp_path / "z", body(), StudyInstanceUID="1.2.9"):
            archive.write(file, f"inner/{file.name}")
    assert sorted(places(tmp_path / "in")) == ["n/a.nii.gz", "n/z.zip/inner", "p/s"]
    assert places(tmp_path / "in" / "n" / "a.nii.gz") == ["a.nii.gz"]
    assert places(tmp_path / "in" / "n" / "z.zip") == ["z.zip/inner"]
    assert places(tmp_path / "in" / "p" / "s" / "1") == ["1"]
    (scan,) = find_scans([tmp_path / "in" / "p"])
    assert read_scan(scan).source.place == "s"


def test_a_failure_names_the_folder_of_the_study(tmp_path: Path) -> None:
    write_series(tmp_path / "a", body())
    tags = {"StudyInstanceUID": "1.2.9", "SeriesInstanceUID": "1.2.9.1", "Modality": "MR"}
    write_series(tmp_path / "b" / "mr", body(), **tags)
    bad = next(s for s in find_scans([tmp_path]) if s.kind == "unreadable")
    assert bad.place == "b/mr"
    assert bad.problem.startswith(f"{tmp_path / 'b' / 'mr'} holds MR images and no CT")


def test_a_failure_in_a_zip_names_the_folder_in_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for uid in ("1.2.8", "1.2.9"):
            tags = {"StudyInstanceUID": uid, "SeriesInstanceUID": f"{uid}.1"}
            tags |= {"Modality": "MR"} if uid == "1.2.9" else {}
            for file in write_series(tmp_path / uid, body(), **tags):
                archive.write(file, f"{uid}/{file.name}")
    bad = next(s for s in find_scans([tmp_path / "z.zip"]) if s.kind == "unreadable")
    assert bad.problem.startswith(f"{tmp_path / 'z.zip'} (1.2.9) holds MR images and no CT")


def test_headers_of_other_programs_are_no_failed_scans(tmp_path: Path) -> None:
    """ENVI, Interfile and pictures of high range end in .hdr as well."""
    write_series(tmp_path / "s", body())
    (tmp_path / "pet.hdr").write_text("!INTERFILE :=\nname of data file := pet.img\n")
    (tmp_path / "pet.img").write_bytes(bytes(100))
    assert [s.kind for s in find_scans([tmp_path])] == ["dicom"]
