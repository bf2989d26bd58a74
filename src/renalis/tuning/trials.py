"""One trial: a training in a run's folder of its own, watched epoch by epoch."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
import torch
import yaml
from optuna.trial import TrialState

from renalis.disk_failures import check_not_gone, disk_sentence, is_of_a_disk
from renalis.errors import InputError, OutputError
from renalis.io import write_text
from renalis.recipes import System, load_system
from renalis.recipes.reading import as_changes, read_system
from renalis.recipes.switches import switched
from renalis.recipes.system import Stage
from renalis.recipes.text import recipe_text
from renalis.recipes.yaml_loader import load_yaml
from renalis.systems import train_system
from renalis.systems.training_job import Job
from renalis.training.devices import Devices
from renalis.training.history import History
from renalis.training.rounds import Round
from renalis.training.stopping import kept_epoch, reason_to_stop
from renalis.tuning.search import Search
from renalis.tuning.search_space import values
from renalis.tuning.store import new_study
from renalis.tuning.trial_table import State, trial_name

__all__ = ["Outcome", "TrialOrder", "TrialSetup", "full_text", "run_trial"]

ByEpoch = Mapping[int, float]


class _OutOfTime(Exception):
    """The search's time is over; the trial goes on when the search does."""


class _Pruned(Exception):
    """The trial is not worth going on with."""


@dataclass(frozen=True)
class TrialSetup:
    """What all trials of a search share.

    Attributes
    ----------
    search : Search
    folder : Path
        Of the search; has the recipe that trials change, and gets a folder for each.
    job : Job
        Data, cache and so on; its ``system``, ``run``, ``scores`` and ``on_epoch`` are of
        each trial.
    fold : int or None
    device : Devices
    """

    search: Search
    folder: Path
    job: Job
    fold: int | None
    device: Devices

    @property
    def recipe(self) -> Path:
        """The recipe that trials change."""
        return self.folder / "recipe.yaml"


@dataclass(frozen=True)
class TrialOrder:
    """A trial to work on, or to go on with.

    Attributes
    ----------
    number : int
    params : mapping
        Its values, as Optuna remembers them.
    others : sequence of mapping of int to float
        The metric by epoch of the complete trials that it is compared with.
    """

    number: int
    params: Mapping[str, Any]
    others: Sequence[ByEpoch] = ()


@dataclass(frozen=True)
class Outcome:
    """How a trial ended; see `renalis.tuning.trial_table.TrialRow`."""

    state: State
    value: float | None = None
    note: str = ""
    seconds: float = 0.0
    by_epoch: ByEpoch = field(default_factory=dict)


def run_trial(
    setup: TrialSetup,
    order: TrialOrder,
    report: Callable[[str], None],
    deadline: float | None = None,
    heard: Callable[[ByEpoch], None] | None = None,
) -> Outcome:
    """Train with a trial's values, or go on with it.

    Parameters
    ----------
    setup : TrialSetup
    order : TrialOrder
    report : callable
        Takes progress lines.
    deadline : float, optional
        When to stop, by `time.monotonic`; the trial is ``interrupted`` then.
    heard : callable, optional
        Called with the metric by epoch after each of them.

    Raises
    ------
    OutputError
        If something cannot be written, which is not the fault of the values.
    """
    fields = values(setup.search, order.params)
    check_not_gone(setup.recipe)
    try:
        system = load_system(str(setup.recipe), as_changes(fields))
    except InputError as error:
        return Outcome("failed", note=str(error).removeprefix(f"{setup.recipe}: "))
    folder = setup.folder / trial_name(order.number)
    folder.mkdir(exist_ok=True)
    write_text(
        folder / "recipe.yaml", full_text(str(setup.recipe), as_changes(fields), False, system)
    )
    callback = _EpochCallback(setup.search, system, _judged(setup.search, order), deadline, heard)
    job = replace(
        setup.job,
        system=system,
        run=folder,
        resume=True,
        scores=frozenset({"val_loss"} & {setup.search.metric}),
        on_epoch=callback,
    )

    def say(line: str) -> None:
        report(f"trial {order.number}: {line}")

    def ended(state: State, value: float | None = None, note: str = "") -> Outcome:
        return Outcome(state, value, note, callback.seconds, callback.known())

    failure = ""
    try:
        train_system(job, None if setup.fold is None else [setup.fold], setup.device, say)
    except _Pruned as reason:
        return ended("pruned", note=str(reason))
    except _OutOfTime:
        return ended("interrupted")
    except OutputError:
        raise
    except Exception as error:
        _refuse_fault_of_a_disk(setup, error)
        # Values that no rule of the schema forbids may still not fit each other or the memory. A
        # trial without an end would be tried again by every later call, and the search stand still.
        failure = str(error)
        if not isinstance(error, InputError):
            failure = f"{type(error).__name__}: {' '.join(failure.split())[:300]}"
    value = callback.value()
    if failure or value is None:
        _free_memory()
        missing = f"{setup.search.metric} was not measured in the epoch whose weights are kept"
        return ended("failed", note=failure or missing)
    return ended("complete", value)


