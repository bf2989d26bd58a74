"""Hyperparameters of one training, as the engine takes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from renalis.training.freezing import Freezing
from renalis.training.losses import LossTerm
from renalis.training.muon import Muon
from renalis.training.schedules import Constant, Schedule
from renalis.training.stopping import Epochs, Keep, Minutes, StopRule

__all__ = ["FitPlan", "OptimizerPlan", "build_optimizer", "described"]


@dataclass(frozen=True)
class OptimizerPlan:
    """The optimizer; ``momentum`` is for "sgd" (with Nesterov's rule), the others are Adam's.

    "muon" uses the latter for what is no inner convolution.
    """

    kind: Literal["adam", "adamw", "muon", "sgd"] = "adam"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.99


@dataclass(frozen=True)
class FitPlan:
    """One training of one network.

    Parameters
    ----------
    terms : tuple of LossTerm
        The loss is their weighted sum.
    batches : int
        Micro-batches in an epoch, all processes together.
    stop : tuple of StopRule
        Training ends when the first of them fires.
    optimizer : OptimizerPlan
    schedule : Schedule
    keep : {"best_loss", "best_dice", "best_low", "last"}
        Which epoch's weights are the result.
    accumulate : int
        Micro-batches of each process in an optimizer step; their gradients are averaged.
    seed : int
        Everything random follows from it.
    freezing : Freezing
    clip_norm : float, optional
        Largest norm of the gradient.
    average : float, optional
        Weight of the past in a moving average of the weights over the optimizer steps, which is
        then validated and kept instead of the weights themselves.
    validate_every : int
        Epochs from one validation to the next; the last epoch is validated in any case.
    checkpoint_steps : int, optional
        A checkpoint also after so many optimizer steps within an epoch.
    workers : int
        Processes that prepare micro-batches ahead, for each training process.
    tensorboard : bool
        Also write TensorBoard's event files.
    report_seconds : float
        Time between progress lines.
    name : str
        Title of the curves.
    """

    terms: tuple[LossTerm, ...]
    batches: int
    stop: tuple[StopRule, ...]
    optimizer: OptimizerPlan = field(default_factory=OptimizerPlan)
    schedule: Schedule = field(default_factory=Constant)
    keep: Keep = "last"
    accumulate: int = 1
    seed: int = 0
    freezing: Freezing = field(default_factory=Freezing)
    clip_norm: float | None = None
    average: float | None = None
    validate_every: int = 1
    checkpoint_steps: int | None = None
    workers: int = 0
    tensorboard: bool = False
    report_seconds: float = 10.0
    name: str = "training"

    def __post_init__(self) -> None:
        if self.batches < 1 or self.accumulate < 1 or self.validate_every < 1 or not self.stop:
            raise ValueError(
                "batches, accumulate and validate_every must be at least 1, and a rule must say "
                "when to stop"
            )

    @property
    def most_epochs(self) -> int | None:
        """So many epochs at most, where a rule says so."""
        return min((rule.count for rule in self.stop if isinstance(rule, Epochs)), default=None)

    @property
    def most_minutes(self) -> float | None:
        """After so many minutes no epoch begins, where a rule says so."""
        return min((rule.count for rule in self.stop if isinstance(rule, Minutes)), default=None)


def described(plan: FitPlan, processes: int, precision: str) -> dict[str, str]:
    """What the weights depend on, as text: a training may be resumed only with the same.

    When to stop, how often to look, and how the micro-batches of a step are shared between
    processes may change.
    """
    text = {
        "terms": repr(plan.terms),
        "batches": str(plan.batches),
        "batches in a step": str(plan.accumulate * processes),
        "optimizer": repr(plan.optimizer),
        "schedule": repr(plan.schedule),
        "keep": plan.keep,
        "seed": str(plan.seed),
        "freezing": repr(plan.freezing),
        "clip_norm": str(plan.clip_norm),
        "precision": precision,
    }
    if plan.average is not None:
        text["average"] = str(plan.average)
    return text


def build_optimizer(
    parameters: Iterable[nn.Parameter], plan: OptimizerPlan
) -> torch.optim.Optimizer:
    """The optimizer of all parameters that are not frozen."""
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    if plan.kind == "sgd":
        return torch.optim.SGD(
            learning,
            plan.learning_rate,
            momentum=plan.momentum,
            weight_decay=plan.weight_decay,
            nesterov=plan.momentum > 0,
        )
    if plan.kind == "muon":
        return Muon(learning, plan.learning_rate, plan.weight_decay, betas=plan.betas, eps=plan.eps)
    kind = torch.optim.Adam if plan.kind == "adam" else torch.optim.AdamW
    return kind(learning, plan.learning_rate, plan.betas, plan.eps, weight_decay=plan.weight_decay)
