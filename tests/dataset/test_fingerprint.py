"""Fingerprints: exact figures, one hash for one content, nothing that tells who or where."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.small_datasets import SHAPE, labels_with, plain_case, save, scan_of

from renalis.dataset import open_dataset
from renalis.dataset.case_facts import HU_LOW
from renalis.dataset.fingerprint import fingerprint, hu_summary, read_volumes
from renalis.errors import InputError

VOXEL_ML = 0.8 * 0.8 * 3.0 / 1000


def _cohort(root: Path) -> Path:
    plain_case(root, "a", labels_with(20, 6, 2), seed=1)
    plain_case(root, "b", labels_with(40, 12, 0), seed=2)
    return root


def test_figures(tmp_path: Path) -> None:
    found = fingerprint(open_dataset(_cohort(tmp_path), convention="kits23"))
    assert found["case"]["a"]["size_zyx"] == list(SHAPE)
    assert found["case"]["a"]["spacing_zyx_mm"] == [3.0, 0.8, 0.8]
    assert found["spacing_mm"]["z"] == {
        "min": 3.0, "q1": 3.0, "median": 3.0, "q3": 3.0, "max": 3.0, "mean": 3.0
    }  # fmt: skip
    assert found["case"]["a"]["volume_ml"] == pytest.approx(
        {"kidney": 20 * VOXEL_ML, "tumor": 6 * VOXEL_ML, "cyst": 2 * VOXEL_ML}, abs=1e-4
    )
    assert found["with_label"] == {"kidney": 2, "tumor": 2, "cyst": 1}
    inside = np.concatenate(
        [scan_of(labels, seed)[labels > 0]
         for labels, seed in ((labels_with(20, 6, 2), 1), (labels_with(40, 12, 0), 2))]
    )  # fmt: skip
    hu = found["hu"]["kidney and all in it"]
    assert hu["voxels"] == inside.size
    assert hu["mean"] == pytest.approx(inside.mean(), abs=1e-3)
    assert hu["sd"] == pytest.approx(inside.std(), abs=1e-3)
    assert hu["p50"] == np.median(inside)
    assert (hu["p0.5"], hu["p99.5"]) == (inside.min(), inside.max())
    json.dumps(found, allow_nan=False)


def test_percentiles_equal_numpys_nearest_rank() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(100, 60, 5003).astype(int)
    summary = hu_summary([np.bincount(values - HU_LOW, minlength=4096)])
    assert summary is not None
    for p in (0.5, 50.0, 99.5):
        assert summary[f"p{p:g}"] == np.percentile(values, p, method="inverted_cdf")


def test_hash_follows_content_and_nothing_else(tmp_path: Path) -> None:
    first = fingerprint(open_dataset(_cohort(tmp_path / "one"), convention="kits23"))
    other = _cohort(tmp_path / "two")
    packed = other / "images/a.nii.gz"
    packed.write_bytes(gzip.compress(gzip.decompress(packed.read_bytes()), 1))
    turned = nib.as_closest_canonical(nib.load(other / "labels/b.nii.gz"))
    save(other / "labels/b.nii.gz", np.asarray(turned.dataobj), turned.affine)
    same = fingerprint(open_dataset(other, convention="kits23"), jobs=2)
    assert same["sha256"] == first["sha256"]
    a, b = first["case"]["a"], same["case"]["a"]
    assert a["image_file_sha256"] != b["image_file_sha256"]
    labels = labels_with(40, 12, 0)
    labels.ravel()[700] = 1
    save(other / "labels/b.nii.gz", labels)
    changed = fingerprint(open_dataset(other, convention="kits23"))
    assert changed["sha256"] != first["sha256"]


def test_no_patient_and_no_path(tmp_path: Path) -> None:
    root = _cohort(tmp_path)
    (root / "cases.csv").write_text("case,patient\na,Smith\nb,Jones\n")
    text = json.dumps(fingerprint(open_dataset(root, convention="kits23")))
    assert "Smith" not in text
    assert str(tmp_path) not in text


def test_volumes_come_back(tmp_path: Path) -> None:
    found = fingerprint(open_dataset(_cohort(tmp_path), convention="kits23"))
    file = tmp_path / "fingerprint.json"
    file.write_text(json.dumps(found))
    assert read_volumes(file) == {i: found["case"][i]["volume_ml"] for i in ("a", "b")}
    for text in (
        "{",
        "[]",
        '{"format": "renalis dataset fingerprint", "case": 3}',
        '{"format": 1}',
    ):
        file.write_text(text)
        with pytest.raises(InputError, match="no fingerprint"):
            read_volumes(file)


def test_faulty_cases_have_no_fingerprint(tmp_path: Path) -> None:
    root = _cohort(tmp_path)
    save(root / "labels/b.nii.gz", labels_with(shape=(8, 16, 16)))
    with pytest.raises(InputError, match=r"\(b\).*renalis dataset check"):
        fingerprint(open_dataset(root, convention="kits23"))


def test_dataset_without_labels(tmp_path: Path) -> None:
    save(tmp_path / "images/a.nii.gz", scan_of(labels_with(), 1))
    (tmp_path / "labels").mkdir()
    found = fingerprint(open_dataset(tmp_path, convention="kits23"))
    assert found["labelled"] == 0
    assert found["hu"]["kidney and all in it"] is None
    json.dumps(found, allow_nan=False)
