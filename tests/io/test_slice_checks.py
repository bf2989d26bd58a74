"""Slices that do not belong to the others of a series are mended, named or refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.dicom_writer import write_series
from pydicom.dataset import Dataset
from scipy import ndimage

from renalis.errors import InputError
from renalis.io import read_scan
from renalis.io.slice_levels import levels_of
from renalis.io.slice_sequence import SliceFaults, slice_faults
from renalis.volume import Volume

REAL = (
    "totalsegmentator-example/ct.nii.gz",
    "tcga-ov/TCGA-09-2043-abdomen-dicom.zip",
    "liver-phantom/ct.nii.gz",
    "lidc-chest/ct.nii.gz",
)
STEP_MM = 6.0


def written(folder: Path, hu: np.ndarray, **more: Any) -> Path:
    """A series of axial slices, head last."""
    write_series(folder, hu, step=(0, 0, STEP_MM), **{"SliceThickness": STEP_MM, **more})
    return folder


def intercepts(values: dict[int, float]):
    """Write another intercept into the headers of some slices than their values have."""

    def change(data: Dataset, index: int) -> None:
        if index in values:
            data.RescaleIntercept = str(values[index])

    return change


def torso_hu(scan_or_torso: Any) -> np.ndarray:
    """HU with the axes (slice, row, column), as DICOM files hold them."""
    return np.asarray(scan_or_torso.volume.array.T)


@pytest.mark.parametrize(
    ("wrong", "places"),
    [
        (0.0, [20]),
        (-2048.0, [0]),
        (-2024.0, [39]),
        (-1000.0, [3, 20, 21]),
        (-1000.0, [*range(15)]),
        (0.0, [*range(1, 39, 2)]),
    ],
    ids=["one", "the first", "the last", "some by 24", "a third by 24", "every other one"],
)
def test_a_wrong_intercept_of_some_slices_is_mended_and_named(
    tmp_path: Path, torso: Volume, wrong: float, places: list[int]
) -> None:
    change = intercepts(dict.fromkeys(places, wrong))
    scan = read_scan(written(tmp_path, torso.array, change=change))
    assert np.array_equal(torso_hu(scan), torso.array)
    (note,) = scan.warnings
    off = int(wrong + 1024)
    assert f"{len(places)} slice" in note
    assert f"{abs(off)} HU too {'high' if off > 0 else 'low'}" in note
    assert f"{20 + STEP_MM * places[0]:.1f}" in note


def test_values_that_were_stored_with_another_intercept_stay(tmp_path: Path, torso: Volume) -> None:
    def change(data: Dataset, index: int) -> None:
        if index in (5, 6, 30):
            data.RescaleIntercept = "-2000"
            stored = torso.array[index].astype(np.int32) + 2000
            data.PixelData = stored.astype("<u2").tobytes()
            data.BitsStored, data.HighBit = 16, 15

    scan = read_scan(written(tmp_path, torso.array, change=change))
    assert np.array_equal(torso_hu(scan), torso.array)
    assert scan.warnings == ()


@pytest.mark.parametrize(
    ("spoiled", "places"),
    [
        (lambda hu: hu + 300, [8, 9, 30]),
        (lambda hu: hu * 2, [20]),
        (lambda hu: np.full_like(hu, -1024), [20]),
        (lambda hu: -hu, [20, 21]),
        (lambda hu: np.random.default_rng(0).integers(-1000, 2000, hu.shape), [20]),
    ],
    ids=["shifted", "doubled", "black", "sign turned", "noise"],
)
def test_slices_with_other_values_are_interpolated_and_named(
    tmp_path: Path, torso: Volume, spoiled, places: list[int]
) -> None:
    hu = torso.array.astype(np.int32)
    hu[places] = spoiled(hu[places])
    scan = read_scan(written(tmp_path, hu))
    (note,) = scan.warnings
    assert f"{len(places)} slice" in note
    assert "interpolated" in note
    assert f"{20 + STEP_MM * places[0]:.1f}" in note
    good = np.setdiff1d(np.arange(40), places)
    assert np.array_equal(torso_hu(scan)[good], torso.array[good])
    off = torso_hu(scan)[places[0]] - torso.array[places[0]].astype(np.int32)
    assert np.median(np.abs(off)) < 25


def test_a_slice_from_elsewhere_is_interpolated_and_named(tmp_path: Path, torso: Volume) -> None:
    hu = torso.array.copy()
    hu[20] = torso.array[5]
    scan = read_scan(written(tmp_path, hu))
    (note,) = scan.warnings
    assert "1 slice does not fit" in note
    assert "140.0 mm" in note
    assert np.median(np.abs(torso_hu(scan)[20] - torso.array[20].astype(int))) < 25


@pytest.mark.parametrize("place", [0, 39], ids=["first", "last"])
def test_a_slice_at_an_end_that_does_not_fit_is_left_out_and_named(
    tmp_path: Path, torso: Volume, place: int
) -> None:
    hu = torso.array.astype(np.int32)
    hu[place] += 300
    scan = read_scan(written(tmp_path, hu))
    (note,) = scan.warnings
    assert "1 slice does not fit" in note
    assert f"left out, at the end of the scan, at {20 + STEP_MM * place:.1f}" in note
    assert np.all(torso_hu(scan)[place] == -1024)
    good = np.setdiff1d(np.arange(40), [place])
    assert np.array_equal(torso_hu(scan)[good], torso.array[good])


@pytest.mark.parametrize("value", [-1024, -1000, 0])
@pytest.mark.parametrize("places", [[0], [*range(33, 40)]], ids=["one ahead", "seven behind"])
def test_empty_slices_at_an_end_are_nothing_to_say(
    tmp_path: Path, torso: Volume, places: list[int], value: int
) -> None:
    hu = torso.array.copy()
    hu[places] = value
    scan = read_scan(written(tmp_path, hu))
    assert scan.warnings == ()
    assert np.array_equal(torso_hu(scan), hu)


def test_too_many_slices_that_do_not_fit_are_refused(tmp_path: Path, torso: Volume) -> None:
    hu = torso.array.astype(np.int32)
    hu[10:20] += 300
    with pytest.raises(InputError, match="do not fit those of their neighbors"):
        read_scan(written(tmp_path, hu))


def test_pictures_in_another_order_than_their_positions_are_refused(
    tmp_path: Path, torso: Volume
) -> None:
    hu = torso.array[np.random.default_rng(0).permutation(40)]
    with pytest.raises(InputError, match=r"do not follow each other|do not fit those"):
        read_scan(written(tmp_path, hu))


def test_parts_in_another_order_than_their_positions_are_refused(
    tmp_path: Path, torso: Volume
) -> None:
    parts = np.arange(40).reshape(8, 5)[[3, 0, 6, 2, 7, 4, 1, 5]]
    with pytest.raises(InputError, match="do not follow each other"):
        read_scan(written(tmp_path, torso.array[parts.ravel()]))


def test_breathing_between_stops_of_the_table_is_no_wrong_order() -> None:
    """Every five slices the body lies nine slices further, or back again."""
    body = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 1, (90, 80, 80)), (6, 4, 4))
    body = (body / body.std() * 60).astype(np.int16)
    moved = [body[k + 9 * (k // 5 % 2)] for k in range(60)]
    faults = slice_faults(moved, near=25)
    assert len(faults.jumps) >= 4
    assert not faults.disorder


def test_a_picture_that_changes_abruptly_is_named(tmp_path: Path, torso: Volume) -> None:
    hu = np.concatenate([torso.array[22:], torso.array[:18]])
    (note,) = read_scan(written(tmp_path, hu)).warnings
    assert "changes abruptly at 128.0 mm" in note


def test_two_brightnesses_in_turn_that_no_header_tells_are_refused(
    tmp_path: Path, torso: Volume
) -> None:
    hu = torso.array.copy()
    late = hu[1::2]
    late[(late > 80) & (late < 200)] += 60
    with pytest.raises(InputError, match="2 series in turn"):
        read_scan(written(tmp_path, hu))


def test_the_same_picture_twice_is_named(tmp_path: Path, torso: Volume) -> None:
    hu = torso.array.copy()
    hu[21] = hu[20]
    (note,) = read_scan(written(tmp_path, hu)).warnings
    assert "1 slice holds the same picture as the one before" in note
    assert "146.0 mm" in note


@pytest.mark.parametrize("every", [1, 2])
def test_a_scan_without_faults_has_none(torso: Volume, every: int) -> None:
    pictures = list(torso.array[::every])
    assert slice_faults(pictures) == SliceFaults()
    assert levels_of(pictures, [0.0] * len(pictures)).lost == ()


@pytest.mark.parametrize("file", REAL)
def test_real_scans_have_no_faults_at_any_distance_of_slices(
    real_ct: Callable[[str], Volume], file: str
) -> None:
    array = real_ct(file).reoriented().array
    for every in (1, 3):
        pictures = list(array[::every])
        assert slice_faults(pictures) == SliceFaults()
        levels = levels_of(pictures, [-1024.0] * len(pictures))
        assert (set(levels.offsets), levels.lost) == ({0}, ())


@pytest.mark.parametrize(
    "told_by", ["AcquisitionNumber", "ConvolutionKernel", "AcquisitionTime", "numbers", "times"]
)
def test_two_phases_between_each_other_are_kept_apart(
    tmp_path: Path, torso: Volume, told_by: str
) -> None:
    early, late = torso.array[:10], torso.array[:10].copy()
    late[(late > 80) & (late < 200)] += 60
    both = np.stack([early, late], axis=1).reshape(20, *early.shape[1:])

    def change(data: Dataset, index: int) -> None:
        data.InstanceNumber = 1
        order = index // 2 + 10 * (index % 2)
        if told_by == "numbers":
            data.InstanceNumber = order + 1
        elif told_by == "times":
            data.AcquisitionTime = f"1016{order:02d}"
        else:
            values = {"AcquisitionNumber": (1, 2), "ConvolutionKernel": ("B30f", "I40f")}
            setattr(data, told_by, values.get(told_by, ("101600", "101700"))[index % 2])

    scan = read_scan(written(tmp_path, both, change=change))
    assert np.array_equal(torso_hu(scan), early)
    assert np.isclose(scan.volume.affine[2, 2], 2 * STEP_MM)
    assert "2 stacks" in " ".join(scan.warnings)
    (other,) = scan.source.others
    assert np.array_equal(torso_hu(read_scan(tmp_path, series=other.name)), late)


def test_two_phases_at_uneven_distances_are_kept_apart_by_their_numbers(
    tmp_path: Path, torso: Volume
) -> None:
    places = np.repeat(np.arange(0.0, 20, 2), 2) + np.tile([0, 0.7], 10)
    order = np.concatenate([np.arange(0, 20, 2), np.arange(1, 20, 2)])
    hu = torso.array[np.repeat(np.arange(0, 20, 2), 2)].copy()
    hu[1::2] += 100
    scan = read_scan(written(tmp_path, hu[order], places=places[order]))
    assert np.array_equal(torso_hu(scan), torso.array[:20:2])


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({}, ""),
        ({"SpacingBetweenSlices": 6.0}, ""),
        ({"SpacingBetweenSlices": -6.0}, ""),
        ({"SliceThickness": 6.0}, ""),
        ({"SliceThickness": 5.0}, ""),
        ({"SliceThickness": 12.0}, ""),
        ({"SliceThickness": 0.0}, ""),
        ({"SliceThickness": 3.0, "SpacingBetweenSlices": 6.0}, ""),
        ({"SpacingBetweenSlices": 3.0}, "SpacingBetweenSlices says 3.00 mm.* 6.00 mm apart"),
        ({"SpacingBetweenSlices": 60.0}, r"SpacingBetweenSlices says 60.00 mm.* off by 10.00"),
        ({"SliceThickness": 3.0}, "3.00 mm thick and lie 6.00 mm apart"),
        ({"SliceThickness": 60.0}, "SliceThickness says 60.00 mm"),
    ],
    ids=str,
)
def test_a_distance_in_the_headers_that_contradicts_positions_is_named(
    tmp_path: Path, tags: dict[str, float], words: str
) -> None:
    hu = np.zeros((6, 8, 8), np.int16) - np.arange(8, dtype=np.int16)
    scan = read_scan(written(tmp_path, hu, **tags))
    assert np.isclose(scan.volume.affine[2, 2], STEP_MM)  # positions, whatever else is said
    assert len(scan.warnings) == bool(words)
    assert re.search(words, " ".join(scan.warnings))


@pytest.mark.parametrize(
    ("age", "child"),
    [("009Y", True), ("020M", True), ("016Y", False), ("000Y", False), ("", False)],
)
def test_a_childs_age_is_noted_without_the_age(tmp_path: Path, age: str, child: bool) -> None:
    hu = np.zeros((4, 8, 8), np.int16) - np.arange(8, dtype=np.int16)
    notes = " ".join(read_scan(written(tmp_path, hu, PatientAge=age)).warnings)
    assert ("is a child" in notes) is child
    assert not re.search(r"\b0*(9|20)\b", notes)


def test_every_second_slice_alone_is_named(tmp_path: Path, torso: Volume) -> None:
    def change(data: Dataset, index: int) -> None:
        data.InstanceNumber = 2 * index + 1

    tags = {"SpacingBetweenSlices": 3.0, "SliceThickness": 3.0}
    (note,) = read_scan(written(tmp_path, torso.array, change=change, **tags)).warnings
    assert "every second slice is here alone" in note


@pytest.mark.parametrize(("location", "refused"), [(3.0, True), (6.0, False)])
def test_positions_that_all_else_contradicts_are_refused(
    tmp_path: Path, torso: Volume, location: float, refused: bool
) -> None:
    def change(data: Dataset, index: int) -> None:
        data.SliceLocation = location * index

    folder = written(tmp_path, torso.array, change=change, SpacingBetweenSlices=3.0)
    if refused:
        with pytest.raises(InputError, match=r"6.00 mm apart by their positions, but 3.00 mm by"):
            read_scan(folder)
    else:
        (note,) = read_scan(folder).warnings
        assert "positions were used" in note
