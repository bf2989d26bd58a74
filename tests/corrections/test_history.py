"""Corrections lie beside the model's result, whole or not at all, measured by the same code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.vanishing import bring_back, take_away
from helpers.view_case import result

from renalis.conventions import Label
from renalis.corrections import (
    MODEL,
    find_results,
    labels_of,
    newest,
    read_case_scan,
    save,
    versions,
)
from renalis.errors import InputError, OutputError
from renalis.io.read_labels import read_label_map
from renalis.measurement import measure
from renalis.pipeline.folder import result_folder
from renalis.volume import Kind, Volume


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def with_cysts(labels: Volume) -> Volume:
    """Every tumor a cyst."""
    array = labels.array.copy()
    array[array == Label.TUMOR] = Label.CYST
    return labels.like(array, Kind.LABELS)


@pytest.mark.parametrize("order", ["SPL", "LPS", "RAI"])
def test_a_correction_is_a_version_beside_the_models(tmp_path: Path, order: str) -> None:
    _, labels = result(tmp_path, order=order)
    (case,) = find_results(tmp_path / "out")
    before = snapshot(case.folder)
    scan, corrected = read_case_scan(case), with_cysts(labels)
    made = save(case, scan, corrected, who="Reader", note="no tumor")

    assert [one.name for one in versions(case)] == [MODEL, "0001"]
    assert newest(case).record == made.record
    stored = read_label_map(made.folder / "segmentation.nii.gz")
    own = read_label_map(case.labels)
    assert np.array_equal(stored.affine, own.affine)
    assert np.array_equal(stored.array, corrected.array)
    content = (made.folder / "measurements.json").read_text()
    assert content == measure(scan.volume, corrected).to_json()
    assert {lesion["kind"] for lesion in json.loads(content)["lesions"]} == {"cyst"}
    voxels = int((labels.array == Label.TUMOR).sum())
    assert made.record["who"] == "Reader"
    assert made.record["based_on"] == MODEL
    assert made.record["note"] == "no tumor"
    assert made.record["changed_voxels"]["cyst"] == {"gained": voxels, "lost": 0}
    assert made.record["changed_voxels"]["tumor"] == {"gained": 0, "lost": voxels}
    after = snapshot(case.folder)
    assert before == {name: after[name] for name in before}, "the model's own result was changed"


def test_a_correction_is_not_saved_where_the_drive_of_the_results_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, labels = result(tmp_path)
    out = tmp_path / "out"
    (case,) = find_results(out)
    scan = read_case_scan(case)
    monkeypatch.setattr("renalis.corrections.history.measure", lambda *_: take_away(out))
    with pytest.raises(OutputError, match="is gone: its drive was unmounted"):
        save(case, scan, with_cysts(labels))
    bring_back(out)
    assert newest(case).name == MODEL


def test_versions_count_on_and_older_ones_stay(tmp_path: Path) -> None:
    _, labels = result(tmp_path)
    (case,) = find_results(tmp_path / "out")
    scan = read_case_scan(case)
    save(case, scan, with_cysts(labels))
    empty = labels.like(np.zeros_like(labels.array), Kind.LABELS)
    save(case, scan, empty, based_on="0001")
    assert [one.name for one in versions(case)] == [MODEL, "0001", "0002"]
    assert newest(case).record["based_on"] == "0001"
    assert np.array_equal(labels_of(versions(case)[1], scan).array, with_cysts(labels).array)
    assert not labels_of(newest(case), scan).array.any()


def test_a_save_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, labels = result(tmp_path)
    (case,) = find_results(tmp_path / "out")
    scan = read_case_scan(case)

    def full(*_: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr("renalis.corrections.history.write_json", full)
    with pytest.raises(OutputError):
        save(case, scan, with_cysts(labels))
    assert [one.name for one in versions(case)] == [MODEL]
    assert [p.name for p in (case.folder / "corrections").iterdir() if p.name != ".lock"] == []


def test_what_a_killed_program_left_is_no_version_and_goes(tmp_path: Path) -> None:
    _, labels = result(tmp_path)
    (case,) = find_results(tmp_path / "out")
    left = case.folder / "corrections" / ".0001.abcd1234.partial"
    left.mkdir(parents=True)
    (left / "segmentation.nii.gz").write_bytes(b"half")
    assert [one.name for one in versions(case)] == [MODEL]
    save(case, read_case_scan(case), with_cysts(labels))
    assert not left.exists()
    assert newest(case).name == "0001"


def test_a_version_that_is_not_there_is_named(tmp_path: Path) -> None:
    _, labels = result(tmp_path)
    (case,) = find_results(tmp_path / "out")
    with pytest.raises(InputError, match="has no version '0007'"):
        save(case, read_case_scan(case), labels, based_on="0007")


def test_segmenting_anew_does_not_take_corrections_away(tmp_path: Path) -> None:
    _, labels = result(tmp_path)
    (case,) = find_results(tmp_path / "out")
    save(case, read_case_scan(case), with_cysts(labels))
    with (
        pytest.raises(OutputError, match="holds corrections"),
        result_folder(tmp_path / "out", "patient", overwrite=True),
    ):
        pass
    assert newest(case).name == "0001"
