"""One epoch: optimizer steps over its micro-batches, then validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from renalis.errors import InputError
from renalis.training.checkpoint import Position
from renalis.training.devices import ProcessRank
from renalis.training.distributed import (
    average_statistics,
    losses_of_all,
    mean_of_all,
    sum_of_all,
)
from renalis.training.freezing import train_mode
from renalis.training.hard_samples import without_numbers
from renalis.training.history import Epoch
from renalis.training.metrics_log import TimeLeft
from renalis.training.micro_batches import MicroBatch, groups, seed_torch
from renalis.training.moving_average import averaged, update_average
from renalis.training.schedules import WarmupLinear
from renalis.training.session import Session, require_finite
from renalis.training.stopping import needed_scores, reason_to_stop
from renalis.training.training_dice import PARTS, with_dice

__all__ = ["Validation", "finish_epoch", "train_epoch"]

Validation = Callable[[nn.Module, ProcessRank], Mapping[str, Sequence[float]]]
"""``validate(network, process) -> scores``: values per case, such as ``{"val_dice": [0.9, 0.8]}``.

Called without gradients and in evaluation mode by every process; process ``rank`` of
``count`` scores its share of the cases and returns every name, with no values where it has
no cases. The engine takes the mean over all cases of all processes; NaN (the case has no such
region) is left out.
"""


def train_epoch(
    session: Session, position: Position, batches: Iterator[Any], time_left: TimeLeft
) -> Position:
    """The rest of an epoch, or what is done of it when a signal says to end.

    The position returned has sums over all processes.
    """
    plan, process, fabric = session.plan, session.process, session.fabric
    number = len(position.history)
    _set_rate(session, plan.schedule.rate(plan.optimizer.learning_rate, position.history))
    train_mode(session.network, plan.freezing)
    step_groups = groups(plan.batches, plan.accumulate, process.rank, process.count)
    size = plan.accumulate * process.count
    names = ["loss", *(term.name for term in plan.terms), *PARTS]
    # Sums so far are those of all processes; one of them carries them on.
    sums = {
        name: torch.tensor(value, dtype=torch.float64, device=process.device)
        for name, value in position.sums.items()
        if process.rank == 0
    }
    seen: list[tuple[int, Tensor]] = []
    earlier = position.seen.pairs() if process.rank == 0 else []
    done, steps = -(-position.batches // size), position.steps
    if done == len(step_groups) and isinstance(plan.schedule, WarmupLinear):
        # Ended between its last step, whose rate the epoch reports, and its validation
        _set_rate(session, plan.schedule.at_step(plan.optimizer.learning_rate, steps - 1))
    began, cpu_began = time.monotonic(), time.process_time()
    for index in range(done, len(step_groups)):
        session.optimizer.zero_grad(set_to_none=True)
        last = torch.zeros(())
        for micro_batch in step_groups[index]:
            last = _backward(session, number, micro_batch, next(batches), sums, seen)
        if plan.clip_norm is not None:
            _clip(session, plan.clip_norm)
        if isinstance(plan.schedule, WarmupLinear):
            _set_rate(session, plan.schedule.at_step(plan.optimizer.learning_rate, steps))
        session.optimizer.step()
        if session.average is not None and plan.average is not None:
            update_average(session.average, session.network, plan.average, steps)
        steps += 1
        time_left.step(number, index + 1, last.item)
        position = replace(position, batches=min((index + 1) * size, plan.batches), steps=steps)
        told = session.ending.told(fabric)
        if (
            told
            or index + 1 == len(step_groups)
            or (plan.checkpoint_steps and (index + 1) % plan.checkpoint_steps == 0)
        ):
            now, cpu_now = time.monotonic(), time.process_time()
            position = replace(
                position,
                sums=sum_of_all(fabric, sums, names),
                seconds=position.seconds + now - began,
                cpu_seconds=position.cpu_seconds + cpu_now - cpu_began,
                seen=losses_of_all(fabric, [*earlier, *_numbers(seen)]),
            )
            began, cpu_began = now, cpu_now
            if told:
                break
            if index + 1 < len(step_groups):
                session.save(position)
                train_mode(session.network, plan.freezing)
    return position


def _set_rate(session: Session, rate: float) -> None:
    for group in session.bare_optimizer.param_groups:
        group["lr"] = rate


def _clip(session: Session, norm: float) -> None:
    # Over the network's parameters, not over the optimizer's groups: a norm of norms is rounded
    # by their order, and the same network should learn the same with every optimizer's grouping.
    session.fabric.strategy.precision.unscale_gradients(session.bare_optimizer)
    nn.utils.clip_grad_norm_(session.network.parameters(), norm)


def _numbers(seen: Sequence[tuple[int, Tensor]]) -> list[tuple[int, float]]:
    # Once for many samples: reading a number off a GPU waits for it.
    if not seen:
        return []
    losses = torch.stack([loss for _, loss in seen]).double().tolist()
    return list(zip([number for number, _ in seen], losses, strict=True))


def _backward(
    session: Session,
    epoch: int,
    micro_batch: MicroBatch,
    batch: Any,
    sums: dict[str, Tensor],
    seen: list[tuple[int, Tensor]],
) -> Tensor:
    """Add one micro-batch's gradient and loss, and the losses of its samples that are ranked."""
    fabric = session.fabric
    inputs, targets = batch
    targets, numbers = without_numbers(targets)
    ranked = [row for row, number in enumerate(numbers) if number >= 0 and micro_batch.factor]
    inputs, targets = fabric.to_device((inputs, targets))
    seed_torch(session.plan.seed, epoch, micro_batch.index)
    with fabric.no_backward_sync(session.wrapped, enabled=not micro_batch.last):
        loss, parts, each = session.wrapped(inputs, targets, ranked)
        if not loss.requires_grad:
            raise InputError(
                f"no term of the loss of {session.plan.name} has a gradient; "
                "hard Dice alone cannot be trained with"
            )
        fabric.backward(loss * micro_batch.factor)
    seen += [(numbers[row], value) for row, value in zip(ranked, each, strict=True)]
    if micro_batch.factor:
        for name, value in {"loss": loss.detach(), **parts}.items():
            sums[name] = sums[name] + value.double() if name in sums else value.double()
    last: Tensor = loss.detach()
    return last


