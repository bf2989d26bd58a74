"""Splits of cases into training, validation and test: by patient, stored, reproducible.

The draws come from ``numpy.random.RandomState``, whose stream NumPy has frozen (NEP 19), so that
a seed means the same split for ever; `kfold` draws exactly what scikit-learn's
``KFold(k, shuffle=True, random_state=seed)`` draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from renalis.dataset.cases import listed
from renalis.errors import InputError, UsageError

__all__ = ["Split", "holdout", "kfold", "nested_holdout"]


@dataclass(frozen=True)
class Split:
    """Case ids on three sides, none on two of them.

    Parameters
    ----------
    train, val, test : tuple of str
        Case ids; ``test`` is empty for cross-validation.

    Raises
    ------
    InputError
        If a case stands on two sides or twice on one.
    """

    train: tuple[str, ...]
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        everyone = [*self.train, *self.val, *self.test]
        twice = (
            sorted({i for i in everyone if everyone.count(i) > 1}) if _repeated(everyone) else []
        )
        if twice:
            raise InputError(
                f"a split names {listed(twice)} more than once, so training and scoring would "
                "share cases; correct the split"
            )

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Number of cases for training, validation and test."""
        return len(self.train), len(self.val), len(self.test)


def holdout(
    ids: Sequence[str],
    fractions: Sequence[float],
    seed: int,
    strata: Mapping[str, str] | None = None,
    *,
    patients: Mapping[str, str] | None = None,
) -> Split:
    """One random split into training, validation and test.

    Parameters
    ----------
    ids : sequence of str
        Cases, in an order that is always the same (that of `Dataset.cases`).
    fractions : sequence of 2 or 3 floats
        Shares of training, validation and, if given, test; they sum to 1. Numbers of patients
        are rounded, what remains is for training: 300 at (0.8, 0.1, 0.1) give 240, 30, 30.
    seed : int
        Of the draw.
    strata : mapping of str to str, optional
        A property of each case. Every side gets nearly the same proportion of each value.
    patients : mapping of str to str, optional
        Whose scan each case is; without it each case is a patient of its own. Shares are of
        patients, since a patient's scans stay together.

    Returns
    -------
    Split
        Ids in the order of ``ids`` on each side.

    Raises
    ------
    UsageError
        If the fractions are none.
    InputError
        If a side that should have cases would get none.

    Examples
    --------
    >>> holdout([f"case_{i}" for i in range(300)], (0.8, 0.1, 0.1), seed=0).sizes
    (240, 30, 30)
    """
    shares = [float(f) for f in fractions]
    if len(shares) not in (2, 3) or min(shares) < 0 or not math.isclose(sum(shares), 1):
        raise UsageError(
            f"a holdout has two or three shares that sum to 1, not {tuple(fractions)!r}"
        )
    share_test = shares[2] if len(shares) == 3 else 0.0
    units = _units(ids, patients)
    test = _rounded(len(units) * share_test)
    val = _rounded(len(units) * shares[1])
    _refuse_empty(len(units), (shares[0], shares[1], share_test), test, val)
    return _cut(ids, units, val, test, seed, strata)


def nested_holdout(
    ids: Sequence[str],
    test_share: float,
    val_share: float,
    seed: int,
    strata: Mapping[str, str] | None = None,
    *,
    patients: Mapping[str, str] | None = None,
) -> Split:
    """A test set first, then a validation set from what remains ("80:20, then 80:20").

    Parameters
    ----------
    ids, seed, strata, patients
        As for `holdout`.
    test_share : float
        Share of all patients.
    val_share : float
        Share of the patients that are not in the test set.

    Returns
    -------
    Split
        See `holdout`.

    Raises
    ------
    UsageError, InputError
        As `holdout` does.

    Examples
    --------
    The split of Halili et al. (recipe ``quicknat-2d``): 136 cases.

    >>> nested_holdout([f"case_{i}" for i in range(136)], 0.2, 0.2, seed=0).sizes
    (87, 22, 27)
    """
    if not (0 <= test_share < 1 and 0 <= val_share < 1):
        raise UsageError("the shares of a nested holdout lie between 0 and 1")
    units = _units(ids, patients)
    test = _rounded(len(units) * test_share)
    val = _rounded((len(units) - test) * val_share)
    _refuse_empty(len(units), (1.0, val_share, test_share), test, val)
    return _cut(ids, units, val, test, seed, strata)


