"""The split of a training: which cases it trains and validates with; checked before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from renalis.dataset import Case, Dataset, Split, load_split, open_dataset
from renalis.dataset.cases import listed
from renalis.errors import InputError
from renalis.recipes.system import System
from renalis.systems.input_masks import mask_folds
from renalis.systems.recipe_cases import split_of

__all__ = ["SplitCases", "require_masks", "split_cases", "split_for", "synthetic_cases"]


@dataclass(frozen=True)
class SplitCases:
    """The cases of a split that training uses."""

    train: list[Case]
    val: list[Case]


def split_for(
    dataset: Dataset, cases: Sequence[Case], system: System, fold: int, stored: Path | None = None
) -> Split:
    """A fold's split: the recipe's own, or a stored one.

    Parameters
    ----------
    dataset : Dataset
    cases : sequence of Case
        Those that the recipe uses.
    system : System
        The recipe.
    fold : int
        Counted from 0.
    stored : Path, optional
        A stored split. Cases in it that the recipe leaves out are left out.

    Raises
    ------
    InputError
        If there is no such fold, there are too few cases, or the stored split names cases that
        the dataset has no labels of.
    """
    if stored is None:
        return split_of(dataset, cases, system.split, fold)
    split = load_split(stored, fold)
    labelled = {case.id for case in dataset.labelled}
    unknown = [i for i in (*split.train, *_watched(split)) if i not in labelled]
    if unknown:
        raise InputError(
            f"{stored} names cases that {dataset.root} has no label maps of ({listed(unknown)}); "
            "make the split of this dataset, see `renalis dataset split`"
        )
    used = {case.id for case in cases}
    for side, ids in (("training", split.train), ("validation", _watched(split))):
        if used.isdisjoint(ids):
            raise InputError(
                f"{stored} leaves fold {fold} no {side} cases; make another split, or leave fewer "
                "cases out with the recipe's dataset section"
            )
    return split


def split_cases(split: Split, cases: Sequence[Case]) -> SplitCases:
    """The cases of a split, without those that the recipe leaves out."""
    known = {case.id: case for case in cases}
    return SplitCases(
        [known[i] for i in split.train if i in known],
        [known[i] for i in _watched(split) if i in known],
    )


def require_masks(system: System, cases: SplitCases) -> None:
    """Refuse input masks that cannot be made, before the first stage has been trained for days.

    Raises
    ------
    InputError
        If there are fewer patients than folds for masks, or there is no network that has not
        seen the synthetic cases.
    """
    for stage in system.all_stages():
        if stage.input_mask is None or stage.input_mask.training != "out_of_fold":
            continue
        if system.dataset.synthetic is not None:
            raise InputError(
                f"stage {stage.name} of {system.name} wants masks out of fold, but all folds "
                "learn from the synthetic cases; set its input_mask.training to predicted or "
                "truth, or leave dataset.synthetic out"
            )
        mask_folds(stage.input_mask, cases.train, system.seed)


def synthetic_cases(system: System) -> tuple[Case, ...]:
    """The synthetic cases that join the training, none if the recipe wants none.

    Raises
    ------
    InputError
        If there are none where the recipe says.
    """
    plan = system.dataset.synthetic
    if plan is None:
        return ()
    found = open_dataset(plan.folder)
    if not found.labelled:
        raise InputError(f"{found.root} holds no label maps; correct dataset.synthetic.folder")
    return tuple(found.labelled)


def _watched(split: Split) -> tuple[str, ...]:
    """Cases to validate with: the validation side; of two-sided splits there is no other."""
    return split.val or split.test
