"""Cases of a recipe: which, in which split, and on the recipe's grids."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from renalis.dataset import (
    Case,
    Dataset,
    Split,
    holdout,
    kfold,
    load_split,
    nested_holdout,
    save_splits,
)
from renalis.dataset.filters import CaseFilter, label_volumes
from renalis.dataset.reading import case_content, read_case, read_case_labels
from renalis.errors import InputError
from renalis.preparation import (
    CacheUse,
    GridSpec,
    PreparedCase,
    cached_case,
    hu_histogram,
    mean_and_std,
)
from renalis.recipes.data_fields import DataPlan, Holdout, Nested
from renalis.recipes.data_fields import Split as SplitPlan
from renalis.recipes.system import Stage
from renalis.systems.recipe_grids import grid_spec
from renalis.volume import Volume

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = [
    "chosen_cases",
    "grid_specs",
    "keep_split",
    "load_statistics",
    "prepared",
    "split_of",
    "training_statistics",
    "with_specs",
]

_LESIONS = ("tumor", "cyst", "abnormality")


def chosen_cases(dataset: Dataset, plan: DataPlan) -> tuple[Case, ...]:
    """The labelled cases that a recipe uses: without the excluded, by the tumor's size.

    Raises
    ------
    InputError
        If none is left or a label map cannot be read.
    """
    cases = dataset.labelled
    if not cases:
        raise InputError(f"{dataset.root} holds no label maps to train with")
    rule = CaseFilter(tumor_ml_max=plan.tumor_ml_max, exclude=plan.exclude)
    drop_free = plan.tumor_free == "drop"
    volumes: Mapping[str, Mapping[str, float]] = {}
    if rule.needs_volumes or drop_free:
        volumes = label_volumes(cases, dataset.convention)
    kept = set(rule.kept([case.id for case in cases], volumes))
    if drop_free:
        kept = {i for i in kept if _lesion_ml(volumes[i]) > 0}
        if not kept:
            raise InputError(f"no case of {dataset.root} has a tumor; set dataset.tumor_free=keep")
    return tuple(case for case in cases if case.id in kept)


def split_of(
    dataset: Dataset, cases: Sequence[Case], plan: SplitPlan, fold: int | None = None
) -> Split:
    """The recipe's split of its cases by patient.

    Raises
    ------
    InputError
        If there are too few cases, or there is no such fold.
    """
    ids = [case.id for case in cases]
    patients = {case.id: case.patient for case in cases}
    if not isinstance(plan, Holdout | Nested):
        fold = plan.fold if fold is None else fold
        if not 0 <= fold < plan.k:
            raise InputError(f"the recipe has {plan.k} folds, counted from 0; not {fold}")
        return kfold(ids, plan.k, plan.seed, fold, patients=patients)
    if fold:
        raise InputError("the recipe splits its cases once; it has the fold 0 only")
    strata = None
    if plan.stratify:
        volumes = label_volumes(cases, dataset.convention)
        strata = {i: "with" if _lesion_ml(volumes[i]) > 0 else "without" for i in ids}
    if isinstance(plan, Nested):
        return nested_holdout(ids, plan.test, plan.val, plan.seed, strata, patients=patients)
    return holdout(ids, (plan.train, plan.val, plan.test), plan.seed, strata, patients=patients)


def prepared(cases: Sequence[Case], specs: Sequence[GridSpec], cache: Path) -> list[PreparedCase]:
    """Cases on their grids, from the cache where they are there.

    Raises
    ------
    InputError, OutputError
        See `renalis.preparation.cached_case`.
    """
    use = CacheUse(cache)

    def one(case: Case) -> PreparedCase:
        def load() -> tuple[Volume, Volume | None]:
            return read_case(case), read_case_labels(case)

        return cached_case(cache, case_content(case), load, specs, case.id, use)

    return [one(case) for case in cases]


def with_specs(cases: Sequence[PreparedCase], specs: Mapping[str, GridSpec]) -> list[PreparedCase]:
    """The same prepared cases, with intensities that became known after they were prepared."""
    return [
        PreparedCase({name: replace(grid, spec=specs[name]) for name, grid in case.grids.items()})
        for case in cases
    ]


def grid_specs(
    stage: Stage, statistics: Mapping[str, tuple[float, float]] | None = None
) -> dict[str, GridSpec]:
    """A stage's grids by name.

    Parameters
    ----------
    stage : Stage
    statistics : mapping, optional
        Mean and standard deviation (HU) by grid, for those that are normalized by the training
        set. Without it these are not normalized yet.
    """
    return {
        plan.name: grid_spec(plan, None if statistics is None else statistics.get(plan.name))
        for plan in stage.grids
    }


def keep_split(path: Path, split: Split, fabric: Fabric, dataset: str = "") -> None:
    """Note in a training's folder who is on which side.

    Parameters
    ----------
    path : Path
        The file.
    split : Split
    fabric : Fabric
        The first of its processes writes.
    dataset : str
        Name of the dataset.

    Raises
    ------
    InputError
        If the folder was begun with another split: going on would mix both.
    """
    if path.exists() and load_split(path) != split:
        raise InputError(
            f"{path.parent} was begun with other cases, or with another split of them; choose "
            "another run folder, or delete that one to train it again"
        )
    # Every process has looked before the first one writes.
    fabric.barrier()
    if fabric.global_rank == 0:
        save_splits(path, [split], dataset=dataset)
    fabric.barrier()


def load_statistics(folder: Path, stage: str) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation by grid that a fold's stage was trained with.

    Raises
    ------
    InputError
        If the plan is missing or damaged.
    """
    path = folder / f"{stage}.plan.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["statistics"]
        return {name: (float(a), float(b)) for name, (a, b) in content.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is missing or damaged ({error}); train the fold again") from error


def training_statistics(
    stage: Stage,
    cases: Sequence[PreparedCase],
    regions: Sequence[NDArray[np.uint8]] | None,
) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation (HU) of the training cases, for grids that ask for them."""
    result: dict[str, tuple[float, float]] = {}
    for plan in stage.grids:
        if plan.normalize != "training_zscore":
            continue
        masks: Sequence[NDArray[np.uint8] | None] = [None] * len(cases)
        if plan.zscore_voxels == "mask" and regions is not None:
            masks = regions
        total = np.zeros(1 << 16, np.int64)
        for case, mask in zip(cases, masks, strict=True):
            total += hu_histogram(case.grid(plan.name).image, mask)
        if not total.any():
            raise InputError(
                f"stage {stage.name}: the input masks of all training cases are empty, since the "
                "stage before found nothing; train it longer, by the same command with --resume "
                "and a larger --set optimisation.stop.epochs"
            )
        mean, deviation = mean_and_std(total, plan.clip_hu)
        result[plan.name] = (mean, max(deviation, 1e-3))
    return result


def _lesion_ml(volumes: Mapping[str, float]) -> float:
    return sum(volumes.get(name, 0.0) for name in _LESIONS)
