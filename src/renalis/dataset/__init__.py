"""Datasets: find the cases, check them, describe them, split them by patient, hand them on."""

from __future__ import annotations

from renalis.dataset.cases import Case, Dataset
from renalis.dataset.opening import open_dataset
from renalis.dataset.split_files import load_split, load_splits, save_splits
from renalis.dataset.splits import Split, holdout, kfold, nested_holdout

__all__ = [
    "Case",
    "Dataset",
    "Split",
    "holdout",
    "kfold",
    "load_split",
    "load_splits",
    "nested_holdout",
    "open_dataset",
    "save_splits",
]
