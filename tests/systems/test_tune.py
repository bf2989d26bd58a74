"""``renalis tune``: a real search on tiny scans, killed, stopped and gone on with."""

from __future__ import annotations

import csv
import errno
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import yaml
from helpers.coarse_grids import COARSE
from helpers.programs import run_program
from helpers.vanishing import bring_back, take_away
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

import renalis
from renalis.charts.axes import axis
from renalis.cli import main
from renalis.errors import InputError
from renalis.io.lock import held
from renalis.recipes import load_system, stored_system
from renalis.recipes.reading import as_changes
from renalis.systems import open_run, predict_scan
from renalis.tuning.search import Search, check_search
from renalis.tuning.search_space import distributions, proposed, values
from renalis.tuning.store import JournalLines, open_study

RATE, BATCH = "optimisation.learning_rate", "optimisation.batch"
# Drawn in this order from the seed: batch 3, which the sampler does not draw; a rate that makes the
# loss infinite; batch 3; a good rate; one that learns nothing and is pruned; batch 3.
SEARCH = {
    "metric": "val_dice",
    "sampler": {"seed": 5, "startup_trials": 3},
    "pruner": {"kind": "median", "startup_trials": 1, "warmup_epochs": 1},
    "fields": {RATE: {"choice": [0.005, 1.0e-9, 1.0e30]}, BATCH: {"int": [2, 3]}},
}
STATES = ["failed", "failed", "failed", "complete", "pruned", "failed"]
SETS = [
    *COARSE["unet3d-plain"],
    f"dataset.exclude={json.dumps([f'case_{n:05d}' for n in range(10) if n > 2])}",
    "split.k=3",
    "augmentation.copies=0",
    "sampler.tumor_repeat=1",
    "optimisation.stop.epochs=4",
]


def arguments(kits: Path, folder: Path, search: Path, *more: str) -> list[str]:
    words = ["tune", "unet3d-plain", "--tiny", "--data", str(kits), "--kind", "kits19"]
    words += [part for change in SETS for part in ("--set", change)]
    words += ["--device", "cpu", "-o", str(folder), "--search", str(search)]
    return [*words, "--trials", "7", *more]


def written(folder: Path, search: object) -> Path:
    path = folder / "search.yaml"
    path.write_text(yaml.safe_dump(search, sort_keys=False), encoding="utf-8")
    return path


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def killed_at(beginning: str, words: list[str]) -> None:
    """Run a command in a process that kills itself before it says a line."""
    program = (
        "import os, signal, sys; from renalis.cli import main, tune\n"
        "def report(line):\n"
        "    if line.startswith(sys.argv[1]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "tune._report = report\n"
        "main(sys.argv[2:])"
    )
    ended = run_program("-c", program, beginning, *words)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("search"), SEARCH)


