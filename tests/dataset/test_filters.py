"""The tumor-size filter, and that it keeps the published number of KiTS cases."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from helpers.small_datasets import labels_with, plain_case
from hypothesis import given
from hypothesis import strategies as st

from renalis.conventions import Convention
from renalis.dataset import Case, open_dataset
from renalis.dataset.case_facts import case_volumes_ml
from renalis.dataset.filters import CaseFilter, label_volumes, tumor_ratio
from renalis.errors import InputError, UsageError

VOLUMES = {
    "a": {"kidney": 300.0, "tumor": 51.9},
    "b": {"kidney": 300.0, "tumor": 52.0},
    "c": {"kidney": 100.0, "tumor": 20.0},
    "d": {"kidney": 300.0, "tumor": 20.0},
}


def test_rules() -> None:
    ids = list(VOLUMES)
    assert CaseFilter().kept(ids, {}) == ("a", "b", "c", "d")
    assert CaseFilter(tumor_ml_max=51.9).kept(ids, VOLUMES) == ("a", "c", "d")
    assert CaseFilter(tumor_ratio_max=0.15).kept(ids, VOLUMES) == ("a", "b", "d")
    assert CaseFilter(keep_smallest=1).kept(ids[::-1], VOLUMES) == ("c",)
    assert CaseFilter(keep_smallest=3, exclude=("c",)).kept(ids, VOLUMES) == ("a", "b", "d")
    assert CaseFilter(51.9, 0.15).kept(ids, VOLUMES) == ("a", "d")
    radboud = {"r": {"parenchyma": 200.0, "abnormality": 60.0}}
    with pytest.raises(InputError, match="leaves no case"):
        CaseFilter(tumor_ml_max=51.9).kept(["r"], radboud)


def test_rules_that_make_no_sense() -> None:
    for values in ({"tumor_ml_max": -1}, {"tumor_ratio_max": 1.1}, {"keep_smallest": 0},
                   {"tumor_ml_max": float("nan")}):  # fmt: skip
        with pytest.raises(UsageError):
            CaseFilter(**values)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no case x to exclude"):
        CaseFilter(exclude=("x",)).kept(["a"], {})
    with pytest.raises(InputError, match="volumes of e are not known"):
        CaseFilter(tumor_ml_max=1).kept(["a", "e"], VOLUMES)


@given(st.lists(st.floats(0, 2000), min_size=1, max_size=40), st.integers(1, 40))
def test_keeping_the_smallest(tumors: list[float], number: int) -> None:
    volumes = {str(n): {"kidney": 1.0, "tumor": ml} for n, ml in enumerate(tumors)}
    kept = CaseFilter(keep_smallest=number).kept(list(volumes), volumes)
    assert len(kept) == min(number, len(tumors))
    left = set(volumes) - set(kept)
    assert not left or max(volumes[i]["tumor"] for i in kept) <= min(
        volumes[i]["tumor"] for i in left
    )


def test_volumes_are_read_from_label_maps(tmp_path: Path) -> None:
    plain_case(tmp_path, "a", labels_with(100, 30, 10))
    plain_case(tmp_path, "b", labels_with(50, 3, 0))
    dataset = open_dataset(tmp_path, convention="kits23")
    voxel = 0.8 * 0.8 * 3 / 1000
    for jobs in (1, 2):
        found = label_volumes(dataset.cases, dataset.convention, jobs)
        assert found["a"] == pytest.approx(
            {"kidney": 100 * voxel, "tumor": 30 * voxel, "cyst": 10 * voxel}
        )
        assert found["b"]["tumor"] == pytest.approx(3 * voxel)
    with pytest.raises(InputError, match="holds 3, which kits19 lacks"):
        label_volumes(dataset.cases, Convention.KITS19)


@pytest.fixture(scope="module")
def kits_volumes(data_folder: Path) -> dict[str, dict[str, float]]:
    """Volumes of the cases that KiTS19 labels, as measured on KiTS23's maps at full resolution."""
    table = data_folder / "kits23-labels" / "cases.csv"
    if not table.is_file():
        pytest.skip("no kits23-labels in RENALIS_DATA")
    with table.open(newline="") as file:
        return {
            row["case"]: {name: float(row[f"{name}_ml"]) for name in ("kidney", "tumor", "cyst")}
            for row in csv.DictReader(file)
            if int(row["case"][5:]) < 210
        }


def test_filter_keeps_the_published_136_of_210(kits_volumes: dict[str, dict[str, float]]) -> None:
    assert len(kits_volumes) == 210
    by_ml = CaseFilter(tumor_ml_max=51.9).kept(list(kits_volumes), kits_volumes)
    by_ratio = CaseFilter(tumor_ratio_max=0.122).kept(list(kits_volumes), kits_volumes)
    by_number = CaseFilter(keep_smallest=136).kept(list(kits_volumes), kits_volumes)
    assert len(by_ml) == len(by_ratio) == 136
    assert by_ml == by_number


def test_volumes_of_real_label_maps(
    data_folder: Path, kits_volumes: dict[str, dict[str, float]]
) -> None:
    """Voxel counts at 1.5 mm agree with the full-resolution volumes, and decide alike."""
    folder = data_folder / "kits23-labels"
    measured, wanted = [], []
    for number in (0, 1, 2, 15, 37, 100, 160, 209):
        case = f"case_{number:05d}"
        path = folder / f"{case}.nii.gz"
        ml = case_volumes_ml(Case(case, path, path, case), Convention.KITS23)
        measured.append([ml["kidney"] + ml["cyst"] + ml["tumor"], ml["tumor"]])
        truth = kits_volumes[case]
        wanted.append([sum(truth.values()), truth["tumor"]])
        assert tumor_ratio(ml) == pytest.approx(tumor_ratio(truth), abs=0.01)
        assert (ml["tumor"] <= 51.9) == (truth["tumor"] <= 51.9)
    np.testing.assert_allclose(measured, wanted, rtol=0.03, atol=0.1)
