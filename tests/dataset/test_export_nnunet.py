"""What nnU-Net gets: its names, its dataset.json, and label maps exactly on their scans."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.small_datasets import KITS_AFFINE, labels_with, plain_case, save, scan_of
from helpers.vanishing import bring_back, take_away

import renalis.dataset.export_nnunet as export_module
from renalis.dataset import Split, load_splits, open_dataset
from renalis.dataset.export_nnunet import export_nnunet
from renalis.errors import InputError, OutputError, UsageError


def _dataset(root: Path) -> Path:
    for number, name in enumerate(("a", "b", "c")):
        plain_case(root, name, labels_with(20 + number, 6, 3))
    save(root / "images/d.nii", scan_of(labels_with(), 4))
    return root


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("jobs", [1, 2])
def test_folder(tmp_path: Path, jobs: int) -> None:
    dataset = open_dataset(_dataset(tmp_path / "in"), convention="kits23")
    target = export_nnunet(dataset, tmp_path / "raw", 220, "My KiTS", jobs=jobs)
    assert target == tmp_path / "raw" / "Dataset220_My_KiTS"
    assert _names(target) == ["dataset.json", "imagesTr", "imagesTs", "labelsTr"]
    assert _names(target / "imagesTr") == [f"{n}_0000.nii.gz" for n in "abc"]
    assert _names(target / "labelsTr") == [f"{n}.nii.gz" for n in "abc"]
    assert _names(target / "imagesTs") == ["d_0000.nii.gz"]
    about = json.loads((target / "dataset.json").read_text())
    assert about["labels"] == {"background": 0, "kidney": 1, "tumor": 2, "cyst": 3}
    assert (about["numTraining"], about["file_ending"]) == (3, ".nii.gz")
    assert about["channel_names"] == {"0": "CT"}
    assert about["overwrite_image_reader_writer"] == "NibabelIOWithReorient"
    for case in dataset.cases:
        subset = "Ts" if case.label is None else "Tr"
        image = nib.load(target / f"images{subset}" / f"{case.id}_0000.nii.gz")
        given = nib.load(case.image)
        np.testing.assert_array_equal(np.asarray(image.dataobj), np.asarray(given.dataobj))
        np.testing.assert_array_equal(image.affine, given.affine)
    again = open_dataset(target)
    assert again.convention is dataset.convention
    assert [c.id for c in again.cases] == ["a", "b", "c"]


def test_labels_lie_exactly_on_their_scans(tmp_path: Path) -> None:
    root = _dataset(tmp_path / "in")
    nearly = KITS_AFFINE.copy()
    nearly[2, 3] += 0.002
    save(root / "labels/a.nii.gz", labels_with(20, 6, 3).astype(np.float32), nearly)
    turned = nib.as_closest_canonical(nib.load(root / "labels/b.nii.gz"))
    save(root / "labels/b.nii.gz", np.asarray(turned.dataobj), turned.affine)
    target = export_nnunet(open_dataset(root, convention="kits23"), tmp_path / "raw", 1)
    for number, name in enumerate(("a", "b")):
        image = nib.load(target / f"imagesTr/{name}_0000.nii.gz")
        labels = nib.load(target / f"labelsTr/{name}.nii.gz")
        np.testing.assert_array_equal(labels.affine, image.affine)
        np.testing.assert_array_equal(np.asarray(labels.dataobj), labels_with(20 + number, 6, 3))
        assert labels.get_data_dtype() == np.uint8


def test_regions_of_the_challenge(tmp_path: Path) -> None:
    root = _dataset(tmp_path / "in")
    target = export_nnunet(
        open_dataset(root, convention="kits23"), tmp_path / "raw", 7, "K", regions=True
    )
    about = json.loads((target / "dataset.json").read_text())
    assert about["labels"]["kidney"] == [1, 2, 3]
    # In this order, painting region after region gives back the labels.
    painted = np.zeros(4, int)
    regions = [v if isinstance(v, list) else [v] for k, v in about["labels"].items() if k[0] != "b"]
    for value, region in zip(about["regions_class_order"], regions, strict=True):
        painted[region] = value
    assert painted.tolist() == [0, 1, 2, 3]
    assert open_dataset(target).convention == "kits23"
    with pytest.raises(UsageError, match="--regions is for kits23"):
        export_nnunet(open_dataset(root, convention="kits19"), tmp_path / "x", 7, regions=True)


def test_splits(tmp_path: Path) -> None:
    dataset = open_dataset(_dataset(tmp_path / "in"), convention="kits23")
    splits = [Split(("a",), ("b",), ("c",)), Split(("b",), ("a",), ("c",))]
    target = export_nnunet(dataset, tmp_path / "raw", 1, splits=splits)
    assert load_splits(target / "splits_final.json") == (
        Split(("a",), ("b",)),
        Split(("b",), ("a",)),
    )
    assert _names(target / "labelsTr") == ["a.nii.gz", "b.nii.gz"]
    assert _names(target / "imagesTs") == ["c_0000.nii.gz", "d_0000.nii.gz"]
    assert _names(target / "labelsTs") == ["c.nii.gz"]
    assert json.loads((target / "dataset.json").read_text())["numTraining"] == 2
    with pytest.raises(InputError, match="different test cases"):
        export_nnunet(dataset, tmp_path / "x", 1, splits=[Split(("a",), (), ("b",)), splits[0]])
    with pytest.raises(InputError, match="lacks z"):
        export_nnunet(dataset, tmp_path / "x", 1, splits=[Split(("a",), ("z",))])
    assert not (tmp_path / "x").exists()


def test_cases_outside_the_split_stay_out(tmp_path: Path) -> None:
    dataset = open_dataset(_dataset(tmp_path / "in"), convention="kits23")
    target = export_nnunet(dataset, tmp_path / "raw", 1, splits=[Split(("a",), ("b",))])
    assert _names(target / "labelsTr") == ["a.nii.gz", "b.nii.gz"]
    assert _names(target / "imagesTs") == ["d_0000.nii.gz"]


def test_another_split_leaves_no_test_case_among_the_training_cases(tmp_path: Path) -> None:
    dataset = open_dataset(_dataset(tmp_path / "in"), convention="kits23")
    export_nnunet(dataset, tmp_path / "raw", 1, splits=[Split(("a",), ("b",), ("c",))])
    target = export_nnunet(
        dataset, tmp_path / "raw", 1, splits=[Split(("c",), ("b",), ("a",))], overwrite=True
    )
    assert _names(target / "imagesTr") == ["b_0000.nii.gz", "c_0000.nii.gz"]
    assert _names(target / "labelsTr") == ["b.nii.gz", "c.nii.gz"]
    assert _names(target / "imagesTs") == ["a_0000.nii.gz", "d_0000.nii.gz"]
    assert _names(target / "labelsTs") == ["a.nii.gz"]
    assert [case.id for case in open_dataset(target).cases] == ["b", "c"]


def test_training_cases_of_another_dataset_are_neither_kept_nor_removed(tmp_path: Path) -> None:
    dataset = open_dataset(_dataset(tmp_path / "in"), convention="kits23")
    target = export_nnunet(dataset, tmp_path / "raw", 1)
    other = target / "labelsTr" / "other.nii.gz"
    other.touch()
    with pytest.raises(OutputError, match=r"of other cases .labelsTr/other\.nii\.gz"):
        export_nnunet(
            dataset, tmp_path / "raw", 1, splits=[Split(("a",), ("b",), ("c",))], overwrite=True
        )
    assert (target / "dataset.json").exists()
    assert _names(target / "labelsTr") == ["a.nii.gz", "b.nii.gz", "c.nii.gz", "other.nii.gz"]


def test_every_bad_case_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    root = _dataset(tmp_path / "in")
    save(root / "labels/b.nii.gz", labels_with(shape=(9, 16, 15)))
    (root / "images/c.nii.gz").write_bytes((root / "images/c.nii.gz").read_bytes()[:200])
    dataset = open_dataset(root, convention="kits23")
    with pytest.raises(InputError) as refused:
        export_nnunet(dataset, tmp_path / "raw", 1)
    message = str(refused.value)
    assert "2 of 4 cases cannot be exported, so nothing was written" in message
    assert "b: " in message
    assert "does not lie on the grid" in message
    assert "c: " in message
    assert "damaged" in message
    assert not (tmp_path / "raw").exists()
    plain_case(root, "b", labels_with(21, 6, 3))
    plain_case(root, "c", labels_with(22, 6, 3))
    target = export_nnunet(dataset, tmp_path / "raw", 1)  # the next try finds nothing in its way
    assert _names(target / "imagesTr") == [f"{n}_0000.nii.gz" for n in "abc"]
    assert _names(tmp_path / "raw") == [target.name]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    dataset = open_dataset(_dataset(tmp_path / "in"), convention="kits23")
    write = export_module.write_labels

    def full(path: Path, *rest: object, **how: bool) -> Path:
        if path.name.startswith("c"):
            raise OutputError("the disk is full")
        return write(path, *rest, **how)

    monkeypatch.setattr(export_module, "write_labels", full)
    with pytest.raises(OutputError, match="disk is full"):
        export_nnunet(dataset, tmp_path / "raw", 1)
    assert _names(tmp_path / "raw") == []


def test_a_drive_that_goes_away_leaves_no_export_of_the_cases_that_are_left(
    tmp_path: Path,
) -> None:
    dataset = open_dataset(_dataset(tmp_path / "in"), convention="kits23")
    raw = tmp_path / "raw"

    def progress(done: int, total: int) -> None:
        if done == total - 2:
            take_away(raw)

    with pytest.raises(OutputError, match="is gone: its drive was unmounted"):
        export_nnunet(dataset, raw, 1, progress=progress)
    bring_back(raw)


def test_refusals_leave_an_earlier_export_as_it_was(tmp_path: Path) -> None:
    root = _dataset(tmp_path / "in")
    dataset = open_dataset(root, convention="kits23")
    with pytest.raises(UsageError, match="1 to 999"):
        export_nnunet(dataset, tmp_path / "raw", 0)
    target = export_nnunet(dataset, tmp_path / "raw", 1)
    with pytest.raises(OutputError, match="there already"):
        export_nnunet(dataset, tmp_path / "raw", 1)
    save(root / "labels/b.nii.gz", labels_with(shape=(9, 16, 15)))
    before = {p: p.read_bytes() for p in target.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match="does not lie on the grid"):
        export_nnunet(dataset, tmp_path / "raw", 1, overwrite=True)
    assert {p: p.read_bytes() for p in target.rglob("*") if p.is_file()} == before
    assert (target / "dataset.json") in before
    assert _names(tmp_path / "raw") == [target.name]
    save(
        root / "labels/b.nii.gz",
        np.where(labels_with(cyst=1) == 3, 5, labels_with(cyst=1)).astype(np.uint8),
    )
    with pytest.raises(InputError, match="holds 5, which kits23 lacks"):
        export_nnunet(dataset, tmp_path / "raw", 1, overwrite=True)
