"""Trials on a Ray cluster, whose part a stand-in plays: what is found is what one machine finds."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
import yaml
from helpers.ray_stand_in import NodeGone, stand_in
from optuna.trial import TrialState

from renalis.cli import main
from renalis.cluster.node_process import NodeProcess
from renalis.tuning.search import Search
from renalis.tuning.search_space import distributions, proposed

RATE = "optimisation.learning_rate"
SEARCH = {
    "metric": "val_loss",
    "pruner": {"kind": "median", "startup_trials": 1},
    "sampler": {"kind": "random", "seed": 3},
    "together": 2,
    "fields": {RATE: {"choice": [0.01, 1.0e-9, 0.003, 1.0e-10]}},
}
SETS = (
    f"dataset.exclude={json.dumps([f'case_{n:05d}' for n in range(10) if n > 3])}",
    "split={kind: kfold, k: 2, seed: 42}",
    "grids.slices.slice_size=32",
    "network.base=4",
    "optimisation.stop.epochs=2",
)


def test_trials_are_those_of_one_machine_though_a_node_is_lost(
    kits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    search = tmp_path / "search.yaml"
    search.write_text(yaml.safe_dump(SEARCH), encoding="utf-8")

    def command(out: str, *more: str) -> list[str]:
        words = ["tune", "simple-unet-2d", "--tiny", "--data", str(kits), "--kind", "kits19"]
        words += [part for change in SETS for part in ("--set", change)]
        words += ["--device", "cpu", "--threads", "1", "--search", str(search), "--trials", "3"]
        return [*words, "--cache", str(tmp_path / "prepared"), "-o", str(tmp_path / out), *more]

    assert main(command("here")) == 0
    cluster = stand_in(monkeypatch)
    say = NodeProcess._say

    def heard(process: NodeProcess, line: str) -> None:
        say(process, line)
        if line.startswith("trial 1: epoch 1/2") and all(cluster.alive.values()):
            raise NodeGone

    monkeypatch.setattr(NodeProcess, "_say", heard)
    capsys.readouterr()
    assert main(command("there", "--engine", "ray")) == 0
    said = capsys.readouterr().err
    assert "trial 1: its node was lost; it goes on from its last checkpoint elsewhere" in said
    assert said.count("trial 1: epoch 1/2") == 1
    states = {
        line.split(",")[1] for line in (tmp_path / "here/trials.csv").read_text().splitlines()[1:]
    }
    assert states >= {"complete", "pruned"}
    for name in ("trials.csv", "best.yaml", "search.json"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
    one, other = (
        {path.parts[-3:]: path.read_bytes() for path in (tmp_path / out).glob("trial_*/*/*.safe*")}
        for out in ("here", "there")
    )
    assert one == other
    assert one


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pruner": "none"}, [0] * 6),  # by chance, and nobody is judged
        ({}, [0, 0, 2, 2, 4, 4]),
        ({"together": 1}, [0, 1, 2, 3, 4, 5]),
        (
            {"pruner": "none", "sampler": {"kind": "tpe", "startup_trials": 3}, "together": 4},
            [0, 0, 0, 0, 4, 4],
        ),
    ],
    ids=["chance", "pair", "alone", "four"],
)
def test_what_a_trial_waits_for_is_what_it_learns_from(
    changes: dict[str, object], expected: list[int]
) -> None:
    search = Search.model_validate(SEARCH | changes)
    assert [search.known(number) for number in range(6)] == expected


def test_values_do_not_depend_on_trials_that_are_not_waited_for() -> None:
    search = Search.model_validate(
        {"sampler": {"startup_trials": 2}, "together": 3, "fields": {"x": {"float": [0, 1]}}}
    )
    finished: list[optuna.trial.FrozenTrial] = []
    for number in range(9):
        before = [
            trial
            if n < search.known(number)
            else optuna.create_trial(
                state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions
            )
            for n, trial in enumerate(finished)
        ]
        params = proposed(search, finished)
        assert params is not None
        assert proposed(search, before) == params
        finished.append(
            optuna.create_trial(
                value=-abs(params["x"] - 0.2), params=params, distributions=distributions(search)
            )
        )
