"""The check finds each kind of fault that real datasets have, and nothing in a sound one."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.small_datasets import (
    KITS_AFFINE,
    SHAPE,
    kits_case,
    labels_with,
    plain_case,
    save,
    scan_of,
)

from renalis.conventions import Convention
from renalis.dataset import open_dataset
from renalis.dataset.case_facts import examine
from renalis.dataset.cases import Case
from renalis.dataset.check import CheckReport, check_dataset
from renalis.dataset.findings import Level
from renalis.volume import Volume

RAS = np.diag([0.8, 0.8, 3.0, 1.0])


def _codes(report: CheckReport, case: str) -> set[tuple[str, str]]:
    return {(f.level.value, f.code) for f in report.findings if f.case == case}


def _plain(tmp_path: Path) -> Path:
    """Three sound cases."""
    for number, name in enumerate(("a", "b", "c")):
        plain_case(tmp_path, name, labels_with(20 + number))
    return tmp_path


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("quick", [False, True])
def test_sound_kits_cases_have_notes_only(tmp_path: Path, quick: bool, jobs: int) -> None:
    (tmp_path / "kits.json").write_text('[{"case_id": "case_00000", "age": 60}]')
    for number in (0, 1):
        kits_case(tmp_path, number, labels=labels_with(20 + number))
    kits_case(tmp_path, 210, label=None)
    report = check_dataset(open_dataset(tmp_path, "kits19"), quick=quick, jobs=jobs)
    assert (report.cases, report.labelled, report.faulty) == (3, 2, ())
    assert {(f.level, f.code) for f in report.findings} == {(Level.NOTE, "slices-first")}
    assert len(report.findings) == 3


def test_shape_and_grid(tmp_path: Path) -> None:
    root = _plain(tmp_path)
    save(root / "labels/a.nii.gz", labels_with(shape=(9, 16, 15)))
    flipped = KITS_AFFINE.copy()
    flipped[2, 0] = 3.0
    save(root / "labels/b.nii.gz", labels_with(), flipped)
    report = check_dataset(open_dataset(root, convention="kits23"))
    assert ("error", "shape") in _codes(report, "a")
    assert ("error", "grid") in _codes(report, "b")
    (sentence,) = (f.sentence for f in report.findings if f.code == "grid")
    assert f"{2 * 3.0 * (SHAPE[0] - 1):.2f} mm apart" in sentence
    assert report.faulty == ("a", "b")


def test_another_axis_order_is_no_error(tmp_path: Path) -> None:
    root = _plain(tmp_path)
    turned = nib.as_closest_canonical(nib.load(root / "labels/a.nii.gz"))
    save(root / "labels/a.nii.gz", np.asarray(turned.dataobj), turned.affine)
    report = check_dataset(open_dataset(root, convention="kits23"))
    assert ("warning", "axis-order") in _codes(report, "a")
    assert report.faulty == ()
    # The kidneys are still where they are: half of the voxels are not fat.
    assert ("warning", "kidney-hu") not in _codes(report, "a")


def test_label_values(tmp_path: Path) -> None:
    root = _plain(tmp_path)
    save(root / "labels/a.nii.gz", labels_with(cyst=4))
    save(root / "labels/b.nii.gz", np.zeros(SHAPE, np.uint8))
    save(root / "labels/c.nii.gz", labels_with() * np.float32(0.5))
    report = check_dataset(open_dataset(root, convention="kits19"))
    assert ("error", "label-values") in _codes(report, "a")
    assert ("warning", "empty-labels") in _codes(report, "b")
    assert ("error", "unreadable-labels") in _codes(report, "c")
    right = check_dataset(open_dataset(root, convention="kits23"))
    assert ("error", "label-values") not in _codes(right, "a")


def test_shifted_labels_are_noticed_by_their_hu(tmp_path: Path) -> None:
    root = _plain(tmp_path)
    save(root / "labels/a.nii.gz", np.roll(labels_with(), 4, axis=0))
    report = check_dataset(open_dataset(root, convention="kits23"))
    assert ("warning", "kidney-hu") in _codes(report, "a")
    assert ("warning", "kidney-hu") not in _codes(report, "b")


def test_duplicates_in_other_wrapping(tmp_path: Path) -> None:
    root = _plain(tmp_path)
    image = nib.load(root / "images/a.nii.gz")
    canonical = nib.as_closest_canonical(image)
    (root / "images/b.nii.gz").unlink()
    save(root / "images/b.nii", np.asarray(canonical.dataobj), canonical.affine)
    report = check_dataset(open_dataset(root, convention="kits23"))
    assert ("error", "duplicate") in _codes(report, "a")
    assert ("error", "duplicate") in _codes(report, "b")
    assert ("error", "duplicate") not in _codes(report, "c")
    quick = check_dataset(open_dataset(root, convention="kits23"), quick=True)
    assert ("error", "duplicate") not in _codes(quick, "a")  # other files; headers do not tell


def test_scans_of_one_patient_may_be_equal(tmp_path: Path) -> None:
    root = _plain(tmp_path)
    save(root / "images/b.nii.gz", np.asarray(nib.load(root / "images/a.nii.gz").dataobj))
    (root / "cases.csv").write_text("case,patient\na,p\nb,p\n")
    report = check_dataset(open_dataset(root, convention="kits23"))
    assert ("warning", "duplicate") in _codes(report, "a")
    assert ("error", "duplicate") not in _codes(report, "a")


def test_unreadable_files_do_not_stop_the_others(tmp_path: Path) -> None:
    root = _plain(tmp_path)
    (root / "images/a.nii.gz").write_bytes((root / "images/a.nii.gz").read_bytes()[:200])
    (root / "labels/b.nii.gz").write_bytes(b"nothing")
    report = check_dataset(open_dataset(root, convention="kits23"))
    assert ("error", "unreadable-scan") in _codes(report, "a")
    assert ("error", "unreadable-labels") in _codes(report, "b")
    assert report.faulty == ("a", "b")


def test_geometry_that_is_unusual(tmp_path: Path) -> None:
    root = _plain(tmp_path)
    angle = np.radians(12)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    for name, affine, shape in (
        ("a", turn @ RAS, (16, 16, 9)),
        ("b", np.diag([0.8, 4.0, 0.8, 1.0]), (16, 9, 16)),
        ("c", RAS, (16, 12, 9)),
    ):
        labels = labels_with(shape=shape)
        save(root / f"images/{name}.nii.gz", scan_of(labels, ord(name)), affine)
        save(root / f"labels/{name}.nii.gz", labels, affine)
    report = check_dataset(open_dataset(root, convention="kits23"))
    assert ("warning", "oblique") in _codes(report, "a")
    assert ("warning", "not-axial") in _codes(report, "b")
    assert ("note", "not-square") in _codes(report, "c")
    assert not {c for _, c in _codes(report, "a")} & {"not-axial", "slices-first", "not-square"}
    assert not {c for _, c in _codes(report, "c")} & {"not-axial", "slices-first", "oblique"}


def test_known_cases_of_kits19(tmp_path: Path) -> None:
    bad = {15, 23, 37, 68, 125, 133}
    for number in (*sorted(bad), 16, 20):
        kits_case(tmp_path, number, labels=labels_with(10 + number))
    report = check_dataset(open_dataset(tmp_path, "kits19"), quick=True)
    known = {int(f.case[5:]) for f in report.findings if f.code == "known-case"}
    assert known == bad
    later = check_dataset(open_dataset(tmp_path, "kits23"), quick=True)
    assert not [f for f in later.findings if f.code == "known-case"]


def test_every_kits_case_has_a_tumor(tmp_path: Path) -> None:
    kits_case(tmp_path, 0, labels=labels_with(tumor=0))
    kits_case(tmp_path, 1, labels=labels_with(tumor=1))
    report = check_dataset(open_dataset(tmp_path, "kits23"))
    assert ("warning", "no-tumor") in _codes(report, "case_00000")
    assert ("warning", "no-tumor") not in _codes(report, "case_00001")


def test_two_phases_stacked_in_one_file_are_an_error(tmp_path: Path, torso: Volume) -> None:
    stacked = np.concatenate([torso.array, torso.array + np.int16(9)])
    nib.save(nib.Nifti1Image(stacked, torso.affine), tmp_path / "two.nii.gz")
    facts = examine(Case("two", tmp_path / "two.nii.gz", None, "two"), Convention.KITS23)
    (finding,) = [f for f in facts.findings if f.code == "place"]
    assert finding.level is Level.ERROR
    assert "stacked" in finding.sentence
