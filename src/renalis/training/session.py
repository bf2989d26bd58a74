"""What a training keeps at hand from its first epoch to its last, and how it saves it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor, nn

from renalis.disk_failures import check_not_gone
from renalis.errors import InputError
from renalis.training.checkpoint import Position, save_checkpoint
from renalis.training.devices import ProcessRank
from renalis.training.distributed import average_statistics
from renalis.training.ending import Ending
from renalis.training.fit_plan import FitPlan
from renalis.training.hard_samples import each_loss
from renalis.training.losses import LossTerm, total_loss
from renalis.training.moving_average import Average
from renalis.training.training_dice import overlap_parts

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["CHECKPOINT", "WEIGHTS", "ScoredNetwork", "Session", "require_finite"]

CHECKPOINT = "checkpoint.safetensors"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Session:
    """What stays the same from the first epoch to the last; ``average`` changes in place."""

    fabric: Fabric
    wrapped: Any
    network: nn.Module
    optimizer: Any
    bare_optimizer: torch.optim.Optimizer
    plan: FitPlan
    run: Path
    described: Mapping[str, str]
    average: Average | None = None
    ending: Ending = field(default_factory=Ending)

    @property
    def process(self) -> ProcessRank:
        fabric = self.fabric
        return ProcessRank(fabric.global_rank, fabric.world_size, fabric.device)

    def save(self, position: Position) -> None:
        """Write the checkpoint, unless the loss is not finite."""
        require_finite(self.plan, position)
        average_statistics(self.fabric, self.network)
        if self.fabric.global_rank == 0:
            check_not_gone(self.run)
            scaler = self.fabric.strategy.precision.state_dict()
            save_checkpoint(
                self.run / CHECKPOINT,
                self.network,
                self.bare_optimizer,
                scaler,
                position,
                self.described,
                self.average,
            )
        self.fabric.barrier()

    def save_and_end(self, position: Position) -> NoReturn:
        """Write the checkpoint because a signal said to end, and raise `Ended`."""
        self.save(position)
        epoch, steps = len(position.history) + 1, position.steps
        raise self.ending.ended(
            f"{self.plan.name} is saved in epoch {epoch} after {steps} steps; --resume goes on"
        )


def require_finite(plan: FitPlan, position: Position) -> None:
    if not all(math.isfinite(value) for value in position.sums.values()):
        raise InputError(
            f"the loss of {plan.name} is not finite in epoch {len(position.history) + 1}; "
            "begin again with a lower learning rate or in float32"
        )


class ScoredNetwork(nn.Module):
    """A network with its loss, so that parameters no term depends on are known as unused."""

    def __init__(self, network: nn.Module, terms: Sequence[LossTerm]) -> None:
        super().__init__()
        self.network = network
        self.terms = tuple(terms)

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        rows: Sequence[int] = (),
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """The loss, its parts with those of Dice, and the losses of some samples (``rows``)."""
        outputs = self.network(**inputs)
        if isinstance(outputs, Tensor):
            outputs = {"seg": outputs}
        loss, parts = total_loss(self.terms, outputs, targets)
        parts |= overlap_parts(outputs, targets)
        return loss, parts, each_loss(self.terms, outputs, targets, rows)
