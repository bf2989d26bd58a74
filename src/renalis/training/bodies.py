"""The pool of synthetic bodies that a training cuts its patches from."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np

from renalis.errors import InputError
from renalis.recipes import Recipe, Stage
from renalis.synthesis.anatomy import compose
from renalis.synthesis.labelmaps import (
    held_back_maps,
    invented_labels,
    label_maps,
    read_label_map,
)
from renalis.synthesis.patches import save_body

__all__ = ["bodies_folder", "build_bodies", "training_maps"]


def bodies_folder(run: Path, stage: Stage) -> Path:
    """Where a run keeps the bodies that a stage's patches are cut from."""
    return run / "bodies" / f"{stage.bodies_mm:g}mm"


def training_maps(recipe: Recipe, folder: Path) -> list[Path]:
    """Label maps of a folder without those that the recipe keeps back for testing.

    Raises
    ------
    InputError
        If the folder holds no label maps, or another number than the recipe counts over.
    """
    maps = label_maps(folder)
    kept_back = set(held_back_maps(recipe.held_back, maps, folder))
    return [path for path in maps if path not in kept_back]


def build_bodies(
    recipe: Recipe, folder: Path | None, run: Path, part: tuple[int, int] = (0, 1)
) -> None:
    """Compose the recipe's bodies that are not there yet, at every spacing that a stage needs.

    Parameters
    ----------
    recipe : Recipe
        Says how many and from what.
    folder : Path or None
        Label maps; without them all kidneys are invented.
    run : Path
        The run's folder (`bodies_folder`); each body appears whole or not at all.
    part : tuple of int
        ``(k, n)``: make only every n-th body starting with the k-th, to share the work.

    Raises
    ------
    InputError
        If the folder holds no label maps.
    """
    targets = {stage.bodies_mm: bodies_folder(run, stage) for stage in recipe.stages}
    for target in targets.values():
        target.mkdir(parents=True, exist_ok=True)
    maps = training_maps(recipe, folder) if folder else []
    if folder and not maps:
        raise InputError(f"{folder} holds no label maps to train with")
    for number in range(part[0], recipe.bodies.count, part[1]):
        paths = {mm: target / f"{number:05d}.body" for mm, target in targets.items()}
        _build(recipe, maps, number, {mm: p for mm, p in paths.items() if not p.exists()})


def _build(recipe: Recipe, maps: list[Path], number: int, missing: dict[float, Path]) -> None:
    """Compose one body at every spacing (mm) that it is missing at."""
    if not missing:
        return
    plan = recipe.bodies
    rng = np.random.default_rng((recipe.seed, 1, number))
    invent = not maps or rng.random() < plan.invented_share
    # Walk through all maps before one comes again.
    labels = invented_labels(rng) if invent else read_label_map(maps[(number * 7) % len(maps)])
    for spacing_mm, path in missing.items():
        own = deepcopy(rng)  # what one spacing draws changes no other's body
        tissue = compose(
            labels, own, spacing_mm, crossed=plan.crossed_share, masses=plan.masses_share
        )
        save_body(path, np.asarray(tissue.array), spacing_mm, number)
