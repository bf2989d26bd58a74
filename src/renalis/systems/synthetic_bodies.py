"""The pool of synthetic bodies that a training cuts its patches from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np

from renalis.disk_failures import check_not_gone
from renalis.recipes import Bodies, System
from renalis.recipes.sample_fields import Patches
from renalis.synthesis.anatomy import compose
from renalis.synthesis.label_maps import (
    held_back_maps,
    invented_labels,
    label_maps,
    read_kits23_labels,
)
from renalis.synthesis.patches import save_body

__all__ = ["bodies_folder", "build_bodies", "spacings_mm", "training_maps"]


def bodies_folder(folder: Path, spacing_mm: float) -> Path:
    """Where a fold keeps the bodies of a spacing that patches are cut from."""
    return folder / "bodies" / f"{spacing_mm:g}mm"


def training_maps(plan: Bodies, folder: Path) -> tuple[list[Path], list[Path]]:
    """Label maps of a folder to compose bodies of, and those that are kept back for testing.

    Raises
    ------
    InputError
        If the folder holds no label maps, or another number than the recipe counts over.
    """
    maps = label_maps(folder)
    if plan.held_back is None:
        return maps, []
    kept_back = held_back_maps(plan.held_back, maps, folder)
    return [path for path in maps if path not in set(kept_back)], kept_back


def spacings_mm(system: System) -> tuple[float, ...]:
    """At which spacings a recipe's stages need bodies, each once; none if none needs any."""
    samplers = [stage.sampler for stage in system.all_stages()]
    return tuple(
        dict.fromkeys(
            sampler.rendering.bodies_mm
            for sampler in samplers
            if isinstance(sampler, Patches) and sampler.rendering and sampler.mix.synthetic
        )
    )


def build_bodies(
    system: System,
    maps: Sequence[Path],
    folder: Path,
    part: tuple[int, int] = (0, 1),
    report: Callable[[str], None] = print,
) -> None:
    """Compose the recipe's bodies that are not there yet, at every spacing that a stage needs.

    Parameters
    ----------
    system : System
        The recipe; says how many and from what.
    maps : sequence of Path
        Label maps (KiTS23); without them all kidneys are invented.
    folder : Path
        The fold's folder (`bodies_folder`); each body appears whole or not at all.
    part : tuple of int
        ``(k, n)``: make only every n-th body starting with the k-th, to share the work.
    report : callable
        Takes a line.
    """
    targets = {mm: bodies_folder(folder, mm) for mm in spacings_mm(system)}
    if not targets:
        return
    assert system.bodies is not None, "a recipe with synthetic patches has bodies"
    report(f"composing {system.bodies.count} bodies around {len(maps)} label maps")
    for target in targets.values():
        target.mkdir(parents=True, exist_ok=True)
    for number in range(part[0], system.bodies.count, part[1]):
        paths = {mm: target / f"{number:05d}.body" for mm, target in targets.items()}
        missing = {mm: path for mm, path in paths.items() if not path.exists()}
        _build(system.bodies, system.seed, maps, number, missing)


def _build(
    plan: Bodies, seed: int, maps: Sequence[Path], number: int, missing: dict[float, Path]
) -> None:
    """Compose one body at every spacing (mm) that it is missing at."""
    if not missing:
        return
    rng = np.random.default_rng((seed, 1, number))
    invent = not maps or rng.random() < plan.invented_share
    # Walk through all maps before one comes again.
    labels = invented_labels(rng) if invent else read_kits23_labels(maps[(number * 7) % len(maps)])
    for spacing_mm, path in missing.items():
        own = deepcopy(rng)  # what one spacing draws changes no other's body
        tissue = compose(
            labels, own, spacing_mm, crossed=plan.crossed_share, masses=plan.masses_share
        )
        check_not_gone(path.parent)
        save_body(path, np.asarray(tissue.array), spacing_mm, number)
