"""The training loop of one stage.

Everything random in step ``i`` follows from the recipe's seed and ``i``, so a checkpoint is the
step number, the weights, their moving average and the optimizer's moments: killed at any moment
and resumed, a training ends with the same weights on a CPU.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from renalis.errors import InputError
from renalis.networks import build
from renalis.recipes import Optimisation, Recipe, Stage
from renalis.synthesis.patches import Body, PatchPlan, draw_patch, load_body
from renalis.training.losses import region_dice, segmentation_loss

__all__ = ["learning_rate", "load_average", "train_stage"]

# Tumor and cyst are rare; without a weight the cross-entropy would rather not name them.
_CLASS_WEIGHTS = (0.7, 1.0, 1.5, 1.8)


def learning_rate(step: int, plan: Optimisation) -> float:
    """Warm up, stay, fall linearly to zero over the last part of the steps."""
    warm = min(1.0, (step + 1) / max(1, plan.warmup))
    left = (plan.steps - step) / max(1.0, plan.decay_share * plan.steps)
    return plan.learning_rate * min(warm, left, 1.0)


def train_stage(
    recipe: Recipe,
    stage: Stage,
    bodies: Path,
    run: Path,
    report: Callable[[str], None],
    checkpoint_every: int = 100,
) -> Path:
    """Train one network, going on from its checkpoint if there is one.

    Parameters
    ----------
    recipe : Recipe
        Gives the seed.
    stage : Stage
        The network and how to train it.
    bodies : Path
        Folder of tissue maps (``*.body``).
    run : Path
        The run's folder; gets ``<stage>.safetensors`` and ``<stage>.jsonl``.
    report : callable
        Takes progress lines.
    checkpoint_every : int
        Steps between checkpoints.

    Returns
    -------
    Path
        The checkpoint.

    Raises
    ------
    InputError
        If there are no bodies or the checkpoint does not fit the recipe.
    """
    pool = [load_body(path) for path in sorted(bodies.glob("*.body"))]
    if not pool:
        raise InputError(f"{bodies} holds no bodies to train with")
    run.mkdir(parents=True, exist_ok=True)
    path = run / f"{stage.name}.safetensors"
    torch.manual_seed(recipe.seed)
    network = build(stage.network)
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=1.0, weight_decay=stage.optimisation.weight_decay, betas=(0.9, 0.99)
    )
    start = _resume(path, network, average, optimizer) if path.exists() else 0
    plan = _patch_plan(stage, pool[0])
    weights = torch.tensor(_CLASS_WEIGHTS)
    began, window = time.monotonic(), _Window()
    for step in range(start, stage.optimisation.steps):
        image, target = _example(pool, plan, (recipe.seed, _stage_number(recipe, stage), step))
        rate = learning_rate(step, stage.optimisation)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(image)
        loss = segmentation_loss(logits, target, weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 3.0)
        optimizer.step()
        # A young average follows faster, so that the random start is soon forgotten.
        _follow(average, network, min(stage.optimisation.average, (step + 1) / (step + 10)))
        window.add(float(loss.detach()), region_dice(logits.detach(), target))
        done = step + 1
        if done % checkpoint_every == 0 or done == stage.optimisation.steps:
            _save(path, done, network, average, optimizer)
            entry = {"step": done, "rate": rate, **window.summary()}
            with (run / f"{stage.name}.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            pace = (time.monotonic() - began) / (done - start)
            left = pace * (stage.optimisation.steps - done) / 60
            report(f"{stage.name} {done}/{stage.optimisation.steps} {entry} {left:.0f} min left")
            window = _Window()
    return path


def load_average(path: Path) -> tuple[int, dict[str, Tensor]]:
    """Step number and averaged weights of a checkpoint."""
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.startswith("average.")]  # noqa: SIM118
        weights = {name.removeprefix("average."): file.get_tensor(name) for name in names}
        return int(file.metadata()["step"]), weights


def _patch_plan(stage: Stage, body: Body) -> PatchPlan:
    reduction = stage.spacing_mm / body.spacing
    if abs(reduction - round(reduction)) > 1e-6:
        raise InputError(
            f"stage {stage.name}: its spacing is no whole multiple of the bodies' {body.spacing} mm"
        )
    balance = stage.balance
    return PatchPlan(
        stage.patch,
        round(reduction),
        stage.window_hu,
        balance.near,
        balance.lesion,
        balance.jitter,
    )


def _stage_number(recipe: Recipe, stage: Stage) -> int:
    return [other.name for other in recipe.stages].index(stage.name)


def _example(pool: list[Body], plan: PatchPlan, seed: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    image, label = draw_patch(pool, plan, np.random.default_rng(seed))
    return torch.from_numpy(image)[None, None], torch.from_numpy(label.astype(np.int64))[None]


@torch.no_grad()
def _follow(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    for name, value in network.state_dict().items():
        average[name].lerp_(value, 1 - decay)


def _save(
    path: Path,
    step: int,
    network: nn.Module,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write the checkpoint beside the old one, then put it in its place."""
    tensors = {f"weights.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    for number, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer.{number}.{name}"] = value
    partial = path.with_suffix(".partial")
    save_file({name: value.contiguous() for name, value in tensors.items()}, partial, {"step": str(step)})
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def _resume(
    path: Path,
    network: nn.Module,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> int:
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        step = int(file.metadata()["step"])
    try:
        network.load_state_dict(_part(tensors, "weights."))
    except RuntimeError as error:
        raise InputError(f"{path} was made with another network; choose another run folder") from error
    for name, value in _part(tensors, "average.").items():
        average[name].copy_(value)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "optimizer.").items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return step


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


class _Window:
    """Means of the loss and of the patches' Dice since the last report."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.scores: tuple[list[float], list[float], list[float]] = ([], [], [])

    def add(self, loss: float, scores: list[float | None]) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError("the loss is not finite; the learning rate is too high")
        self.losses.append(loss)
        for kept, score in zip(self.scores, scores, strict=True):
            if score is not None:
                kept.append(score)

    def summary(self) -> dict[str, float]:
        result = {"loss": round(float(np.mean(self.losses)), 4)}
        for name, kept in zip(("renal", "tumor", "cyst"), self.scores, strict=True):
            result[f"dice_{name}"] = round(float(np.mean(kept)), 4) if kept else 0.0
        return result
