"""The training loop of one stage.

Everything random in step ``i`` follows from the recipe's seed and ``i``, so a checkpoint is the
step number, the weights, their moving average and the optimizer's moments: killed at any moment
and resumed, a training ends with the same weights on a CPU.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from renalis.errors import InputError
from renalis.networks import build
from renalis.recipes import Optimisation, Recipe, Stage
from renalis.synthesis.patches import load_body
from renalis.training.checkpoint import resume, save, start_from
from renalis.training.examples import examples
from renalis.training.losses import region_dice, segmentation_loss
from renalis.training.plan import OptimizerPlan, build_optimizer
from renalis.training.workers import ALONE, Workers

__all__ = ["learning_rate", "train_stage"]

# Tumor and cyst are rare; a little more weight, so that they are named at all. (A lower weight of
# the background pushed the outlines outwards by a third of a millimeter.)
_CLASS_WEIGHTS = (1.0, 1.0, 1.5, 2.0)

_SCORE_EVERY = 10
"""Steps between those whose Dice is reported; it costs a sixth of a small network's step."""


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
    workers: Workers = ALONE,
    checkpoint_every: int = 50,
) -> Path:
    """Train one network, going on from its checkpoint if there is one.

    Parameters
    ----------
    recipe : Recipe
        Gives the seed.
    stage : Stage
        The network and how to train it. A stage that it starts from must have been trained in the
        same run.
    bodies : Path
        Folder of tissue maps (``*.body``).
    run : Path
        The run's folder; gets ``<stage>.safetensors`` and ``<stage>.jsonl``.
    report : callable
        Takes progress lines.
    workers : Workers
        Processes that share a batch.
    checkpoint_every : int
        Steps between checkpoints.

    Returns
    -------
    Path
        The checkpoint.

    Raises
    ------
    InputError
        If there are no bodies or a checkpoint does not fit the recipe.
    """
    pool = [load_body(path) for path in sorted(bodies.glob("*.body"))]
    if not pool:
        raise InputError(f"{bodies} holds no bodies to train with")
    run.mkdir(parents=True, exist_ok=True)
    path = run / f"{stage.name}.safetensors"
    torch.manual_seed(recipe.seed)
    network = build(stage.network)
    if stage.start_from and not path.exists():
        start_from(run / f"{stage.start_from}.safetensors", network)
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    plan = stage.optimisation
    # The learning rate is set at every step.
    kind = OptimizerPlan(plan.optimizer, 1.0, (0.9, 0.99), weight_decay=plan.weight_decay)
    optimizer = build_optimizer(network.parameters(), kind)
    start = resume(path, network, average, optimizer) if path.exists() else 0
    example = examples(stage, pool)
    number = [other.name for other in recipe.stages].index(stage.name)
    weights = torch.tensor(_CLASS_WEIGHTS)
    began, window = time.monotonic(), _Window()
    for step in range(start, plan.steps):
        optimizer.zero_grad(set_to_none=True)
        for item in range(workers.rank, plan.batch, workers.count):
            rng = np.random.default_rng((recipe.seed, number, step * plan.batch + item))
            image, target = example(rng)
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(image)
            loss = segmentation_loss(logits, target, weights)
            torch.autograd.backward(loss / plan.batch)
            window.add(float(loss.detach()))
            if step % _SCORE_EVERY == 0:
                window.add_scores(region_dice(logits.detach(), target))
        workers.sum_gradients(network)
        nn.utils.clip_grad_norm_(network.parameters(), 3.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, plan)
        optimizer.step()
        # A young average follows faster, so that the random start is soon forgotten.
        _follow(average, network, min(plan.average, (step + 1) / (step + 10)))
        done = step + 1
        if workers.rank == 0 and (done % checkpoint_every == 0 or done == plan.steps):
            save(path, done, network, average, optimizer)
            entry = {"step": done, "rate": learning_rate(step, plan), **window.summary()}
            with (run / f"{stage.name}.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            left = (time.monotonic() - began) / (done - start) * (plan.steps - done) / 60
            report(f"{stage.name} {done}/{plan.steps} {entry} {left:.0f} min left")
            window = _Window()
    return path


@torch.no_grad()
def _follow(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    for name, value in network.state_dict().items():
        average[name].lerp_(value, 1 - decay)


class _Window:
    """Means of the loss and of the patches' Dice since the last report."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.scores: tuple[list[float], list[float], list[float]] = ([], [], [])

    def add(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError("the loss is not finite; the learning rate is too high")
        self.losses.append(loss)

    def add_scores(self, scores: list[float | None]) -> None:
        for kept, score in zip(self.scores, scores, strict=True):
            if score is not None:
                kept.append(score)

    def summary(self) -> dict[str, float]:
        result = {"loss": round(float(np.mean(self.losses)), 4)}
        for name, kept in zip(("renal", "tumor", "cyst"), self.scores, strict=True):
            result[f"dice_{name}"] = round(float(np.mean(kept)), 4) if kept else 0.0
        return result
