"""Make splits of a dataset, for the command line and for recipes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from renalis.dataset.cases import Dataset, listed
from renalis.dataset.splits import Split, holdout, kfold, nested_holdout
from renalis.errors import InputError, UsageError

__all__ = ["kept_back", "make_splits", "strata_of", "with_kept_back"]


def make_splits(
    dataset: Dataset,
    ids: Sequence[str],
    how: str,
    seed: int,
    strata: Mapping[str, str] | None = None,
) -> tuple[Split, ...]:
    """Draw a split, or all folds, by patient.

    Parameters
    ----------
    dataset : Dataset
        Says whose scan each case is.
    ids : sequence of str
        The cases that take part, in the order of the dataset.
    how : str
        ``"80/10/10"`` or ``"80/20"`` (see `holdout`), ``"80:20:20"`` (see `nested_holdout`) in
        percent, or ``"5-fold"`` (see `kfold`).
    seed : int
        Of the draw.
    strata : mapping of str to str, optional
        A property of each case, whose proportions a holdout keeps.

    Returns
    -------
    tuple of Split
        One, or one per fold.

    Raises
    ------
    UsageError
        If ``how`` is none of these.
    InputError
        If there are too few patients.
    """
    patients = {case.id: case.patient for case in dataset.chosen(ids)}
    if how.endswith("-fold"):
        k = how.removesuffix("-fold")
        if not k.isdecimal() or int(k) < 2:
            raise UsageError(f"{how!r} is no cross-validation; give the number of folds, 2 or more")
        if strata is not None:
            raise UsageError("cross-validation is not stratified, as the published folds are not")
        return tuple(kfold(ids, int(k), seed, fold, patients=patients) for fold in range(int(k)))
    separator = ":" if ":" in how else "/"
    try:
        shares = [float(part) / 100 for part in how.split(separator)]
    except ValueError:
        shares = []
    if len(shares) not in ((3,) if separator == ":" else (2, 3)):
        raise UsageError(f"{how!r} is no split; examples are 80/10/10, 80/20, 80:20:20 and 5-fold")
    if separator == ":":
        if round(100 * (shares[0] + shares[1])) != 100:
            raise UsageError(
                f"in {how!r} the first two shares sum to 100: 80:20:20 takes 20 % for test, "
                "and 20 % of the rest for validation"
            )
        return (nested_holdout(ids, shares[2], shares[1], seed, strata, patients=patients),)
    return (holdout(ids, shares, seed, strata, patients=patients),)


def kept_back(dataset: Dataset, ids: Sequence[str], every: int) -> tuple[str, ...]:
    """The cases of patients whose number is divisible by ``every``, in the order given.

    Such a rule means the same for every dataset of the same patients: scans, their slices,
    synthetic ones around their label maps.

    Parameters
    ----------
    dataset : Dataset
        Says whose scan each case is.
    ids : sequence of str
        The cases that take part.
    every : int
        2 or more. A patient's number stands at the end of his name: 15 of ``case_00015``.

    Raises
    ------
    UsageError
        If ``every`` is below 2.
    InputError
        If a patient's name has no number, or all or none are kept back.
    """
    if every < 2:
        raise UsageError(f"one of {every} patients cannot be kept back; take 2 or more")
    cases = dataset.chosen(ids)
    numbers = {case.id: re.search(r"(\d+)$", case.patient) for case in cases}
    without = [case.patient for case in cases if numbers[case.id] is None]
    if without:
        raise InputError(
            f"{listed(dict.fromkeys(without))} of {dataset.name}: no number at the end, by which "
            "patients are kept back; draw the test side with --holdout or --nested"
        )
    held = tuple(i for i, number in numbers.items() if number and int(number[1]) % every == 0)
    if len(held) in (0, len(numbers)):
        which = "none" if not held else "every one"
        raise InputError(
            f"{which} of the patients of {dataset.name} has a number that {every} divides"
        )
    return held


def with_kept_back(splits: Sequence[Split], held: Sequence[str]) -> tuple[Split, ...]:
    """The same splits of the other cases, with those that are kept back as the test side.

    Raises
    ------
    UsageError
        If the splits have a test side of their own.
    """
    if any(split.test for split in splits):
        raise UsageError(
            "with --test-every the test side is given; draw the rest, as --holdout 90/10"
        )
    return tuple(replace(split, test=tuple(held)) for split in splits)


def strata_of(
    dataset: Dataset, ids: Sequence[str], name: str, volumes: Mapping[str, Mapping[str, float]]
) -> dict[str, str]:
    """Value of a property for each case.

    Parameters
    ----------
    dataset : Dataset
        Tells the properties.
    ids : sequence of str
        The cases.
    name : str
        A label of the convention (whether the case has it), or a key of `Case.meta`.
    volumes : mapping
        ml by case and label; needed for labels only.

    Raises
    ------
    UsageError
        If no case has the property.
    InputError
        If the volume of a label is not known.
    """
    if name in dataset.convention.values:
        unknown = [i for i in ids if name not in volumes.get(i, {})]
        if unknown:
            raise InputError(
                f"the volume of {name} is not known in {listed(unknown)}; make the fingerprint "
                f"again with {dataset.convention.value} labels, or leave it out to read the label "
                "maps"
            )
        return {i: str(volumes[i][name] > 0) for i in ids}
    if not any(name in case.meta for case in dataset.cases):
        name = name.lower()  # as the columns of tables are read
    strata = {case.id: case.meta[name] for case in dataset.chosen(ids) if name in case.meta}
    if not strata:
        raise UsageError(f"no case of {dataset.name} has a property {name!r}")
    return strata
