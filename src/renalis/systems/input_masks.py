"""Input masks of a stage: from the labels, or predicted by an earlier stage's network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from renalis.dataset import Case, Split, kfold
from renalis.dataset.reading import case_content
from renalis.errors import InputError
from renalis.io import whole_file
from renalis.networks import build
from renalis.preparation import PreparedCase, file_hash
from renalis.recipes.system import InputMask, Stage
from renalis.systems.inference import predict_stage
from renalis.systems.longer_training import stopping_text
from renalis.systems.recipe_cases import grid_specs, keep_split, load_statistics, prepared
from renalis.systems.recipe_grids import target_table
from renalis.training.checkpoint import load_weights, read_metadata

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = [
    "Masks",
    "TrainOn",
    "mask_folds",
    "out_of_fold_masks",
    "predicted_masks",
    "true_masks",
]

Masks = list[NDArray[np.uint8]]
"""One per case, (Z, Y, X), 0 and 1, on the grid that the earlier stage predicts."""

TrainOn = Callable[[list[Case], Path], nn.Module]
"""Trains the earlier stage on some cases in a folder of its own, or goes on with that."""

_FORMAT = 1
"""Raised whenever the same network would give another mask."""


def true_masks(stage: Stage, before: Stage, cases: Sequence[PreparedCase]) -> Masks:
    """Masks from the labels: what a perfect earlier stage would predict."""
    table = target_table(before.target)
    labels = [case.grid(stage.prediction.grid).label for case in cases]
    return [(table[label] > 0).astype(np.uint8) for label in labels if label is not None]


def predicted_masks(
    before: Stage,
    network: nn.Module,
    cases: Sequence[Case],
    threshold: float,
    folder: Path,
    cache: Path,
    device: torch.device,
) -> Iterator[NDArray[np.uint8]]:
    """Masks that an earlier stage's network predicts.

    Parameters
    ----------
    before : Stage
        The earlier stage.
    network : nn.Module
        Trained.
    cases : sequence of Case
    threshold : float
        Of the probability of anything but background ("greater than").
    folder : Path
        Where it was trained, for the intensities it was trained with.
    cache : Path
        Of prepared cases.
    device : torch.device
        Where to compute.
    """
    specs = grid_specs(before, load_statistics(folder, before.name))
    for case in cases:
        (ready,) = prepared([case], list(specs.values()), cache)
        predicted = predict_stage(before, [network], ready, specs, device=device)
        yield (predicted.probability[1:].sum(0) > threshold).astype(np.uint8)


def mask_folds(mask: InputMask, cases: Sequence[Case], seed: int) -> list[Split]:
    """For each fold, the training cases of its network (``train``) and those it predicts (``val``).

    Raises
    ------
    InputError
        If there are fewer patients than folds.
    """
    ids = [case.id for case in cases]
    patients = {case.id: case.patient for case in cases}
    return [kfold(ids, mask.folds, seed, n, patients=patients) for n in range(mask.folds)]


def out_of_fold_masks(
    before: Stage,
    mask: InputMask,
    cases: Sequence[Case],
    seed: int,
    folder: Path,
    cache: Path,
    fabric: Fabric,
    train: TrainOn,
    report: Callable[[str], None],
) -> Masks:
    """Out-of-fold masks: predicted by networks that were trained on other patients of the cases.

    Networks and masks that are there already are not made again, so this may be killed at any
    moment and called again.

    Parameters
    ----------
    before : Stage
        The earlier stage.
    mask : InputMask
        How many folds, and the threshold.
    cases : sequence of Case
        All that the stage with the mask is trained on.
    seed : int
        Of the folds.
    folder : Path
        Gets a folder for each fold, with ``split.json``: ``train`` are its network's training
        cases, ``val`` get its masks.
    cache : Path
        Of prepared cases; the masks are kept in a folder of it, each under a hash of the network
        and the case.
    fabric : Fabric
        The processes share the training and the cases.
    train : callable
        See `TrainOn`.
    report : callable
        Takes progress lines.

    Raises
    ------
    InputError
        If there are fewer patients than folds, or a fold was begun with other cases.
    """
    paths: dict[str, Path] = {}
    for number, split in enumerate(mask_folds(mask, cases, seed)):
        home = folder / f"fold_{number}"
        keep_split(home / "split.json", split, fabric)
        held = [case for case in cases if case.id in split.val]
        weights = home / f"{before.name}.safetensors"
        # One process decides for all, since training takes all of them.
        if not fabric.broadcast(_trained(weights, before)):
            report(
                f"{before.name}, fold {number} of {mask.folds} for masks: {len(split.train)} cases"
            )
            train([case for case in cases if case.id in split.train], home)
        network = file_hash([weights, home / f"{before.name}.plan.json"])
        for case in held:
            paths[case.id] = cache / "masks" / f"{_key(before, mask, network, case)}.npy"
        mine = held[fabric.global_rank :: fabric.world_size]
        # All again: computers that share no disk make what others made for themselves.
        for some in (mine, held):
            _predict(before, mask, some, paths, weights, cache, fabric.device)
            fabric.barrier()
        report(f"{before.name}, fold {number} of {mask.folds}: masks of {len(held)} cases")
    return [_read(paths[case.id]) for case in cases]


def _trained(weights: Path, before: Stage) -> bool:
    """Whether a network is there, and was trained as long as the recipe says now."""
    return weights.exists() and read_metadata(weights).get("until") == stopping_text(
        before.optimisation
    )


def _predict(
    before: Stage,
    mask: InputMask,
    cases: Sequence[Case],
    paths: dict[str, Path],
    weights: Path,
    cache: Path,
    device: torch.device,
) -> None:
    """Write the masks that are not there yet."""
    missing = [case for case in cases if not paths[case.id].exists()]
    if not missing:
        return
    network = build(before.network.config())
    load_weights(weights, network)
    found = predicted_masks(before, network, missing, mask.threshold, weights.parent, cache, device)
    for case, one in zip(missing, found, strict=True):
        with whole_file(paths[case.id]) as file:
            np.save(file, one, allow_pickle=False)


def _key(before: Stage, mask: InputMask, network: str, case: Case) -> str:
    content = case_content(case, labels=False)
    made = json.dumps([_FORMAT, before.model_dump_json(), mask.threshold, network, content])
    return hashlib.sha256(made.encode()).hexdigest()[:32]


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.dtype != np.uint8 or array.ndim != 3:
            raise ValueError(f"{array.dtype}, {array.ndim} axes")
    except (OSError, ValueError) as error:
        raise InputError(
            f"the mask {path} is damaged ({error}); delete it, it will be made again"
        ) from error
    return np.asarray(array)
