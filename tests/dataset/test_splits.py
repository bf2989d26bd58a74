"""Splits: equal to scikit-learn's, by patient, stored, and never torn."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renalis.dataset import Split, holdout, kfold, load_split, load_splits, nested_holdout
from renalis.dataset.cases import Case
from renalis.dataset.split_files import check_patients, save_splits
from renalis.errors import InputError, UsageError

KITS19 = [f"case_{n:05d}" for n in range(210)]

# KFold(5, shuffle=True, random_state=42).split(range(210)), first fold, by scikit-learn 1.9.1.
FIRST_FOLD = [
    9, 15, 16, 18, 25, 30, 45, 55, 60, 67, 69, 73, 75, 82, 84, 93, 95, 101, 104, 108, 109, 125,
    126, 132, 136, 142, 147, 155, 159, 162, 165, 168, 172, 173, 180, 182, 187, 192, 196, 197, 199,
    207,
]  # fmt: skip
# Sums of the validation indices of its five folds.
SUMS = [4835, 3986, 4292, 4103, 4729]
# KFold(4, shuffle=True, random_state=7).split(range(13)): folds of unequal size.
UNEQUAL = [[2, 5, 8, 10], [0, 1, 12], [3, 7, 11], [4, 6, 9]]

# KFold(5, shuffle=True, random_state=12345).split(range(489)), nnU-Net's folds of KiTS23: sums.
NNUNET_SUMS = [23542, 23792, 24813, 24377, 22792]


def test_folds_of_the_published_3d_unets() -> None:
    folds = [kfold(KITS19, 5, 42, fold) for fold in range(5)]
    assert [int(i[5:]) for i in folds[0].val] == FIRST_FOLD
    assert [sum(int(i[5:]) for i in fold.val) for fold in folds] == SUMS
    assert all(fold.sizes == (168, 42, 0) for fold in folds)
    assert sorted(i for fold in folds for i in fold.val) == KITS19


def test_folds_of_unequal_size_equal_scikit_learn() -> None:
    ids = [str(n) for n in range(13)]
    assert [[int(i) for i in kfold(ids, 4, 7, fold).val] for fold in range(4)] == UNEQUAL


def test_folds_of_nnunet_for_kits23() -> None:
    ids = [f"case_{n:05d}" for n in (*range(300), *range(400, 589))]
    place = {i: n for n, i in enumerate(ids)}
    folds = [kfold(ids, 5, 12345, fold) for fold in range(5)]
    assert [sum(place[i] for i in fold.val) for fold in folds] == NNUNET_SUMS


def test_published_sizes() -> None:
    assert holdout(KITS19 + [f"x{n}" for n in range(90)], (0.8, 0.1, 0.1), 0).sizes == (240, 30, 30)
    assert holdout(KITS19, (0.8, 0.2), 0).sizes == (168, 42, 0)
    assert nested_holdout(KITS19[:136], 0.2, 0.2, 0).sizes == (87, 22, 27)


def test_seed_and_order() -> None:
    one = holdout(KITS19, (0.8, 0.1, 0.1), 0)
    assert one == holdout(list(KITS19), [0.8, 0.1, 0.1], 0)
    assert set(one.test) != set(holdout(KITS19, (0.8, 0.1, 0.1), 1).test)
    assert list(one.train) == sorted(one.train)


@given(
    owners=st.lists(st.integers(0, 12), min_size=12, max_size=60),
    seed=st.integers(0, 2**32 - 1),
)
def test_patients_stay_together(owners: list[int], seed: int) -> None:
    ids = [f"scan{n}" for n in range(len(owners))]
    patients = {i: f"p{owner}" for i, owner in zip(ids, owners, strict=True)}
    number = len(set(owners))
    splits = []
    if number >= 5:
        splits.append(holdout(ids, (0.6, 0.2, 0.2), seed, patients=patients))
        splits += [kfold(ids, 5, seed, fold, patients=patients) for fold in range(5)]
    else:
        with pytest.raises(InputError):
            kfold(ids, 5, seed, 0, patients=patients)
    for split in splits:
        sides = [split.train, split.val, split.test]
        assert Counter(i for side in sides for i in side) == Counter(ids)
        seen = [{patients[i] for i in side} for side in sides]
        assert sum(map(len, seen)) == len(set().union(*seen)) == number


@given(
    rare=st.integers(10, 90),
    seed=st.integers(0, 1000),
    shares=st.sampled_from([(8, 1, 1), (6, 2, 2)]),
)
def test_strata_keep_their_proportions(rare: int, seed: int, shares: tuple[int, int, int]) -> None:
    ids = [str(n) for n in range(100)]
    strata = {i: "rare" if int(i) < rare else "common" for i in ids}
    split = holdout(ids, [s / 10 for s in shares], seed, strata)
    plain = holdout(ids, [s / 10 for s in shares], seed)
    assert split.sizes == plain.sizes
    for side in (split.train, split.val, split.test):
        wanted = len(side) * rare / 100
        assert abs(sum(strata[i] == "rare" for i in side) - wanted) < 2


def test_stratified_draws_differ_with_the_seed() -> None:
    ids = [str(n) for n in range(40)]
    strata = {i: str(int(i) % 2) for i in ids}
    tests = {holdout(ids, (0.8, 0.1, 0.1), seed, strata).test for seed in range(5)}
    assert len(tests) == 5


def test_splits_that_make_no_sense() -> None:
    with pytest.raises(UsageError, match="sum to 1"):
        holdout(KITS19, (0.8, 0.1), 0)
    with pytest.raises(InputError, match="validation would get none"):
        holdout(KITS19[:4], (0.8, 0.1, 0.1), 0)
    with pytest.raises(UsageError, match="fold 5 of 5"):
        kfold(KITS19, 5, 42, 5)
    with pytest.raises(InputError, match="3 patients cannot be split into 5"):
        kfold(KITS19[:3], 5, 42, 0)
    with pytest.raises(InputError, match="more than once"):
        holdout(["a", "a"], (0.5, 0.5), 0)
    with pytest.raises(InputError, match="names b more than once"):
        Split(("a", "b"), ("b",))


def test_stored_splits_come_back(tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    split = holdout(KITS19, (0.8, 0.1, 0.1), 0)
    save_splits(file, [split], dataset="kits19", made={"seed": 0})
    assert load_split(file) == split
    assert json.loads(file.read_text())["made"] == {"seed": 0}
    with pytest.raises(InputError, match="holds 1 folds"):
        load_split(file, 1)


def test_format_of_nnunet_folds(tmp_path: Path) -> None:
    file = tmp_path / "splits_final.json"
    folds = [kfold(KITS19, 5, 42, fold) for fold in range(5)]
    save_splits(file, folds, folds_only=True)
    stored = json.loads(file.read_text())
    assert isinstance(stored, list)
    assert set(stored[0]) == {"train", "val"}
    assert load_splits(file) == tuple(folds)
    with pytest.raises(InputError, match="no test set"):
        save_splits(file, [Split(("a",), ("b",), ("c",))], folds_only=True)
    assert load_splits(file) == tuple(folds)


@pytest.mark.parametrize("text", [
    "{", "[]", "3", '{"train": "abc"}', '[{"val": []}]', '[{"train": [1]}]',
    '[{"train": ["a"], "val": ["a"]}]', '{"folds": {}}', '[{"train": [], "validation": []}]',
])  # fmt: skip
def test_files_that_are_no_split(tmp_path: Path, text: str) -> None:
    file = tmp_path / "split.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"split\.json"):
        load_splits(file)


def test_a_split_that_tears_a_patient() -> None:
    cases = [Case(i, Path(i), None, patient) for i, patient in (("a", "p"), ("b", "p"), ("c", "q"))]
    check_patients(Split(("a", "b"), ("c",)), cases)
    with pytest.raises(InputError, match=r"one patient on two sides .a, b"):
        check_patients(Split(("a", "c"), ("b",)), cases)
