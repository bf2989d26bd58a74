"""Rounds: trainings of one network one after another, each from the last one's kept weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from renalis.disk_failures import check_not_gone, make_folder
from renalis.errors import InputError
from renalis.training.checkpoint import load_weights
from renalis.training.engine import WEIGHTS, Validation, fit
from renalis.training.fit_plan import FitPlan
from renalis.training.hard_samples import HardSampleBatches
from renalis.training.history import History
from renalis.training.micro_batches import BatchSource
from renalis.training.stopping import Epochs

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Round", "fit_rounds"]


@dataclass(frozen=True)
class Round:
    """One of them; ``name`` is its folder's, the rest as `renalis.training.engine.fit` takes it."""

    name: str
    plan: FitPlan
    batch: BatchSource | HardSampleBatches
    validate: Validation | None


def fit_rounds(
    fabric: Fabric,
    network: nn.Module,
    rounds: Sequence[Round],
    run: Path,
    epochs: int | None = None,
    resume: bool = False,
    report: Callable[[str], None] = print,
    on_epoch: Callable[[Round, History], None] | None = None,
) -> dict[str, History]:
    """Carry out the rounds; finished ones are not repeated on resuming.

    Parameters
    ----------
    rounds : sequence of Round
        In order. Each begins with the weights that the one before kept, with a new optimizer and
        its schedule from the start.
    run : Path
        Folder; each round has one in it. The result is ``weights.safetensors`` of the last round.
    epochs : int, optional
        At most so many in all rounds together.
    fabric, network, resume, report
        As for `renalis.training.engine.fit`. The network ends with the kept weights of the last
        round.
    on_epoch : callable, optional
        As for `renalis.training.engine.fit`, called with the round and all its rules.

    Returns
    -------
    dict of str to History
        By round, in order.

    Raises
    ------
    InputError
        If no epochs are left for a round: its part of the network would have learned nothing. What
        is trained stays, and can be gone on with. Also as `renalis.training.engine.fit`.
    """
    make_folder(run)
    histories: dict[str, History] = {}
    left = epochs
    for round in rounds:
        plan = round.plan
        if left is not None:
            if left <= 0:
                raise InputError(_nothing_left(run, round, histories))
            plan = replace(plan, stop=(*plan.stop, Epochs(left)))
        folder = run / round.name
        report(f"round {round.name}")
        check_not_gone(run)
        histories[round.name] = fit(
            fabric,
            network,
            plan,
            round.batch,
            round.validate,
            folder,
            resume,
            report,
            None if on_epoch is None else partial(on_epoch, replace(round, plan=plan)),
        )
        if left is not None:
            left -= len(histories[round.name])
        fabric.barrier()
        load_weights(folder / WEIGHTS, network)
    return histories


def _nothing_left(run: Path, round: Round, histories: dict[str, History]) -> str:
    used = ", ".join(f"{name} {len(history)}" for name, history in histories.items())
    total = sum(len(history) for history in histories.values())
    return (
        f"{run}: no epochs are left for round {round.name}, since those before it ({used}) used up "
        f"optimisation.stop.epochs={total}; set more and resume"
    )
