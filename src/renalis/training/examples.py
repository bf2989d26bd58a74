"""Training examples of a stage, alone or on top of an earlier stage's probabilities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from renalis.errors import InputError
from renalis.networks import build
from renalis.recipes import Recipe, Stage
from renalis.synthesis.patches import Body, PatchPlan, draw_nested, draw_patch
from renalis.training.checkpoint import load_average

__all__ = ["Example", "examples"]

Example = Callable[[np.random.Generator], tuple[Tensor, Tensor]]
"""Draws (image (N, C, Z, Y, X) float32, target (N, Z, Y, X) int64)."""


def examples(recipe: Recipe, stage: Stage, pool: list[Body], run: Path) -> Example:
    """The function that draws a stage's examples.

    Raises
    ------
    InputError
        If the spacing does not fit the bodies or the prior stage has not been trained.
    """
    if stage.prior is None:
        plan = _plan(stage, stage, pool[0])

        def single(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
            image, label = draw_patch(pool, plan, rng)
            return torch.from_numpy(image)[None, None], torch.from_numpy(label)[None].long()

        return single

    prior = recipe.stage(stage.prior)
    plan = _plan(prior, stage, pool[0])
    path = run / f"{prior.name}.safetensors"
    if not path.exists():
        raise InputError(f"stage {stage.name} needs stage {prior.name} trained first in {run}")
    network = build(prior.network)
    network.load_state_dict(load_average(path)[1])
    network.eval()

    def nested(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        coarse, fine, label = draw_nested(pool, plan, rng)
        probability = _prior(network, coarse, fine.shape)
        _damage(probability, rng)
        image = torch.cat([torch.from_numpy(fine)[None], probability])
        corners = _corners(label, probability, stage, rng)
        boxes = [
            tuple(slice(c, c + n) for c, n in zip(at, stage.patch, strict=True)) for at in corners
        ]
        images = torch.stack([image[(slice(None), *box)] for box in boxes])
        targets = np.stack([label[box] for box in boxes])
        return images, torch.from_numpy(targets).long()

    return nested


def _plan(patch_of: Stage, stage: Stage, body: Body) -> PatchPlan:
    reduction = patch_of.spacing_mm / body.spacing
    if abs(reduction - round(reduction)) > 1e-6:
        raise InputError(
            f"stage {stage.name}: {patch_of.spacing_mm} mm is no whole multiple of the bodies' "
            f"{body.spacing} mm"
        )
    balance = stage.balance
    return PatchPlan(
        patch_of.patch,
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


@torch.no_grad()
def _prior(network: nn.Module, coarse: NDArray[np.float32], shape: tuple[int, ...]) -> Tensor:
    """Probabilities of kidney, tumor and cyst on the fine grid, (3, Z, Y, X)."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.from_numpy(coarse)[None, None])
    probability = torch.softmax(logits.float(), 1)[:, 1:]
    return functional.interpolate(probability, size=shape, mode="trilinear")[0]


def _damage(probability: Tensor, rng: np.random.Generator) -> None:
    """Make the prior less trustworthy, in place: on real scans it errs more than on synthetic ones.

    Now and then it is missing, missing on one side, shifted, or its lesions are.
    """
    draw = rng.random()
    if draw < 0.08:
        probability.zero_()
    elif draw < 0.2:
        axis = int(rng.integers(1, 4))
        length = probability.shape[axis]
        cut = int(length * rng.uniform(0.3, 0.7))
        start, count = (0, cut) if rng.random() < 0.5 else (cut, length - cut)
        probability.narrow(axis, start, count).mul_(float(rng.uniform(0, 0.4)))
    elif draw < 0.35:
        shift = [int(v) for v in rng.integers(-2, 3, 3)]
        probability.copy_(torch.roll(probability, shift, (1, 2, 3)))
    elif draw < 0.45:
        lesions = probability[1:].sum(0)
        probability[0] += lesions
        probability[1:] = 0
    elif draw < 0.6:
        probability.pow_(float(np.exp(rng.normal(0, 0.5))))


def _corners(
    label: NDArray[np.uint8], probability: Tensor, stage: Stage, rng: np.random.Generator
) -> list[list[int]]:
    """Where to cut patches: at lesions, at what is renal, at what the prior wrongly took for it.

    One in ten lies anywhere, so that the network also knows what no prior ever points at.
    """
    suspected = probability.sum(0).numpy() > 0.3
    corners = []
    for _ in range(stage.patches_per_region):
        draw = rng.random()
        center = np.asarray(label.shape) * rng.uniform(0.1, 0.9, 3)
        if draw < stage.balance.lesion:
            kinds = [label > 1, label > 0, suspected]
        elif draw < 0.9:
            kinds = [suspected & (label == 0)] if rng.random() < 0.25 else []
            kinds += [label > 0, suspected]
        else:
            kinds = []
        for kind in kinds:
            flat = np.flatnonzero(kind)
            if len(flat):
                center = np.asarray(
                    np.unravel_index(flat[rng.integers(len(flat))], label.shape), float
                )
                break
        patch = np.asarray(stage.patch)
        corner = center - patch / 2 + rng.uniform(-0.25, 0.25, 3) * patch
        limit = np.asarray(label.shape) - patch
        corners.append([int(v) for v in np.clip(np.rint(corner), 0, limit)])
    return corners
