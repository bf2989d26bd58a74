"""Stages: trainings of one network one after another, each from the last one's kept weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lightning_fabric import Fabric
from torch import nn

from renalis.errors import InputError
from renalis.training.engine import WEIGHTS, Validation, fit
from renalis.training.feed import BatchSource
from renalis.training.history import History
from renalis.training.mining import Mined
from renalis.training.plan import FitPlan
from renalis.training.state import load_weights
from renalis.training.stopping import Epochs

__all__ = ["Stage", "fit_stages"]


@dataclass(frozen=True)
class Stage:
    """One of them; ``name`` is its folder's, the rest as `renalis.training.engine.fit` takes it."""

    name: str
    plan: FitPlan
    batch: BatchSource | Mined
    validate: Validation | None


def fit_stages(
    fabric: Fabric,
    network: nn.Module,
    stages: Sequence[Stage],
    run: Path,
    epochs: int | None = None,
    resume: bool = False,
    report: Callable[[str], None] = print,
    watch: Callable[[Stage, History], None] | None = None,
) -> dict[str, History]:
    """Carry out the stages; finished ones are not repeated on resuming.

    Parameters
    ----------
    stages : sequence of Stage
        In order. Each begins with the weights that the one before kept, with a new optimizer and
        its schedule from the start.
    run : Path
        Folder; each stage has one in it. The result is ``weights.safetensors`` of the last stage.
    epochs : int, optional
        At most so many in all stages together.
    fabric, network, resume, report
        As for `renalis.training.engine.fit`. The network ends with the kept weights of the last
        stage.
    watch : callable, optional
        As for `renalis.training.engine.fit`, told the stage too, with all its rules to stop.

    Returns
    -------
    dict of str to History
        By stage, in order.

    Raises
    ------
    InputError
        If no epochs are left for a stage: its part of the network would have learned nothing. What
        is trained stays, and can be gone on with. Also as `renalis.training.engine.fit`.
    """
    histories: dict[str, History] = {}
    left = epochs
    for stage in stages:
        plan = stage.plan
        if left is not None:
            if left <= 0:
                raise InputError(_nothing_left(run, stage, histories))
            plan = replace(plan, stop=(*plan.stop, Epochs(left)))
        folder = run / stage.name
        report(f"stage {stage.name}")
        histories[stage.name] = fit(
            fabric,
            network,
            plan,
            stage.batch,
            stage.validate,
            folder,
            resume,
            report,
            None if watch is None else partial(watch, replace(stage, plan=plan)),
        )
        if left is not None:
            left -= len(histories[stage.name])
        fabric.barrier()
        load_weights(folder / WEIGHTS, network)
    return histories


def _nothing_left(run: Path, stage: Stage, histories: dict[str, History]) -> str:
    used = ", ".join(f"{name} {len(history)}" for name, history in histories.items())
    total = sum(len(history) for history in histories.values())
    return (
        f"{run}: no epochs are left for stage {stage.name}, since those before it ({used}) used up "
        f"optimisation.stop.epochs={total}; set more and resume"
    )
