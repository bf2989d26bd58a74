"""The training loop of all recipes, on Lightning Fabric.

The same code runs on one device, on several, and on several computers, on CPU and CUDA. What it
learns from comes from a function of (epoch, index, generator), so a training that was killed and
resumed ends with the weights of one that was not: bit for bit on a CPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from renalis.disk_failures import check_not_gone
from renalis.errors import InputError
from renalis.signals import Ended
from renalis.training.checkpoint import Position, is_begun, load_checkpoint, save_weights
from renalis.training.devices import ProcessRank
from renalis.training.epoch import Validation, finish_epoch, train_epoch
from renalis.training.fit_plan import FitPlan, build_optimizer, described
from renalis.training.freezing import freeze
from renalis.training.hard_samples import HardSampleBatches
from renalis.training.history import History
from renalis.training.metrics_log import MetricsLog, TimeLeft, epoch_line
from renalis.training.micro_batches import (
    Batch,
    BatchSource,
    MicroBatchDataset,
    groups,
    load_batches,
)
from renalis.training.moving_average import start_average
from renalis.training.session import CHECKPOINT, WEIGHTS, ScoredNetwork, Session
from renalis.training.stopping import kept_epoch, needed_scores, reason_to_stop

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["CHECKPOINT", "WEIGHTS", "Validation", "fit"]


def fit(
    fabric: Fabric,
    network: nn.Module,
    plan: FitPlan,
    batch: BatchSource | HardSampleBatches,
    validate: Validation | None,
    run: Path,
    resume: bool = False,
    report: Callable[[str], None] = print,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train a network; safe to kill at any moment and to call again.

    Parameters
    ----------
    fabric : Fabric
        From `renalis.training.devices.open_fabric`.
    network : nn.Module
        Called with the inputs as keyword arguments; returns logits by name, or a tensor that is
        then called "seg". Holds the last epoch's weights afterwards.
    plan : FitPlan
        All numbers.
    batch : callable or HardSampleBatches
        ``batch(epoch, index, rng) -> (inputs, targets)``, see
        `renalis.training.micro_batches.BatchSource`;
        or what makes one for each epoch out of the losses of the one before.
    validate : callable or None
        Scores the network after an epoch, see `Validation`.
    run : Path
        Folder of this training; gets `CHECKPOINT`, `WEIGHTS` (of the epoch to keep),
        ``metrics.jsonl`` and ``curves.html``.
    resume : bool
        Go on from the checkpoint where there is one.
    report : callable
        Takes progress lines.
    on_epoch : callable, optional
        Called with all finished epochs after each one, when its checkpoint is written, and on
        resuming.
        What it raises ends the training, which can be resumed.

    Raises
    ------
    InputError
        If the run's folder holds another training, a rule needs a score that validation does not
        give, no term of the loss has a gradient, or the loss is no longer a finite number.
    OutputError
        If the run's folder cannot be written.
    Ended
        If a signal says to end; the checkpoint is of the step that was at work.
    """
    if validate is None and (missing := needed_scores(plan.stop, plan.keep)):
        raise InputError(
            f"{plan.name} cannot stop or keep by {', '.join(sorted(missing))} without validation; "
            "choose keep: last, or validate"
        )
    known = is_begun(run / CHECKPOINT)
    if known and not resume:
        raise InputError(f"{run} holds a training; resume it or choose another folder")
    freeze(network, plan.freezing)
    # On its device before the checkpoint is read, which puts the optimizer's moments on it too.
    wrapped = fabric.setup_module(ScoredNetwork(network, plan.terms))
    optimizer = build_optimizer(network.parameters(), plan.optimizer)
    described_plan = described(plan, fabric.world_size, str(fabric.strategy.precision.precision))
    average = None if plan.average is None else start_average(network)
    position, scaler = Position(), dict[str, Any]()
    if known:
        position, scaler = load_checkpoint(
            run / CHECKPOINT,
            network,
            optimizer,
            described_plan,
            average,
            report if fabric.global_rank == 0 else _silent,
        )
    if on_epoch is not None and position.history:
        on_epoch(position.history)
    reason = reason_to_stop(plan.stop, position.history)
    if reason:
        report(f"{plan.name} is finished already: {reason}")
        return position.history
    session = Session(
        fabric,
        wrapped,
        network,
        fabric.setup_optimizers(optimizer),
        optimizer,
        plan,
        run,
        described_plan,
        average,
    )
    if scaler:
        fabric.strategy.precision.load_state_dict(scaler)
    # Every process has read the checkpoint before the first one replaces it.
    fabric.barrier()
    with session.ending.heard():
        return _epochs(session, position, batch, validate, report, on_epoch)


