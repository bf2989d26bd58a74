"""The scan of a result is found again, also when folders were moved, and never another one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.report_case import made_up
from helpers.view_case import keep, result

from renalis.corrections import find_results, read_case_scan
from renalis.errors import InputError
from renalis.io import find_scans, read_scan, write_volume
from renalis.pipeline.origin import nameless, way_to
from renalis.volume import Volume


def test_the_recorded_way_leads_to_the_scan_after_both_were_moved(tmp_path: Path) -> None:
    image, _ = result(tmp_path / "a")
    shutil.move(tmp_path / "a", tmp_path / "b")
    (found,) = find_results(tmp_path / "b" / "out")
    assert np.array_equal(read_case_scan(found).volume.array, image.array)


def test_one_case_of_an_output_folder_may_be_given_itself(tmp_path: Path) -> None:
    result(tmp_path, "one")
    result(tmp_path, "two")
    assert [one.name for one in find_results(tmp_path / "out")] == ["one", "two"]
    assert [one.name for one in find_results(tmp_path / "out" / "two")] == ["two"]


@pytest.mark.parametrize("given", ["folder", "file"])
def test_a_scan_that_was_moved_is_found_where_the_user_says(tmp_path: Path, given: str) -> None:
    image, _ = result(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "scans" / "patient.nii.gz", tmp_path / "elsewhere")
    (found,) = find_results(tmp_path / "out")
    with pytest.raises(InputError, match=r"no longer where it was .*--scans"):
        read_case_scan(found)
    place = tmp_path / "elsewhere"
    place = place / "patient.nii.gz" if given == "file" else place
    assert np.array_equal(read_case_scan(found, [place]).volume.array, image.array)


def test_among_the_scans_of_a_folder_the_case_gets_its_own(tmp_path: Path) -> None:
    first, labels = made_up()
    keep(tmp_path, "first", first, labels)
    second, _ = keep(tmp_path, "second", Volume(first.array + np.int16(5), first.affine), labels)
    for case in (tmp_path / "out").iterdir():
        made = json.loads((case / "provenance.json").read_text())
        del made["scan"]
        (case / "provenance.json").write_text(json.dumps(made))
    found = {one.name: one for one in find_results(tmp_path / "out")}
    scan = read_case_scan(found["second"], [tmp_path / "scans"])
    assert np.array_equal(scan.volume.array, second.array)


def test_a_scan_on_another_grid_is_refused(tmp_path: Path) -> None:
    image, _ = result(tmp_path)
    affine = image.affine.copy()
    affine[0, 3] += 1.0
    write_volume(tmp_path / "scans" / "patient.nii.gz", Volume(image.array, affine))
    (found,) = find_results(tmp_path / "out")
    with pytest.raises(InputError, match="not the scan that patient was made from"):
        read_case_scan(found)


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no results of renalis segment"):
        find_results(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        find_results(tmp_path / "none")


def test_segment_records_the_way_to_the_scan_but_not_of_the_nameless(tmp_path: Path) -> None:
    result(tmp_path)
    scan = read_scan(find_scans([tmp_path / "scans" / "patient.nii.gz"])[0])
    folder = tmp_path / "out" / "patient"
    assert way_to(scan, folder) == {"scan": "../../scans/patient.nii.gz"}
    assert way_to(nameless(scan), folder) == {}


def test_the_way_holds_through_a_link_to_the_output_folder(tmp_path: Path) -> None:
    result(tmp_path / "a" / "b")
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b" / "out", target_is_directory=True)
    (found,) = find_results(tmp_path / "link")
    assert read_case_scan(found).case_id == "patient"
