"""The search: one trial after another, resumable at any moment, with its tables and pages."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from renalis.dataset import load_split, open_dataset
from renalis.errors import InputError
from renalis.io import whole_file, write_text
from renalis.io.lock import held
from renalis.recipes import System, load_system
from renalis.recipes.data_fields import KFold
from renalis.systems.recipe_cases import chosen_cases, split_of
from renalis.systems.training_job import Job
from renalis.training.devices import Devices
from renalis.tuning.page import tune_page
from renalis.tuning.search import Search, check_search
from renalis.tuning.search_space import distributions, proposed, values
from renalis.tuning.store import open_study
from renalis.tuning.trial_table import State, TrialRow, best_row, plain, write_trials
from renalis.tuning.trials import NOTE, SECONDS, OutOfTime, TrialSetup, full_text, run_trial

__all__ = ["SearchResult", "Tuning", "tune"]

Report = Callable[[str], None]


@dataclass(frozen=True)
class Tuning:
    """The settings of a search.

    Attributes
    ----------
    recipe : str
        Name or path of the recipe to start from.
    sets : tuple of str
        Changes of it, the same in all trials.
    tiny : bool
        Its small variant.
    search : Search
    job : Job
        Data, cache and so on; ``run`` is the search's folder, ``system`` the recipe.
    trials : int
        So many in all, earlier calls' included.
    minutes : float or None
        Of this call; the trial that runs then is stopped after an epoch and goes on later.
    fold : int or None
        The recipe's own when None.
    device : Devices
    """

    recipe: str
    sets: tuple[str, ...]
    tiny: bool
    search: Search
    job: Job
    trials: int
    minutes: float | None = None
    fold: int | None = None
    device: Devices = field(default_factory=Devices)


@dataclass(frozen=True)
class SearchResult:
    """What there is when a search ends: all trials, and the best of them if one is complete."""

    rows: tuple[TrialRow, ...]
    best: TrialRow | None
    reason: str


def tune(tuning: Tuning, report: Report = print) -> SearchResult:
    """Search, going on where an earlier call stopped.

    The folder gets a run's folder per trial, ``journal.jsonl`` (Optuna's), ``trials.csv``,
    ``best.yaml`` and ``tune.html``, the last three anew after every trial.

    Raises
    ------
    InputError
        If the search does not fit the recipe or the data, or the folder holds another search.
    OutputError
        If the folder cannot be written.
    """
    folder, search = tuning.job.run, tuning.search
    check_search(search, tuning.job.system)
    with held(folder, f"another search works in {folder}; wait for its end"):
        _begin(tuning)
        study = open_study(folder / "journal.jsonl", search)
        deadline = None if tuning.minutes is None else time.monotonic() + 60 * tuning.minutes
        setup = TrialSetup(
            search, folder / "recipe.yaml", tuning.job, tuning.fold, tuning.device, deadline, report
        )
        reason = _search(tuning, setup, study, report)
        rows = _publish(folder, tuning, study)
    return SearchResult(rows, best_row(rows, search.higher_is_better), reason)


def _search(tuning: Tuning, setup: TrialSetup, study: optuna.Study, report: Report) -> str:
    """Try values until there is a reason to stop."""
    folder, search = tuning.job.run, tuning.search
    while True:
        trials = study.get_trials(deepcopy=False)
        running = next((t for t in trials if t.state == TrialState.RUNNING), None)
        if running is None:
            if len(trials) >= tuning.trials:
                return f"--trials {tuning.trials} reached"
            if setup.deadline is not None and time.monotonic() > setup.deadline:
                return f"{tuning.minutes:g} minutes have passed; --resume goes on"
            params = proposed(search, trials)
            if params is None:
                return "no new values are left to try"
            # One line of the journal: a trial is there with all its values, or not at all.
            study.add_trial(
                optuna.create_trial(
                    state=TrialState.RUNNING, params=params, distributions=distributions(search)
                )
            )
            running = study.get_trials(deepcopy=False)[-1]
        row = _row(search, running)
        fields = ", ".join(f"{key}={plain(value)}" for key, value in row.fields.items())
        report(f"trial {row.number}: {fields}")
        try:
            run_trial(setup, study, optuna.Trial(study, running._trial_id), folder / row.folder)
        except OutOfTime:
            return f"{tuning.minutes:g} minutes have passed; --resume goes on"
        rows = _publish(folder, tuning, study)
        report(_line(search, rows[row.number], best_row(rows, search.higher_is_better)))


def _begin(tuning: Tuning) -> None:
    """Note what is searched, and on what; refuse a folder that holds anything else."""
    job, folder = tuning.job, tuning.job.run
    dataset = open_dataset(job.data, job.kind)
    if job.split is None:
        cases = chosen_cases(dataset, job.system.dataset)
        split = split_of(dataset, cases, job.system.split, tuning.fold)
    else:
        plan = job.system.split
        fold = plan.fold if tuning.fold is None and isinstance(plan, KFold) else tuning.fold
        split = load_split(job.split, fold or 0)
    settings = {"search": tuning.search.to_json(), "split": json.loads(json.dumps(asdict(split)))}
    path, recipe = folder / "search.json", folder / "recipe.yaml"
    if not path.exists():
        text = full_text(tuning.recipe, tuning.sets, tuning.tiny, job.system).encode()
        if recipe.exists() and recipe.read_bytes() != text:
            raise InputError(f"{recipe} is there already and no search's; choose another folder")
        with whole_file(recipe) as file:
            file.write(text)
        write_text(path, json.dumps(settings, indent=1))
        return
    if not job.resume:
        raise InputError(f"{folder} holds a search; add --resume or choose another folder")
    _same(folder, settings, job.system)


def _same(folder: Path, settings: dict[str, Any], system: System) -> None:
    try:
        before = json.loads((folder / "search.json").read_text(encoding="utf-8"))
        search, split = before["search"], before["split"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / 'search.json'} is damaged ({error})") from error
    what = {
        "search file": search == settings["search"],
        "dataset, split or fold": split == settings["split"],
        "recipe": load_system(str(folder / "recipe.yaml")) == system,
    }
    for name, same in what.items():
        if not same:
            raise InputError(
                f"{folder} was started with another {name}, whose trials cannot be compared with "
                "new ones; choose another folder"
            )


def _publish(folder: Path, tuning: Tuning, study: optuna.Study) -> tuple[TrialRow, ...]:
    """Write the tables and pages of what there is."""
    search = tuning.search
    rows = tuple(_row(search, trial) for trial in study.get_trials(deepcopy=False))
    write_trials(folder / "trials.csv", rows, list(search.fields))
    title = f"Search from {tuning.job.system.name}"
    write_text(folder / "tune.html", tune_page(title, search, rows))
    best = best_row(rows, search.higher_is_better)
    if best is not None:
        text = (folder / best.folder / "recipe.yaml").read_text(encoding="utf-8")
        about = (
            f"# Trial {best.number}, the best of {len(rows)}: {search.metric} {best.value:.4f} on "
            "the validation cases that the search\n# chose by, so a little too good; score on "
            "others.\n"
        )
        write_text(folder / "best.yaml", about + text)
    return rows


_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "interrupted",
}


def _row(search: Search, trial: FrozenTrial) -> TrialRow:
    return TrialRow(
        number=trial.number,
        state=_STATES[trial.state],
        value=trial.value,
        fields=values(search, trial.params),
        by_epoch=dict(sorted(trial.intermediate_values.items())),
        note=trial.user_attrs.get(NOTE, ""),
        seconds=trial.user_attrs.get(SECONDS, 0.0),
    )


def _line(search: Search, row: TrialRow, best: TrialRow | None) -> str:
    value = "" if row.value is None else f", {search.metric} {row.value:.4f}"
    note = f" ({row.note})" if row.note else ""
    so_far = ""
    if best is not None:
        so_far = f"; best so far {best.value:.4f} (trial {best.number})"
    return f"trial {row.number}: {row.state}{value}{note}{so_far}"