def finish_epoch(session: Session, position: Position, validate: Validation | None) -> Epoch:
    """Means of the training losses, and validation."""
    plan = session.plan
    number = len(position.history)
    # Spoiled weights are not worth a validation; the checkpoint of the epoch before stays.
    require_finite(plan, position)
    train = with_dice({name: value / plan.batches for name, value in position.sums.items()})
    epoch = Epoch(
        number=number,
        steps=position.steps,
        rate=session.bare_optimizer.param_groups[0]["lr"],
        train=train,
        validation={},
    )
    began, cpu_began = time.monotonic(), time.process_time()
    scores: dict[str, float] = {}
    due = (number + 1) % plan.validate_every == 0
    if validate is not None and (due or reason_to_stop(plan.stop, (*position.history, epoch))):
        average_statistics(session.fabric, session.network)
        session.network.eval()
        seed_torch(plan.seed, number, plan.batches)
        weights = averaged(session.network, session.average)
        at_once = session.ending.at_once(session.fabric)
        with torch.no_grad(), session.fabric.autocast(), weights, at_once:
            values = validate(session.network, session.process)
        if missing := needed_scores(plan.stop, plan.keep) - set(values):
            raise InputError(
                f"{plan.name} needs {', '.join(sorted(missing))} to stop or to keep weights, but "
                f"validation gives only {', '.join(sorted(values)) or 'nothing'}"
            )
        scores = mean_of_all(session.fabric, values)
    seconds = position.seconds + time.monotonic() - began
    cpu_seconds = position.cpu_seconds + time.process_time() - cpu_began
    seconds, cpu_seconds = session.fabric.broadcast((seconds, cpu_seconds))
    return replace(epoch, validation=scores, seconds=seconds, cpu_seconds=cpu_seconds)
