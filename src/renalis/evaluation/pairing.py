"""Pair the label maps of two folders by case, and say how.

Equal names first; then names that differ only in known words (``prediction_``, ``case_``,
``_seg``); the number alone only where one file of each folder has it and nothing else in the names
contradicts. Scores of one patient against another are worse than no scores.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from renalis.errors import InputError
from renalis.evaluation.label_files import LabelFile, find_label_maps
from renalis.io.case_names import distinct
from renalis.io.scan import case_id_from, shown

__all__ = ["CasePair", "How", "Pairing", "pair_cases"]


class How(StrEnum):
    """What made two files a pair."""

    GIVEN = "the two files given"
    NAME = "equal names"
    WORDS = "names equal but for words such as prediction or seg, and leading zeros"
    NUMBER = "the number alone"
    NONE = ""
    """There is no prediction."""


@dataclass(frozen=True)
class CasePair:
    """One case.

    Parameters
    ----------
    case_id : str
        Its name in tables.
    reference : Path
        Its reference.
    prediction : Path or None
        Its prediction, unless that is missing.
    how : How
        What made them a pair.
    names : tuple of str
        What messages and tables call the files.
    doubt : str
        Why a prediction that may seem to belong to the case was not taken.
    """

    case_id: str
    reference: Path
    prediction: Path | None
    how: How = How.NAME
    names: tuple[str, ...] = ()
    doubt: str = ""


@dataclass(frozen=True)
class Pairing:
    """All cases, in order, and the predictions for which there is no reference."""

    cases: tuple[CasePair, ...]
    unused: tuple[Path, ...]


def pair_cases(references: Path, predictions: Path) -> Pairing:
    """Pair the label maps in two folders (or two files).

    Raises
    ------
    InputError
        If there is nothing to pair, or two files of one folder are the same case.
    """
    wanted, given = find_label_maps(references), find_label_maps(predictions)
    if (wanted[0].path, given[0].path) == (references, predictions):
        return Pairing((_case(wanted[0], given[0], How.GIVEN),), ())
    pairs: dict[LabelFile, tuple[LabelFile, How]] = {}
    for how, same in ((How.NAME, _given), (How.WORDS, _key)):
        pairs |= _matched(wanted, given, pairs, same, how)
    pairs |= _by_number(wanted, given, pairs)
    if not pairs:
        raise _nothing_paired(references, predictions, wanted, given)
    cases = [
        _case(w, *pairs[w]) if w in pairs else _case(w, doubt=_doubt(w, wanted, given))
        for w in sorted(wanted, key=lambda w: (w.name.order, w.name.given))
    ]
    used = {file for file, _ in pairs.values()}
    return Pairing(_distinct(cases), tuple(g.path for g in given if g not in used))


def _given(file: LabelFile) -> str:
    return file.name.given


def _key(file: LabelFile) -> str:
    return file.name.key


def _matched(
    wanted: Sequence[LabelFile],
    given: Sequence[LabelFile],
    before: dict[LabelFile, tuple[LabelFile, How]],
    same: Callable[[LabelFile], Hashable],
    how: How,
) -> dict[LabelFile, tuple[LabelFile, How]]:
    """Pairs among the files that are in none yet; refuses two files that are the same case."""
    used = {file for file, _ in before.values()}
    left = _groups([w for w in wanted if w not in before], same)
    right = _groups([g for g in given if g not in used], same)
    found = {}
    for key in left.keys() & right.keys():
        for files in (left[key], right[key]):
            if len(files) > 1:
                raise InputError(
                    f"{files[0].display} and {files[1].display} are both case "
                    f"{files[0].name.key}; keep one of them"
                )
        found[left[key][0]] = (right[key][0], how)
    return found


def _by_number(
    wanted: Sequence[LabelFile],
    given: Sequence[LabelFile],
    before: dict[LabelFile, tuple[LabelFile, How]],
) -> dict[LabelFile, tuple[LabelFile, How]]:
    """Pairs by a number that one file of each folder has, where nothing contradicts."""
    used = {file for file, _ in before.values()}
    left, right = (_groups(files, lambda f: f.name.number) for files in (wanted, given))
    return {
        w: (right[number][0], How.NUMBER)
        for number, (w, *more) in left.items()
        if number is not None
        and not more
        and w not in before
        and len(right.get(number, ())) == 1
        and right[number][0] not in used
        and not w.name.contradiction(right[number][0].name)
    }


def _groups(
    files: Sequence[LabelFile], same: Callable[[LabelFile], Hashable]
) -> dict[Hashable, list[LabelFile]]:
    groups: dict[Hashable, list[LabelFile]] = {}
    for file in files:
        groups.setdefault(same(file), []).append(file)
    return groups


def _doubt(file: LabelFile, wanted: Sequence[LabelFile], given: Sequence[LabelFile]) -> str:
    """Why no prediction with the reference's number was taken; empty if there is none."""
    number = file.name.number
    if number is None:
        return ""
    alike = [g for g in given if g.name.number == number]
    if not alike:
        return ""
    reason = file.name.contradiction(alike[0].name)
    if len(alike) > 1 or not reason:
        others = (*alike[1:], *(w for w in wanted if w.name.number == number and w != file))
        reason = f"so has {', '.join(f.display for f in others[:3])}"
    return f"{alike[0].display} has the number of {file.display}, but {reason}"


def _case(
    wanted: LabelFile, given: LabelFile | None = None, how: How = How.NONE, doubt: str = ""
) -> CasePair:
    names = tuple(file.display for file in (wanted, given) if file is not None)
    prediction = None if given is None else given.path
    return CasePair(wanted.name.case_id, wanted.path, prediction, how, names, doubt)


def _distinct(cases: Sequence[CasePair]) -> tuple[CasePair, ...]:
    """Cases of different names: ``case_1`` and ``img_1`` in one folder are two."""
    longer = [f"{case_id_from(c.reference.parent.name)}_{c.case_id}" for c in cases]
    ids = distinct([c.case_id for c in cases], longer)
    return tuple(replace(case, case_id=i) for case, i in zip(cases, ids, strict=True))


def _nothing_paired(
    references: Path,
    predictions: Path,
    wanted: Sequence[LabelFile],
    given: Sequence[LabelFile],
) -> InputError:
    """The sentence for two folders that have no case in common."""
    doubts = filter(None, (_doubt(w, wanted, given) for w in wanted))
    why = next(doubts, "")
    if not why:
        first, second = wanted[0], given[0]
        why = (
            f"{second.display} is case {second.name.key}, {first.display} is case {first.name.key}"
        )
    return InputError(
        f"no prediction in {shown(predictions)} belongs to a reference in {shown(references)} by "
        f"its name ({why}); name the predictions as the references"
    )
