"""Corrected cases become a dataset that trainings take as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.vanishing import bring_back, take_away
from helpers.view_case import result

from renalis.cli import main
from renalis.conventions import Convention, Label
from renalis.corrections import find_results, read_case_scan, save
from renalis.corrections.training_data import collect_corrected
from renalis.dataset import open_dataset
from renalis.dataset.check import check_dataset
from renalis.errors import InputError, OutputError
from renalis.io import read_scan
from renalis.io.read_labels import read_label_map
from renalis.volume import Kind, Volume


def corrected(folder: Path, name: str, order: str = "LPS") -> Volume:
    """A case whose cyst somebody took away; returns the corrected labels."""
    _, labels = result(folder, name, order)
    array = np.where(labels.array == Label.CYST, Label.KIDNEY, labels.array).astype(np.uint8)
    changed = labels.like(array, Kind.LABELS)
    case = next(one for one in find_results(folder / "out") if one.name == name)
    save(case, read_case_scan(case), changed, who="Reader")
    return changed


def test_only_corrected_cases_are_taken_with_their_newest_labels(tmp_path: Path) -> None:
    labels = {name: corrected(tmp_path, name) for name in ("one", "two")}
    result(tmp_path, "untouched")
    (case,) = [one for one in find_results(tmp_path / "out") if one.name == "two"]
    empty = labels["two"].like(np.zeros_like(labels["two"].array), Kind.LABELS)
    save(case, read_case_scan(case), empty, based_on="0001")

    assert main(["dataset", "corrected", str(tmp_path / "out"), "-o", str(tmp_path / "data")]) == 0
    dataset = open_dataset(tmp_path / "data")
    assert dataset.convention is Convention.KITS23
    assert [one.id for one in dataset.labelled] == ["one", "two"]
    assert [one.meta["version"] for one in dataset.cases] == ["0001", "0002"]
    for one, wanted in zip(dataset.cases, (labels["one"], empty), strict=True):
        assert one.label is not None
        stored = read_label_map(one.label)
        scan = read_scan(one.image).volume
        assert np.array_equal(stored.array, wanted.array)
        assert np.array_equal(stored.affine, scan.affine)
        before = read_scan(tmp_path / "scans" / f"{one.id}.nii.gz").volume
        assert np.array_equal(scan.array, before.array)
        assert np.allclose(scan.affine, before.affine, atol=1e-5)
    assert not check_dataset(dataset).faulty


def test_a_drive_that_goes_away_leaves_no_dataset_of_the_cases_that_are_left(
    tmp_path: Path,
) -> None:
    for name in ("one", "two"):
        corrected(tmp_path, name)
    place = tmp_path / "place"
    with pytest.raises(OutputError, match="is gone: its drive was unmounted"):
        collect_corrected([tmp_path / "out"], place / "data", progress=lambda *_: take_away(place))
    bring_back(place)


def test_nothing_corrected_or_a_lost_scan_leaves_no_dataset(tmp_path: Path) -> None:
    result(tmp_path, "untouched")
    with pytest.raises(InputError, match="was corrected"):
        collect_corrected([tmp_path / "out"], tmp_path / "data")
    corrected(tmp_path, "one")
    elsewhere = tmp_path / "elsewhere" / "one.nii.gz"
    elsewhere.parent.mkdir()
    (tmp_path / "scans" / "one.nii.gz").rename(elsewhere)
    with pytest.raises(InputError, match="--scans"):
        collect_corrected([tmp_path / "out"], tmp_path / "data")
    assert not (tmp_path / "data").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    names = collect_corrected([tmp_path / "out"], tmp_path / "data", [elsewhere])
    assert names == ("one",)
    with pytest.raises(OutputError, match="choose another -o"):
        collect_corrected([tmp_path / "out"], tmp_path / "data", [elsewhere])


def test_two_cases_of_one_name_are_refused(tmp_path: Path) -> None:
    corrected(tmp_path / "a", "case")
    corrected(tmp_path / "b", "case")
    outputs = [tmp_path / "a" / "out", tmp_path / "b" / "out"]
    with pytest.raises(InputError, match="the same name"):
        collect_corrected(outputs, tmp_path / "data")


@pytest.mark.parametrize("word", ["kits24", "kits23\nb,kits19"])
def test_a_convention_that_is_none_or_two_is_refused(tmp_path: Path, word: str) -> None:
    corrected(tmp_path, "a")
    collect_corrected([tmp_path / "out"], tmp_path / "data")
    (tmp_path / "data" / "cases.csv").write_text(f"case,convention\na,{word}\n")
    with pytest.raises(InputError, match="as convention"):
        open_dataset(tmp_path / "data")