@pytest.fixture(scope="module")
def undisturbed(kits: Path, search: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune") / "undisturbed"
    assert main(arguments(kits, folder, search)) == 0
    return folder


def test_every_trial_ends_as_it_should(undisturbed: Path) -> None:
    found = rows(undisturbed)
    assert [row["state"] for row in found] == STATES  # six combinations, then nothing is left
    assert len({(row[RATE], row[BATCH]) for row in found}) == 6
    for row in found:
        refused = "the sampler draws 2 patches a step, batch differs" in row["note"]
        assert refused == (row[BATCH] == "3")
    assert "not finite" in found[1]["note"]
    assert "worse than half of the trials" in found[4]["note"]
    assert (found[3]["epochs"], found[4]["epochs"]) == ("4", "2")  # one epoch of warm-up
    lines = (undisturbed / "trial_0004/fold_0/main/main/metrics.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[-1])["validation"]["val_dice"] == float(found[4]["value"])


def test_the_best_trial_is_a_run_and_a_recipe_like_any_other(undisturbed: Path, kits: Path) -> None:
    best, run = undisturbed / "best.yaml", undisturbed / "trial_0003"
    stored = stored_system(run)
    assert load_system(str(best)) == load_system(str(run / "recipe.yaml")) == stored
    assert (stored.optimisation.learning_rate, stored.optimisation.batch) == (0.005, 2)
    assert "# learning_rate was 0.0005; [code] 5e-4" in best.read_text(encoding="utf-8")
    train = ["train", str(best), "--data", str(kits), "--kind", "kits19", "--device", "cpu"]
    assert main([*train, "-o", str(run), "--resume"]) == 0
    scan = renalis.read_scan(kits / "case_00001" / "imaging.nii.gz").volume
    assert predict_scan(open_run(run), scan).raw.same_grid(scan)


def test_a_pruned_trial_can_be_trained_to_its_end(undisturbed: Path, kits: Path) -> None:
    run = undisturbed / "trial_0004"
    train = ["train", str(run / "recipe.yaml"), "--data", str(kits), "--kind", "kits19"]
    cache = ["--cache", str(undisturbed / "prepared")]
    assert main([*train, "-o", str(run), "--resume", "--device", "cpu", *cache]) == 0
    lines = (run / "fold_0/main/main/metrics.jsonl").read_text().splitlines()
    assert len(lines) == 4


def test_the_page_shows_every_trial_and_needs_nothing_else(undisturbed: Path) -> None:
    page = (undisturbed / "tune.html").read_text(encoding="utf-8")
    valued = [row for row in rows(undisturbed) if row["value"]]
    for row in valued:  # once over the trials and once over each field
        assert len(re.findall(rf"<title>trial {row['trial']}, {row['state']}", page)) == 3
    table = re.findall(r"<tr(?: class=\"best\")?><td>(\d+)</td><td>(\w+)</td>", page)
    assert table == [(str(number), state) for number, state in enumerate(STATES)]
    assert page.count("batch differs") == STATES.count("failed") - 1
    assert not re.search(r"https?://|<script|<link|src=", page)


@pytest.mark.slow
def test_a_search_killed_anywhere_ends_as_if_nothing_had_happened(
    kits: Path, search: Path, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "tune"
    words = arguments(kits, folder, search, "--resume")
    # Killed when an epoch's checkpoint is written and the search does not know of the epoch yet.
    killed_at("trial 3: epoch 2/4", words)
    # Time is up at once, and the trial waits for the next call.
    assert main([*words, "--minutes", "1e-9"]) == 0
    assert [row["state"] for row in rows(folder)] == [*STATES[:3], "interrupted"]
    killed_at("trial 3: complete", words)
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"op_code":4,"worker')  # a line that the crash cut short
    assert main(words) == 0
    assert (folder / "trials.csv").read_bytes() == (undisturbed / "trials.csv").read_bytes()
    assert (folder / "best.yaml").read_bytes() == (undisturbed / "best.yaml").read_bytes()
    weights = "trial_0003/fold_0/main.safetensors"
    assert (folder / weights).read_bytes() == (undisturbed / weights).read_bytes()


def test_the_lowest_loss_wins_though_the_recipe_asks_for_no_loss(
    kits: Path, undisturbed: Path, tmp_path: Path
) -> None:
    fields = {RATE: {"choice": [0.005, 1.0e-9]}}
    path = written(tmp_path, {"metric": "val_loss", "fields": fields})
    more = ["--cache", str(undisturbed / "prepared"), "--set", "optimisation.stop.epochs=1"]
    assert main(arguments(kits, tmp_path / "tune", path, *more)) == 0
    found = {row[RATE]: float(row["value"]) for row in rows(tmp_path / "tune")}
    assert found["0.005"] < found["1e-09"]
    best = load_system(str(tmp_path / "tune" / "best.yaml"))
    assert best.optimisation.learning_rate == 0.005
    for row in rows(tmp_path / "tune"):
        run = tmp_path / "tune" / f"trial_000{row['trial']}"
        line = json.loads((run / "fold_0/main/main/metrics.jsonl").read_text())
        assert line["validation"]["val_loss"] == float(row["value"])


def test_a_trial_that_fails_in_any_way_is_noted_and_the_search_goes_on(
    kits: Path, search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("deep")

    monkeypatch.setattr("renalis.tuning.trials.train_system", fails)
    assert main(arguments(kits, tmp_path / "tune", search)) == 1
    found = rows(tmp_path / "tune")
    assert [row["state"] for row in found] == ["failed"] * 6
    assert "KeyError: 'deep'" in found[1]["note"]


@pytest.mark.parametrize("what", ["the search", "the data", "a disk"])
def test_a_drive_that_goes_away_makes_no_trial_fail(
    what: str,
    kits: Path,
    search: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, data = tmp_path / "tune", tmp_path / "data"
    data.symlink_to(kits)

    def fails(*_: object) -> None:
        if what == "the search":
            take_away(folder)
        elif what == "the data":
            data.unlink()
        cause = OSError(errno.EIO if what == "a disk" else errno.ENOENT, "gone")
        raise InputError("the scan cannot be read") from cause

    monkeypatch.setattr("renalis.tuning.trials.train_system", fails)
    assert main(arguments(data, folder, search)) == 2
    told = capsys.readouterr().err
    assert ("cannot be read" if what == "a disk" else "is gone: its drive") in told
    if what == "the search":
        bring_back(folder)
    wanted = Search.model_validate(SEARCH)
    states = [trial.state for trial in open_study(folder / "journal.jsonl", wanted).trials]
    assert states == [TrialState.FAIL, TrialState.RUNNING]  # the first by its values


@pytest.mark.parametrize("when", ["round main", "validation and"])
def test_a_trial_is_not_begun_anew_where_the_drive_was(
    when: str,
    kits: Path,
    search: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "tune"
    cache = ["--cache", str(undisturbed / "prepared")]

    def report(line: str) -> None:
        if when in line:
            take_away(folder)

    monkeypatch.setattr("renalis.cli.tune._report", report)
    assert main(arguments(kits, folder, search, *cache)) == 2
    bring_back(folder)


def test_searches_are_not_mixed(
    kits: Path, search: Path, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = written(tmp_path, SEARCH | {"sampler": {"seed": 6}})
    for words, why in (
        (arguments(kits, undisturbed, search), "add --resume"),
        (arguments(kits, undisturbed, other, "--resume"), "another search file"),
        (arguments(kits, undisturbed, search, "--resume", "--fold", "1"), "split or fold"),
        (arguments(kits, undisturbed, search, "--resume", "--set", "seed=1"), "another recipe"),
    ):
        assert main(words) == 2
        assert why in capsys.readouterr().err
    (tmp_path / "recipe.yaml").write_text("mine", encoding="utf-8")
    assert main(arguments(kits, tmp_path, search)) == 2
    assert (tmp_path / "recipe.yaml").read_text(encoding="utf-8") == "mine"


def test_a_search_from_before_trials_ran_together_goes_on(
    kits: Path, search: Path, undisturbed: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(undisturbed, tmp_path / "tune")
    stored = json.loads((folder / "search.json").read_text())
    del stored["search"]["together"]
    (folder / "search.json").write_text(json.dumps(stored))
    (folder / "best.yaml").unlink()
    assert main(arguments(kits, folder, search, "--resume")) == 0
    assert (folder / "best.yaml").read_bytes() == (undisturbed / "best.yaml").read_bytes()


def test_optuna_reads_the_journal_that_renalis_writes(undisturbed: Path) -> None:
    path = undisturbed / "journal.jsonl"
    assert all(isinstance(json.loads(line), dict) for line in path.read_text().splitlines())
    theirs = optuna.load_study(
        study_name="renalis", storage=JournalStorage(JournalFileBackend(str(path)))
    )
    names = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    assert [names[trial.state] for trial in theirs.trials] == STATES
    assert theirs.best_trial.number == 3


def test_a_cut_line_of_the_journal_is_dropped_and_a_damaged_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    plan = Search.model_validate(SEARCH)
    open_study(path, plan).add_trial(optuna.create_trial(value=0.5))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":')
    assert len(open_study(path, plan).trials) == 1
    assert path.read_bytes() == whole
    path.write_bytes(whole.replace(b"}", b"", 1))
    with pytest.raises(InputError, match="damaged"):
        open_study(path, plan)


def test_lines_come_back_from_any_number_on(tmp_path: Path) -> None:
    lines = JournalLines(tmp_path / "journal.jsonl")
    logs = [{"number": number} for number in range(6)]
    for log in logs:
        lines.append_logs([log])
        assert list(lines.read_logs(log["number"])) == [log]
    for first in (3, 0, 5, 6):
        assert list(lines.read_logs(first)) == logs[first:]


def test_two_searches_in_one_folder_are_refused(tmp_path: Path) -> None:
    busy = "another search works here"
    with held(tmp_path, busy), pytest.raises(InputError, match=busy), held(tmp_path, busy):
        pass
    with held(tmp_path, busy):
        pass


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 5),
    kind=st.sampled_from(["tpe", "random"]),
    low=st.floats(1e-6, 1e-2),
    whole=st.integers(-3, 3),
)
def test_values_lie_in_their_ranges_and_never_come_twice(
    seed: int, kind: str, low: float, whole: int
) -> None:
    real = {"float": [low, 2 * low], "log": True}
    spaces = {"a": {"int": [whole, whole + 4], "step": 2}, "b": {"choice": [[1, 2], {"x": None}]}}
    small = Search.model_validate({"sampler": {"seed": seed, "kind": kind}, "fields": spaces})
    large = Search.model_validate({"sampler": {"seed": seed, "kind": kind}, "fields": {"c": real}})
    assert low <= (proposed(large, []) or {})["c"] <= 2 * low
    trials: list[optuna.trial.FrozenTrial] = []
    seen = []
    while (params := proposed(small, trials)) is not None:
        assert proposed(small, trials) == params  # nothing but the trials decides
        seen.append(json.dumps(values(small, params)))
        state = TrialState.FAIL if len(trials) % 2 else TrialState.COMPLETE
        trials.append(
            optuna.create_trial(
                state=state,
                value=None if len(trials) % 2 else 0.5,
                params=params,
                distributions=distributions(small),
            )
        )
    assert sorted(seen) == sorted(
        json.dumps({"a": a, "b": b})
        for a in (whole, whole + 2, whole + 4)
        for b in ([1, 2], {"x": None})
    )


def test_the_sampler_learns_from_values_and_keeps_away_from_failures() -> None:
    plan = Search.model_validate(
        {"sampler": {"startup_trials": 8}, "fields": {"x": {"float": [0, 1]}}}
    )
    trials: list[optuna.trial.FrozenTrial] = []
    for _ in range(40):
        params = proposed(plan, trials) or {}
        failed = params["x"] > 0.5
        trials.append(
            optuna.create_trial(
                state=TrialState.FAIL if failed else TrialState.COMPLETE,
                value=None if failed else -abs(params["x"] - 0.2),
                params=params,
                distributions=distributions(plan),
            )
        )
    late = [trial.params["x"] for trial in trials[20:]]
    assert sum(abs(x - 0.2) < 0.15 for x in late) >= 15


@pytest.mark.parametrize(
    ("search_file", "why"),
    [
        ({"fields": {}}, "field fields"),
        ({"fields": {RATE: {"flaot": [1, 2]}}}, "give one of choice, int and float"),
        ({"fields": {RATE: {"float": [1, 2], "int": [1, 2]}}}, "give one of choice"),
        ({"fields": {RATE: {"float": [0, 1], "log": True}}}, "above 0"),
        ({"fields": {RATE: {"float": [1, 0.1]}}}, "lower than the second"),
        ({"fields": {RATE: {"float": [0.1, float("inf")]}}}, "finite"),
        ({"fields": {BATCH: {"int": [1, 4], "step": 2}}}, "multiple of its step"),
        ({"fields": {BATCH: {"int": [2, 8], "step": 2, "log": True}}}, "log or step"),
        ({"fields": {BATCH: {"choice": [2, 2]}}}, "twice"),
        ({"fields": {BATCH: {"choice": [2, 4]}}, "metrik": "val_dice"}, "no field 'metrik'"),
        ({"fields": {"optimisation.learning_rat": {"choice": [1, 2]}}}, "'learning_rate'"),
        ({"fields": {"postprocessing": {"choice": [[], [1]]}}}, "does not change val_dice"),
        ({"fields": {"split.k": {"int": [2, 5]}}}, "changes what val_dice is of"),
        ({"fields": {"loss.ce.weight": {"int": [1, 5]}}, "metric": "val_loss"}, "the loss itself"),
        ({"fields": {BATCH: {"int": [2, 4]}}, "metric": "low_dice"}, "coarse network"),
        ({"fields": {BATCH: {"int": [2, 4]}}, "stage": "second"}, "has no stage 'second'"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused_before_anything_is_written(
    search_file: object, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, search_file)
    assert main(arguments(tmp_path, tmp_path / "tune", path)) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "tune").exists()


def test_fields_of_stages_and_of_searched_sections_are_found() -> None:
    fields = {
        "stages.tumor.sampler.keep": {"choice": ["mask", "all"]},
        "optimisation.schedule": {"choice": [{"kind": "constant"}, {"kind": "step"}]},
        "optimisation.schedule.gamma": {"float": [0.1, 0.9]},
    }
    plan = Search.model_validate({"stage": "kidney", "fields": fields})
    check_search(plan, load_system("resnet34-2d", as_changes({"seed": 1})))


def test_the_documented_search_is_one() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "training.md"
    section = page.read_text(encoding="utf-8").partition("## Searching for")[2]
    example = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert example is not None
    plan = Search.model_validate(yaml.safe_load(example[1]))
    check_search(plan, load_system("unet3d-residual"))
    defaults = Search.model_validate({"fields": {BATCH: {"choice": [2, 3]}}})
    assert plan.sampler == defaults.sampler


def test_an_axis_need_not_reach_zero() -> None:
    low, high, ticks = axis([0.81, 0.84], False, zero=False)
    assert 0.8 <= low <= 0.81
    assert 0.84 <= high <= 0.85
    assert len(ticks) >= 3
    assert axis([0.81, 0.84], False)[0] == 0


def test_without_optuna_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(arguments(tmp_path, tmp_path, written(tmp_path, SEARCH))) == 2
    assert "renalis[tune]" in capsys.readouterr().err


def test_help_comes_without_the_heavy_imports() -> None:
    program = (
        "import sys; from renalis.cli import main; assert main(['tune', '--help']) == 0; "
        "assert not {'optuna', 'torch', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