def kfold(
    ids: Sequence[str],
    k: int,
    seed: int,
    fold: int,
    *,
    patients: Mapping[str, str] | None = None,
) -> Split:
    """One fold of a k-fold cross-validation, equal to scikit-learn's.

    Parameters
    ----------
    ids : sequence of str
        Cases in the order of their numbers: the draw is of positions in this sequence.
    k : int
        Number of folds.
    seed : int
        42 is the seed of the published 3D U-Nets (Zhang et al.); 12345, with ids in alphabetical
        order, gives nnU-Net's folds.
    fold : int
        From 0.
    patients : mapping of str to str, optional
        Whose scan each case is. With one scan per patient the result is the same as without.

    Returns
    -------
    Split
        ``val`` is the fold, ``train`` the rest, both in the order of ``ids``.

    Raises
    ------
    UsageError
        If there is no such fold.
    InputError
        If there are fewer patients than folds.
    """
    units = _units(ids, patients)
    if k < 2 or not 0 <= fold < k:
        raise UsageError(f"fold {fold} of {k} does not exist: folds count from 0 and are 2 or more")
    if len(units) < k:
        raise InputError(f"{len(units)} patients cannot be split into {k} folds")
    order = np.arange(len(units))
    np.random.RandomState(seed).shuffle(order)
    sizes = np.full(k, len(units) // k)
    sizes[: len(units) % k] += 1
    start = int(sizes[:fold].sum())
    held = {i for place in order[start : start + sizes[fold]] for i in units[int(place)]}
    return Split(
        train=tuple(i for i in ids if i not in held), val=tuple(i for i in ids if i in held)
    )


def _repeated(names: Sequence[str]) -> bool:
    return len(set(names)) < len(names)


def _rounded(value: float) -> int:
    """Nearest whole number; halves go up, and 0.15 * 10 counts as one and a half."""
    return math.floor(round(value, 9) + 0.5)


def _units(ids: Sequence[str], patients: Mapping[str, str] | None) -> list[tuple[str, ...]]:
    """Cases that stay together: those of one patient, in the order of first appearance."""
    if _repeated(ids):
        raise InputError("the cases to split have the same id more than once")
    grouped: dict[str, list[str]] = {}
    for i in ids:
        grouped.setdefault(i if patients is None else patients[i], []).append(i)
    return [tuple(group) for group in grouped.values()]


def _refuse_empty(units: int, shares: tuple[float, float, float], test: int, val: int) -> None:
    """Every side that has a share has a patient."""
    sizes = (units - test - val, val, test)
    for name, share, size in zip(("training", "validation", "test"), shares, sizes, strict=True):
        if share > 0 and size < 1:
            raise InputError(
                f"{units} patients are too few for this split: {name} would get none; "
                "choose other shares"
            )


def _cut(
    ids: Sequence[str],
    units: Sequence[tuple[str, ...]],
    val: int,
    test: int,
    seed: int,
    strata: Mapping[str, str] | None,
) -> Split:
    """Draw an order of the patients and cut it in three."""
    random = np.random.RandomState(seed)
    order = np.arange(len(units))
    random.shuffle(order)
    if strata is not None:
        order = _interleaved(order, [_stratum(unit, strata) for unit in units], random)
    side = ["train"] * (len(units) - test - val) + ["val"] * val + ["test"] * test
    where = {i: s for place, s in zip(order, side, strict=True) for i in units[int(place)]}
    train, held, last = (
        tuple(i for i in ids if where[i] == name) for name in ("train", "val", "test")
    )
    return Split(train, held, last)


def _stratum(unit: tuple[str, ...], strata: Mapping[str, str]) -> str:
    """What a patient counts as: the values of all scans."""
    return "+".join(sorted({strata.get(i, "") for i in unit}))


def _interleaved(
    order: np.ndarray[tuple[int], np.dtype[np.int64]],
    names: Sequence[str],
    random: np.random.RandomState,
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Spread each stratum evenly over the order, so that every stretch has its share of each."""
    members: dict[str, list[int]] = {}
    for number in order.tolist():
        members.setdefault(names[number], []).append(number)
    position: dict[int, float] = {}
    for name in sorted(members):
        phase = random.uniform()
        for rank, place in enumerate(members[name]):
            position[place] = (rank + phase) / len(members[name])
    return np.array(sorted(order.tolist(), key=lambda p: position[p]))