def _epochs(
    session: Session,
    position: Position,
    batch: BatchSource | HardSampleBatches,
    validate: Validation | None,
    report: Callable[[str], None],
    on_epoch: Callable[[History], None] | None,
) -> History:
    plan, process = session.plan, session.process
    first = process.rank == 0
    steps = len(groups(plan.batches, plan.accumulate, 0, process.count))
    time_left = TimeLeft(
        report if first else _silent,
        steps,
        plan.most_epochs,
        plan.report_seconds,
        _seconds_left(plan, position.history),
        validate is not None,
    )
    metrics_log = (
        MetricsLog(session.run, plan.name, position.history, plan.tensorboard) if first else None
    )
    batches: Iterator[Batch] | None = None
    while not (reason := reason_to_stop(plan.stop, position.history)):
        # What an epoch of hard samples draws is known when it begins: nothing is loaded beyond it.
        if batches is None or isinstance(batch, HardSampleBatches):
            batches = _batches(batch, plan, process, position)
        position = train_epoch(session, position, batches, time_left)
        if session.ending.told(session.fabric):
            session.save_and_end(position)
        try:
            epoch = finish_epoch(session, position, validate)
        except Ended:
            session.save_and_end(position)
        history = (*position.history, epoch)
        if first:
            check_not_gone(session.run)
        if first and kept_epoch(plan.keep, history) == epoch.number:
            metadata = {"epoch": epoch.number, "validation": dict(epoch.validation)}
            kept = session.average or session.network.state_dict()
            save_weights(session.run / WEIGHTS, kept, metadata)
        position = Position(history, 0, position.steps, drawn_by=position.seen.means())
        session.save(position)
        if metrics_log is not None:
            metrics_log.add(history)
            report(epoch_line(epoch, plan.most_epochs, time_left.left(len(history))))
        if on_epoch is not None:
            on_epoch(history)
    if metrics_log is not None:
        metrics_log.close()
        report(f"{plan.name} ends: {reason}")
    if session.ending.told(session.fabric):
        raise session.ending.ended(f"{plan.name} is trained; --resume goes on with what follows")
    return position.history


def _batches(
    batch: BatchSource | HardSampleBatches, plan: FitPlan, process: ProcessRank, position: Position
) -> Iterator[Batch]:
    places = _places(plan, process, position)
    if isinstance(batch, HardSampleBatches):
        epoch = len(position.history)
        places = itertools.takewhile(lambda one: one[0] == epoch, places)
        batch = batch.after(position.drawn_by)
    return load_batches(MicroBatchDataset(batch, plan.seed), places, plan.workers)


def _places(plan: FitPlan, process: ProcessRank, position: Position) -> Iterator[tuple[int, int]]:
    """Epoch and number of every micro-batch of this process, from the position on, without end."""
    step_groups = groups(plan.batches, plan.accumulate, process.rank, process.count)
    skipped = -(-position.batches // (plan.accumulate * process.count))
    for epoch in itertools.count(len(position.history)):
        for group in step_groups[skipped:]:
            for micro_batch in group:
                yield epoch, micro_batch.index
        skipped = 0


def _seconds_left(plan: FitPlan, history: History) -> float | None:
    if plan.most_minutes is None:
        return None
    return max(0.0, 60 * plan.most_minutes - sum(epoch.seconds for epoch in history))


def _silent(_: str) -> None:
    pass
