"""Training examples of a stage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from renalis.errors import InputError
from renalis.recipes import Stage
from renalis.synthesis.patches import Body, PatchPlan, draw_patch

__all__ = ["Example", "examples"]

Example = Callable[[np.random.Generator], tuple[Tensor, Tensor]]
"""Draws (image (N, C, Z, Y, X) float32, target (N, Z, Y, X) int64)."""


def examples(stage: Stage, pool: list[Body]) -> Example:
    """The function that draws a stage's examples.

    Raises
    ------
    InputError
        If the spacing does not fit the bodies.
    """
    plan = _plan(stage, pool[0])

    def single(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        image, label = draw_patch(pool, plan, rng)
        return torch.from_numpy(image)[None, None], torch.from_numpy(label)[None].long()

    return single


def _plan(stage: Stage, body: Body) -> PatchPlan:
    reduction = stage.spacing_mm / body.spacing
    if abs(reduction - round(reduction)) > 1e-6:
        raise InputError(
            f"stage {stage.name}: {stage.spacing_mm} mm is no whole multiple of the bodies' "
            f"{body.spacing} mm"
        )
    balance = stage.balance
    return PatchPlan(
        stage.patch,
        round(reduction),
        stage.window_hu,
        balance.near,
        balance.lesion,
        balance.jitter,
        balance.flip,
        balance.added_lesions,
        balance.large_mass,
        balance.wide_pelvis,
        balance.new_inside,
        balance.mottled,
        stage.other_patches,
        balance.phases,
    )
