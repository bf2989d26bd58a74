"""Runs whose networks have learned nothing: they predict as trained ones do, and cost nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from renalis.dataset import Split, open_dataset, save_splits
from renalis.networks import build
from renalis.recipes import load_system
from renalis.recipes.data_fields import KFold
from renalis.systems.recipe_cases import split_of
from renalis.systems.training_cases import keep_training_cases
from renalis.training.checkpoint import save_weights
from renalis.training.devices import Devices, open_fabric

__all__ = ["untrained_run"]


def untrained_run(
    recipe: str,
    data: Path,
    run: Path,
    changes: Sequence[str] = (),
    *,
    unfinished: Sequence[int] = (),
    seed: int = 0,
    splits: Sequence[Split] | None = None,
) -> Path:
    """A run's folder with the split, the cases and random weights of each fold.

    Parameters
    ----------
    recipe : str
        Name; its small variant is taken.
    data : Path
        A dataset in KiTS19's layout.
    run : Path
        The folder to make.
    changes : sequence of str
        As for ``--set``.
    unfinished : sequence of int
        Folds without weights.
    seed : int
        Of the weights.
    splits : sequence of Split, optional
        In place of the recipe's.
    """
    system = load_system(recipe, tuple(changes), tiny=True)
    dataset = open_dataset(data, "kits23" if system.coarse_to_fine else "kits19")
    if splits is None:
        folds = range(system.split.k if isinstance(system.split, KFold) else 1)
        splits = [split_of(dataset, dataset.labelled, system.split, fold) for fold in folds]
    run.mkdir(parents=True)
    (run / "recipe.json").write_text(system.model_dump_json())
    fabric = open_fabric(Devices("cpu", 1))
    for number, split in enumerate(splits):
        folder = run / f"fold_{number}"
        save_splits(folder / "split.json", [split])
        learned = dataset.chosen([*split.train, *split.val])
        keep_training_cases(folder, learned, run / "prepared", fabric)
        if number in unfinished:
            continue
        torch.manual_seed(100 * seed + number)
        for stage in system.all_stages():
            weights = build(stage.network.config()).state_dict()
            save_weights(folder / f"{stage.name}.safetensors", weights, {})
            statistics = {
                grid.name: (100.0, 80.0)
                for grid in stage.grids
                if grid.normalize == "training_zscore"
            }
            plan = json.dumps({"stage": stage.name, "statistics": statistics})
            (folder / f"{stage.name}.plan.json").write_text(plan)
    return run
