"""The search: one trial after another, resumable at any moment, with its tables and pages."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from renalis.cluster.connection import RayPlace, connected
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
from renalis.tuning.ray_trials import trials_on_ray
from renalis.tuning.search import Search, check_search
from renalis.tuning.search_space import distributions, proposed, values
from renalis.tuning.store import open_study
from renalis.tuning.trial_table import State, TrialRow, best_row, plain, write_trials
from renalis.tuning.trials import Outcome, TrialOrder, TrialSetup, full_text, run_trial

__all__ = ["SearchResult", "Tuning", "tune"]

Report = Callable[[str], None]

_NOTE, _SECONDS = "note", "seconds"
"""Names of a trial's attributes in addition to its values."""


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
        Of this call; trials that run then are stopped after an epoch and go on later.
    fold : int or None
        The recipe's own when None.
    device : Devices
        Of each trial.
    cluster : RayPlace or None
        Work on trials on a Ray cluster whose nodes share the search's folder.
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
    cluster: RayPlace | None = None


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
    UsageError
        If there is no cluster.
    """
    folder, search = tuning.job.run, tuning.search
    check_search(search, tuning.job.system)
    with held(folder, f"another search works in {folder}; wait for its end"):
        _begin(tuning)
        study = open_study(folder / "journal.jsonl", search)
        deadline = None if tuning.minutes is None else time.monotonic() + 60 * tuning.minutes
        setup = TrialSetup(search, folder, tuning.job, tuning.fold, tuning.device)
        with ExitStack() as stack:
            if tuning.cluster is not None:
                stack.enter_context(connected(tuning.cluster.address))
            found = _Search(tuning, setup, study, deadline, report)
            found.until_it_ends()
        rows = _publish(folder, tuning, study)
    return SearchResult(rows, best_row(rows, search.higher_is_better), found.reason)


@dataclass(eq=False)
class _Search:
    """A search at work: values are tried until there is a reason to stop."""

    tuning: Tuning
    setup: TrialSetup
    study: optuna.Study
    deadline: float | None
    report: Report
    reason: str = ""

    def until_it_ends(self) -> None:
        """Work on all trials that may be, then on those that had to wait for these, and so on."""
        search, study = self.tuning.search, self.study
        while not self.reason:
            for order, outcome in self._worked_on(self._ready()):
                if outcome.state == "interrupted":
                    self._out_of_time()
                    continue
                _note(study, order.number, outcome)
                rows = _publish(self.setup.folder, self.tuning, study)
                best = best_row(rows, search.higher_is_better)
                self.report(_line(search, rows[order.number], best))

    def _worked_on(self, orders: Iterator[TrialOrder]) -> Iterator[tuple[TrialOrder, Outcome]]:
        cluster = self.tuning.cluster
        if cluster is not None:
            yield from trials_on_ray(self.setup, orders, cluster, self.report, self.deadline)
            return
        for order in orders:

            def heard(known: Mapping[int, float], number: int = order.number) -> None:
                _note_epochs(self.study, number, known)

            yield order, run_trial(self.setup, order, self.report, self.deadline, heard)

    def _ready(self) -> Iterator[TrialOrder]:
        """Trials that may begin or go on, until one has to wait for others or none is left."""
        search, number = self.tuning.search, 0
        while not self.reason:
            trials = self.study.get_trials(deepcopy=False)
            known = search.known(number)
            if any(not trial.state.is_finished() for trial in trials[:known]):
                return
            if number == len(trials) and not self._added(trials):
                return
            trial = self.study.get_trials(deepcopy=False)[number]
            number += 1
            if trial.state.is_finished():
                continue
            row = _row(search, trial)
            fields = ", ".join(f"{key}={plain(value)}" for key, value in row.fields.items())
            self.report(f"trial {row.number}: {fields}")
            others = [t for t in trials[:known] if t.state == TrialState.COMPLETE]
            yield TrialOrder(row.number, trial.params, [t.intermediate_values for t in others])

    def _added(self, trials: list[FrozenTrial]) -> bool:
        """Add the next trial to the study, unless there is a reason to stop."""
        search = self.tuning.search
        if len(trials) >= self.tuning.trials:
            self.reason = f"--trials {self.tuning.trials} reached"
        elif self.deadline is not None and time.monotonic() > self.deadline:
            self._out_of_time()
        elif (params := proposed(search, trials)) is None:
            self.reason = "no new values are left to try"
        else:
            # One line of the journal: a trial is there with all its values, or not at all.
            self.study.add_trial(
                optuna.create_trial(
                    state=TrialState.RUNNING, params=params, distributions=distributions(search)
                )
            )
        return not self.reason

    def _out_of_time(self) -> None:
        self.reason = f"{self.tuning.minutes:g} minutes have passed; --resume goes on"


def _note(study: optuna.Study, number: int, outcome: Outcome) -> None:
    """Note in the study how a trial ended."""
    _note_epochs(study, number, outcome.by_epoch)
    trial = _trial(study, number)
    trial.set_user_attr(_SECONDS, outcome.seconds)
    if outcome.state == "complete":
        study.tell(number, outcome.value)
        return
    trial.set_user_attr(_NOTE, outcome.note)
    study.tell(number, state={name: state for state, name in _STATES.items()}[outcome.state])


def _note_epochs(study: optuna.Study, number: int, known: Mapping[int, float]) -> None:
    there = study.get_trials(deepcopy=False)[number].intermediate_values
    for epoch, value in known.items():
        if epoch not in there:
            _trial(study, number).report(value, epoch)


def _trial(study: optuna.Study, number: int) -> optuna.Trial:
    return optuna.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


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
        "search file": _with_defaults(search) == settings["search"],
        "dataset, split or fold": split == settings["split"],
        "recipe": load_system(str(folder / "recipe.yaml")) == system,
    }
    for name, same in what.items():
        if not same:
            raise InputError(
                f"{folder} was started with another {name}, whose trials cannot be compared with "
                "new ones; choose another folder"
            )


def _with_defaults(search: Any) -> Any:
    """A stored search with the fields that came later."""
    try:
        return Search.model_validate(search).to_json()
    except ValueError:
        return search


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
        note=trial.user_attrs.get(_NOTE, ""),
        seconds=trial.user_attrs.get(_SECONDS, 0.0),
    )


def _line(search: Search, row: TrialRow, best: TrialRow | None) -> str:
    value = "" if row.value is None else f", {search.metric} {row.value:.4f}"
    note = f" ({row.note})" if row.note else ""
    so_far = ""
    if best is not None:
        so_far = f"; best so far {best.value:.4f} (trial {best.number})"
    return f"trial {row.number}: {row.state}{value}{note}{so_far}"
