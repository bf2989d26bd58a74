"""The values of the next trial: a pure function of the search and the trials before it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from renalis.tuning.search import Categorical, IntRange, Search

__all__ = ["distributions", "proposed", "values"]

_ATTEMPTS, _GUIDED = 200, 20


def distributions(search: Search) -> dict[str, BaseDistribution]:
    """The fields as Optuna takes them; choices as JSON text, for it knows no lists."""
    result: dict[str, BaseDistribution] = {}
    for key, space in search.fields.items():
        if isinstance(space, Categorical):
            result[key] = CategoricalDistribution([json.dumps(value) for value in space.choice])
        elif isinstance(space, IntRange):
            result[key] = IntDistribution(*space.ends, log=space.log, step=space.step)
        else:
            result[key] = FloatDistribution(*space.ends, log=space.log, step=space.step)
    return result


def values(search: Search, params: Mapping[str, Any]) -> dict[str, Any]:
    """Value by field, in the search file's order, from what Optuna remembers."""
    return {
        key: json.loads(params[key]) if isinstance(space, Categorical) else params[key]
        for key, space in search.fields.items()
    }


def proposed(search: Search, trials: Sequence[FrozenTrial]) -> dict[str, Any] | None:
    """Values for the next trial, none of them tried together before.

    The same after an interruption: every trial has a generator of its own, from the search's seed
    and the trial's number.

    Parameters
    ----------
    search : Search
    trials : sequence of FrozenTrial
        All earlier ones; those that `Search.known` counts are finished.

    Returns
    -------
    dict or None
        As Optuna remembers them; None when nothing new was drawn, for everything has been tried.
    """
    space = distributions(search)
    study = optuna.create_study(direction="maximize" if search.higher_is_better else "minimize")
    known = trials[: search.known(len(trials))]
    study.add_trials([_frozen_trial(trial) for trial in known])
    seen = [trial.params for trial in trials]
    for attempt in range(_ATTEMPTS):
        state = np.random.SeedSequence([search.sampler.seed, len(trials), attempt])
        # Where everything good has been tried, chance finds the rest.
        guided = search.sampler.kind == "tpe" and attempt < _GUIDED
        study.sampler = _sampler(search, int(state.generate_state(1)[0]), guided)
        params = study.ask(space).params
        if params not in seen:
            return params
    return None


def _frozen_trial(trial: FrozenTrial) -> FrozenTrial:
    """The trial as the sampler sees it: a failed one, which Optuna leaves out, as a very bad one.

    Otherwise values that the recipe's schema refuses would be proposed again and again.
    """
    if trial.state != TrialState.FAIL:
        return trial
    return optuna.create_trial(
        state=TrialState.PRUNED, params=trial.params, distributions=trial.distributions
    )


def _sampler(search: Search, seed: int, guided: bool) -> optuna.samplers.BaseSampler:
    if guided:
        return optuna.samplers.TPESampler(n_startup_trials=search.sampler.startup_trials, seed=seed)
    return optuna.samplers.RandomSampler(seed)
