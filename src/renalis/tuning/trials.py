"""One trial: a training in a run's folder of its own, watched epoch by epoch."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
import torch
import yaml
from optuna.trial import TrialState

from renalis.errors import InputError, OutputError
from renalis.io import write_text
from renalis.recipes import System, load_system
from renalis.recipes.reading import as_changes
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

__all__ = ["OutOfTime", "TrialSetup", "full_text", "run_trial"]

NOTE, SECONDS = "note", "seconds"
"""Names of a trial's attributes in addition to its values."""


class OutOfTime(Exception):
    """The search's time is over; the trial goes on when the search does."""


class _Pruned(Exception):
    """The trial is not worth going on with."""


@dataclass(frozen=True)
class TrialSetup:
    """What all trials of a search share.

    Attributes
    ----------
    search : Search
    recipe : Path
        The recipe that they change.
    job : Job
        Data, cache and so on; its ``system``, ``run``, ``scores`` and ``on_epoch`` are of
        each trial.
    fold : int or None
    device : Devices
    deadline : float or None
        When to stop, by `time.monotonic`.
    report : callable
        Takes progress lines.
    """

    search: Search
    recipe: Path
    job: Job
    fold: int | None
    device: Devices
    deadline: float | None
    report: Callable[[str], None]


def run_trial(setup: TrialSetup, study: optuna.Study, trial: optuna.Trial, folder: Path) -> None:
    """Train with a trial's values, or go on with it, and note in the study how it ended.

    Parameters
    ----------
    setup : TrialSetup
    study : optuna.Study
    trial : optuna.Trial
        A running one of the study.
    folder : Path
        The trial's run; gets ``recipe.yaml`` too.

    Raises
    ------
    OutOfTime
        If it was stopped at the deadline.
    OutputError
        If something cannot be written, which is not the fault of the values.
    """
    fields = values(setup.search, trial.params)
    try:
        system = load_system(str(setup.recipe), as_changes(fields))
    except InputError as error:
        _end(study, trial, TrialState.FAIL, str(error).removeprefix(f"{setup.recipe}: "))
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_text(
        folder / "recipe.yaml", full_text(str(setup.recipe), as_changes(fields), False, system)
    )
    callback = _EpochCallback(setup, system, trial)
    job = replace(
        setup.job,
        system=system,
        run=folder,
        resume=True,
        scores=frozenset({"val_loss"} & {setup.search.metric}),
        on_epoch=callback,
    )
    failure = ""
    try:
        train_system(job, None if setup.fold is None else [setup.fold], setup.device, callback.say)
    except _Pruned as reason:
        trial.set_user_attr(SECONDS, callback.seconds)
        _end(study, trial, TrialState.PRUNED, str(reason))
        return
    except (OutOfTime, OutputError):
        raise
    except InputError as error:
        failure = str(error)
    except Exception as error:
        # Values that no rule of the schema forbids may still not fit each other or the memory. A
        # trial without an end would be tried again by every later call, and the search stand still.
        failure = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    trial.set_user_attr(SECONDS, callback.seconds)
    value = callback.value()
    if failure or value is None:
        missing = f"{setup.search.metric} was not measured in the epoch whose weights are kept"
        _end(study, trial, TrialState.FAIL, failure or missing)
        _free_memory()
    else:
        study.tell(trial.number, value)


def full_text(name_or_path: str, sets: tuple[str, ...], tiny: bool, system: System) -> str:
    """The text of a changed recipe that reads as ``system``.

    With the comments of the original where the changes can be written into it, else all fields.
    """
    try:
        text = recipe_text(name_or_path, sets, tiny)
        if switched(System.model_validate(load_yaml(text))) == system:
            return text
    except InputError:
        pass  # a change of what the text leaves to a default that is no single value
    return yaml.safe_dump(system.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


@dataclass(eq=False)
class _EpochCallback:
    """Reports a trial's epochs to the study; ends the trial when it is pruned or time is over."""

    setup: TrialSetup
    system: System
    trial: optuna.Trial
    _epochs: dict[str, tuple[Round, History]] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        stages = self.system.all_stages()
        name = self.setup.search.stage
        return stages[-1] if name is None else self.system.stage(name)

    @property
    def seconds(self) -> float:
        return sum(epoch.seconds for _, history in self._epochs.values() for epoch in history)

    def say(self, line: str) -> None:
        self.setup.report(f"trial {self.trial.number}: {line}")

    def __call__(self, stage: str, round: Round, history: History) -> None:
        if stage == self.stage.name and self._counts(round.name):
            self._epochs[round.name] = (round, history)
            self._judge(round, history)
        deadline = self.setup.deadline
        if deadline is not None and time.monotonic() > deadline:
            raise OutOfTime

    def value(self) -> float | None:
        """The metric of the weights that the last round keeps."""
        metric = self.setup.search.metric
        result = None
        for round, history in self._epochs.values():
            if history and any(metric in epoch.validation for epoch in history):
                kept = history[kept_epoch(round.plan.keep, history)]
                result = kept.validation.get(metric)
        return result

    def _counts(self, round: str) -> bool:
        """Losses of earlier rounds are of other terms."""
        rounds = [each.name for each in self.stage.optimisation.rounds]
        return self.setup.search.metric != "val_loss" or round in rounds[-1:] or not rounds

    def _judge(self, round: Round, history: History) -> None:
        known = self._known()
        reported = _reported(self.trial)
        for epoch, value in known.items():
            if epoch not in reported:
                self.trial.report(value, epoch)
        last = [each.name for each in self.stage.optimisation.rounds][-1:]
        if last in ([], [round.name]) and reason_to_stop(round.plan.stop, history):
            return  # nothing is left to be saved
        if self.setup.search.metric not in history[-1].validation:
            return
        epoch, value = max(known.items())
        # On resuming, earlier rounds come by again, which are judged already.
        if epoch >= max(reported, default=0) and self.trial.should_prune():
            raise _Pruned(
                f"{self.setup.search.metric} {value:.4f} after {epoch} epochs, worse than half of "
                "the trials before"
            )

    def _known(self) -> Mapping[int, float]:
        """The metric by epoch of the stage, from 1 on, over all rounds."""
        before, known = 0, dict[int, float]()
        for _, history in self._epochs.values():
            for epoch in history:
                if self.setup.search.metric in epoch.validation:
                    known[before + epoch.number + 1] = epoch.validation[self.setup.search.metric]
            before += len(history)
        return known


def _reported(trial: optuna.Trial) -> dict[int, float]:
    """The metric by epoch, as far as it was reported to the study."""
    frozen: Any = trial.study.get_trials(deepcopy=False)[trial.number]
    return dict(frozen.intermediate_values)


def _end(study: optuna.Study, trial: optuna.Trial, state: TrialState, note: str) -> None:
    trial.set_user_attr(NOTE, note)
    study.tell(trial.number, state=state)


def _free_memory() -> None:
    """Free what a failed training held, so that the next one has the memory."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
