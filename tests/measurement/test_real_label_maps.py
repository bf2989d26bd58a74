"""Label maps of real kidneys: volumes against the table that comes with them."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from renalis.measurement import measure
from renalis.volume import Kind, Volume

CASES = ("case_00000", "case_00008", "case_00102", "case_00184", "case_00416", "case_00538")


@pytest.fixture(scope="module")
def table(data_folder: Path) -> dict[str, dict[str, str]]:
    with (data_folder / "kits23-labels" / "cases.csv").open(newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("case", CASES)
def test_volumes_agree_within_two_percent(
    case: str, data_folder: Path, table: dict[str, dict[str, str]]
) -> None:
    nifti = nib.load(data_folder / "kits23-labels" / f"{case}.nii.gz")
    labels = Volume(np.asarray(nifti.dataobj).astype(np.uint8), nifti.affine, Kind.LABELS)
    i, j, k = np.ogrid[*map(slice, labels.shape)]
    a, b, c, d = labels.affine[0]
    x_mm = a * i + b * j + c * k + d
    # The scan itself is not there: a body of water around the middle of the field of view.
    image = labels.like(np.where(np.abs(x_mm) < 400, 40, -1000).astype(np.int16), Kind.IMAGE)
    found = measure(image, labels)
    row = table[case]
    for name in ("kidney_ml", "tumor_ml", "cyst_ml"):
        assert getattr(found.totals, name) == pytest.approx(float(row[name]), rel=0.02, abs=0.05)
    for name, part in (("tumor_ml", "tumor"), ("cyst_ml", "cyst")):
        lesions = sum(lesion.volume_ml for lesion in found.lesions if lesion.kind == part)
        assert lesions == pytest.approx(getattr(found.totals, name), rel=1e-6)
    kidneys = sum(kidney.parenchyma_ml for kidney in found.kidneys)
    assert kidneys + found.totals.unassigned_ml == pytest.approx(found.totals.kidney_ml)
    assert [kidney.id for kidney in found.kidneys] == ["left", "right"]
    left, right = found.kidneys
    assert left.location.centroid_mm[0] < right.location.centroid_mm[0]
    for kidney in found.kidneys:
        assert 70 < kidney.length_mm < 230