def _refuse_fault_of_a_disk(setup: TrialSetup, error: Exception) -> None:
    """Let no trial count as failed because a drive went away: its values are as good as before."""
    check_not_gone(setup.recipe)
    check_not_gone(setup.job.data)
    if is_of_a_disk(error):
        said = disk_sentence(error) if isinstance(error, OSError) else str(error)
        raise OutputError(said) from error


def _judged(search: Search, order: TrialOrder) -> optuna.Trial:
    """The trial among those that it is compared with, for the pruner."""
    study = new_study(search)
    for by_epoch in order.others:
        study.add_trial(
            optuna.create_trial(
                state=TrialState.COMPLETE, value=0.0, intermediate_values=dict(by_epoch)
            )
        )
    return study.ask()


def full_text(name_or_path: str, sets: tuple[str, ...], tiny: bool, system: System) -> str:
    """The text of a changed recipe that reads as ``system``.

    With the comments of the original where the changes can be written into it, else all fields.
    """
    try:
        text = recipe_text(name_or_path, sets, tiny)
        if switched(read_system(load_yaml(text))) == system:
            return text
    except InputError:
        pass  # a change of what the text leaves to a default that is no single value
    return yaml.safe_dump(system.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


@dataclass(eq=False)
class _EpochCallback:
    """Hears of a trial's epochs; ends the trial when it is pruned or time is over."""

    search: Search
    system: System
    trial: optuna.Trial
    deadline: float | None
    heard: Callable[[ByEpoch], None] | None
    _epochs: dict[str, tuple[Round, History]] = field(default_factory=dict)
    _reported: set[int] = field(default_factory=set)

    @property
    def stage(self) -> Stage:
        stages = self.system.all_stages()
        name = self.search.stage
        return stages[-1] if name is None else self.system.stage(name)

    @property
    def seconds(self) -> float:
        return sum(epoch.seconds for _, history in self._epochs.values() for epoch in history)

    def __call__(self, stage: str, round: Round, history: History) -> None:
        if stage == self.stage.name and self._counts(round.name):
            self._epochs[round.name] = (round, history)
            self._judge(round, history)
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise _OutOfTime

    def value(self) -> float | None:
        """The metric of the weights that the last round keeps."""
        metric = self.search.metric
        result = None
        for round, history in self._epochs.values():
            if history and any(metric in epoch.validation for epoch in history):
                kept = history[kept_epoch(round.plan.keep, history)]
                result = kept.validation.get(metric)
        return result

    def _counts(self, round: str) -> bool:
        """Losses of earlier rounds are of other terms."""
        rounds = [each.name for each in self.stage.optimisation.rounds]
        return self.search.metric != "val_loss" or round in rounds[-1:] or not rounds

    def _judge(self, round: Round, history: History) -> None:
        known = self.known()
        for epoch, value in known.items():
            if epoch not in self._reported:
                self.trial.report(value, epoch)
        self._reported |= known.keys()
        if self.heard is not None:
            self.heard(known)
        last = [each.name for each in self.stage.optimisation.rounds][-1:]
        if last in ([], [round.name]) and reason_to_stop(round.plan.stop, history):
            return  # nothing is left to be saved
        if self.search.metric not in history[-1].validation:
            return
        epoch, value = max(known.items())
        if self.trial.should_prune():
            raise _Pruned(
                f"{self.search.metric} {value:.4f} after {epoch} epochs, worse than half of "
                "the trials before"
            )

    def known(self) -> ByEpoch:
        """The metric by epoch of the stage, from 1 on, over all rounds."""
        before, known = 0, dict[int, float]()
        for _, history in self._epochs.values():
            for epoch in history:
                if self.search.metric in epoch.validation:
                    known[before + epoch.number + 1] = epoch.validation[self.search.metric]
            before += len(history)
        return known


def _free_memory() -> None:
    """Free what a failed training held, so that the next one has the memory."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
