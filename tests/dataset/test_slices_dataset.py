"""A dataset of single slices: cases, patients, greys; and slices that are cut of scans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.cli import main
from renalis.conventions import Convention
from renalis.dataset import Dataset, open_dataset
from renalis.dataset.cutting import cut_slices, drawn_slices
from renalis.dataset.make_splits import kept_back, make_splits, with_kept_back
from renalis.dataset.reading import case_content, read_case, read_case_labels
from renalis.dataset.slices import (
    CLIPPED_SCALES,
    SliceSet,
    grey_of_hu,
    read_slices,
    slice_hu,
    slice_image,
    write_slices,
)
from renalis.errors import InputError, UsageError
from renalis.io import write_volume
from renalis.volume import CANONICAL, Kind, Volume


def slice_set(cases: list[int], side: int = 12, **changed: Any) -> SliceSet:
    rng = np.random.default_rng(len(cases))
    image = rng.integers(0, 256, (len(cases), side, side), np.uint8)
    labels = np.zeros_like(image)
    labels[::2, 2:5, 2:5] = 1
    fields: dict[str, Any] = {
        "name": "some",
        "image": image,
        "labels": labels,
        "case": np.array(cases, np.int64),
        "place": np.arange(len(cases), dtype=np.float64),
        "spacing_mm": np.full((len(cases), 3), (5.0, 0.7, 0.8)),
        "grey_hu": CLIPPED_SCALES[0],
    }
    return SliceSet(**{**fields, **changed})


def stored(folder: Path, cases: list[int], name: str = "some") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_slices(folder / f"{name}.npz", slice_set(cases, name=name))
    return folder / f"{name}.npz"


def test_every_slice_of_a_file_or_of_a_folders_files_is_a_case(tmp_path: Path) -> None:
    file = stored(tmp_path / "s", [7, 7, 12], "one")
    stored(tmp_path / "s", [12], "two")
    alone, both = open_dataset(file), open_dataset(tmp_path / "s")
    assert (alone.name, alone.convention) == ("slices", Convention.KITS23)
    assert [case.id for case in both.cases] == ["one_00000", "one_00001", "one_00002", "two_00000"]
    patients = [case.patient for case in both.cases]
    assert patients == ["case_00007", "case_00007", "case_00012", "case_00012"]
    first = both.cases[2]
    image, labels = read_case(first), read_case_labels(first)
    assert labels is not None
    assert image.orientation == CANONICAL
    assert (image.shape, image.array.dtype) == ((1, 12, 12), np.int16)
    assert image.spacing == pytest.approx((5, 0.7, 0.8))
    assert image.same_grid(labels)
    assert np.array_equal(labels.array[0], read_slices(file).labels[2])


def test_another_slice_another_content(tmp_path: Path) -> None:
    cases = open_dataset(stored(tmp_path, [1, 2, 3])).cases
    assert len({case_content(case) for case in cases}) == 3


@settings(max_examples=40, deadline=None)
@given(
    patients=st.lists(st.integers(0, 30), min_size=40, max_size=80),
    seed=st.integers(0, 99),
    how=st.sampled_from(["90/10", "60/40", "3-fold"]),
)
def test_no_patient_is_on_two_sides_and_those_kept_back_train_nothing(
    tmp_path_factory: pytest.TempPathFactory, patients: list[int], seed: int, how: str
) -> None:
    dataset = open_dataset(stored(tmp_path_factory.mktemp("s"), patients))
    ids = [case.id for case in dataset.cases]
    numbers = dict(zip(ids, patients, strict=True))
    if {n % 5 == 0 for n in patients} != {True, False}:
        return
    held = kept_back(dataset, ids, 5)
    if len({numbers[i] for i in ids if i not in held}) < 6:
        return
    rest = [i for i in ids if i not in held]
    for split in with_kept_back(make_splits(dataset, rest, how, seed), held):
        sides = [{numbers[i] for i in side} for side in (split.train, split.val, split.test)]
        assert sum(map(len, sides)) == len(set.union(*sides))
        assert sides[2] == {n for n in patients if n % 5 == 0}
        assert sorted([*split.train, *split.val, *split.test]) == sorted(ids)


def test_the_command_keeps_patients_back_by_their_number(tmp_path: Path) -> None:
    file, out = stored(tmp_path / "s", [1, 2, 3, 4, 5, 6, 10, 10, 11]), tmp_path / "split.json"
    common = ["dataset", "split", str(file), "--holdout", "80/20", "-o", str(out)]
    assert main([*common, "--test-every", "5"]) == 0
    made = json.loads(out.read_text())
    assert made["made"]["test_every"] == 5
    assert made["folds"][0]["test"] == ["some_00004", "some_00006", "some_00007"]


def test_what_cannot_be_kept_back_is_said(tmp_path: Path) -> None:
    dataset = open_dataset(stored(tmp_path, [1, 2, 3]))
    ids = [case.id for case in dataset.cases]
    with pytest.raises(InputError, match="none of the patients of slices has a number that 5"):
        kept_back(dataset, ids, 5)
    with pytest.raises(UsageError, match="2 or more"):
        kept_back(dataset, ids, 1)
    with pytest.raises(UsageError, match="the test side is given"):
        with_kept_back(make_splits(dataset, ids, "33/33/34", 0), ())


@pytest.mark.parametrize("ends", [*CLIPPED_SCALES, (-1024.0, 1024.0)])
def test_greys_are_exact_both_ways_at_the_ends_of_the_window(ends: tuple[float, float]) -> None:
    low, high = ends
    beyond = np.array([low - 500, low, high, high + 500])
    assert grey_of_hu(beyond, ends).tolist() == [0, 0, 255, 255]
    greys = np.arange(256, dtype=np.uint8)[None, None]
    one = slice_set([1], image=greys, labels=np.zeros_like(greys), grey_hu=ends)
    hu = slice_hu(one, 0)[0]
    assert hu[255] == pytest.approx(high, abs=1e-4)
    # Black and its neighbor may have been anything below.
    assert np.array_equal(grey_of_hu(hu, ends)[2:], greys[0, 0, 2:])


def test_what_is_below_the_window_is_fat_in_the_body_and_air_around_it() -> None:
    image = np.zeros((1, 120, 120), np.uint8)
    image[0, 20:100, 20:100] = 83  # about 46 HU
    image[0, 50:70, 50:70] = 0
    hu = slice_image(slice_set([1], image=image, labels=np.zeros_like(image)), 0).array[0]
    assert hu[60, 60] == -100
    assert hu[5, 5] == -1000
    assert hu[30, 30] == round(83 * 383 / 255 - 79)


def test_a_file_says_its_own_grey_scale(tmp_path: Path) -> None:
    write_slices(tmp_path / "s.npz", slice_set([1, 2], grey_hu=(-160.0, 240.0)))
    assert read_slices(tmp_path / "s.npz").grey_hu == (-160, 240)
    assert read_slices(tmp_path / "s.npz", (0.0, 255.0)).grey_hu == (0, 255)
    arrays = dict(np.load(tmp_path / "s.npz"))
    np.savez(tmp_path / "t.npz", **{**arrays, "grey_hu": np.array([3.0, 3.0])})
    with pytest.raises(InputError, match="two that rise"):
        read_slices(tmp_path / "t.npz")


def scans(folder: Path) -> Dataset:
    """Two scans of two patients, LPS as most files have them, kidneys in their upper halves."""
    rng = np.random.default_rng(0)
    for number, side in ((4, 20), (9, 24)):
        case = folder / f"case_{number:05d}"
        hu = rng.integers(-200, 400, (side, side, 10)).astype(np.int16)
        labels = np.zeros(hu.shape, np.uint8)
        labels[3:6, 4:8, 5:] = 1
        affine = np.diag([-0.8, -0.8, 5.0, 1.0])
        write_volume(case / "imaging.nii.gz", Volume(hu, affine, Kind.IMAGE))
        write_volume(case / "segmentation.nii.gz", Volume(labels, affine, Kind.LABELS))
    return open_dataset(folder, "kits23")


def test_slices_cut_of_scans_show_what_the_scans_show(tmp_path: Path) -> None:
    dataset = scans(tmp_path / "kits")
    out = tmp_path / "cut.npz"
    command = ["dataset", "cut-slices", str(tmp_path / "kits"), "--kind", "kits23"]
    assert main([*command, "-o", str(out), "--per-scan", "5", "--labelled", "0.6"]) == 0
    cut = read_slices(out)
    assert cut.case.tolist() == [4] * 5 + [9] * 5
    assert cut.image.shape == (10, 24, 24)
    assert cut.grey_hu == CLIPPED_SCALES[0]
    held = cut.labels.any(axis=(1, 2)).reshape(2, 5)
    assert held.sum(axis=1).tolist() == [3, 3]
    image = read_case(dataset.cases[1]).reoriented().array
    for number in range(5, 10):
        place = int(cut.place[number])
        whole = np.clip(image[place].astype(float), -79, 304)
        there = cut.image[number].astype(float) * 383 / 255 - 79
        assert np.abs(there - whole).max() <= 0.76
        assert cut.labels[number].any() == (place >= 5)


@given(held=st.lists(st.booleans(), min_size=1, max_size=30), n=st.integers(1, 40))
def test_so_many_slices_are_drawn_as_there_are(held: list[bool], n: int) -> None:
    drawn = drawn_slices(np.array(held), n, 0.7, np.random.default_rng(0))
    assert len(drawn) == len(set(drawn)) == min(n, len(held))


def test_the_same_draw_again(tmp_path: Path) -> None:
    dataset = scans(tmp_path)
    one, again, other = (cut_slices(dataset, 3, 0.5, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.image, again.image)
    assert not np.array_equal(one.place, other.place)


def test_single_slices_are_refused_where_scans_are_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = stored(tmp_path / "s", [1, 2])
    out = str(tmp_path / "raw")
    assert main(["dataset", "export-nnunet", str(file), "--id", "7", "-o", out]) == 2
    assert "needs whole scans" in capsys.readouterr().err
    assert not Path(out).exists()


def test_slices_are_checked_and_described(tmp_path: Path) -> None:
    file = stored(tmp_path / "s", [1, 2])
    assert main(["dataset", "check", str(file), "--jobs", "1"]) == 0
    out = tmp_path / "f.json"
    assert main(["dataset", "fingerprint", str(file), "--jobs", "1", "-o", str(out)]) == 0
    assert json.loads(out.read_text())["with_label"]["kidney"] == 1
