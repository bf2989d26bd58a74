"""Folds on a Ray cluster, whose part a stand-in plays: the same bits, also where a node is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.ray_stand_in import NodeGone, stand_in

from renalis.cli import main
from renalis.cluster.node_process import NodeProcess
from renalis.io.lock import held

SETS = (
    f"dataset.exclude={json.dumps([f'case_{n:05d}' for n in range(10) if n > 3])}",
    "split={kind: kfold, k: 2, seed: 42}",
    "grids.slices.slice_size=32",
    "network.base=4",
    "optimisation.stop.epochs=2",
)


def arguments(kits: Path, run: Path, *more: str) -> list[str]:
    words = ["train", "simple-unet-2d", "--tiny", "--data", str(kits), "--kind", "kits19"]
    words += [part for change in SETS for part in ("--set", change)]
    return [*words, "--device", "cpu", "--threads", "1", "-o", str(run), *more]


@pytest.fixture(scope="module")
def alone(kits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("alone") / "run"
    for fold in "01":
        words = arguments(kits, run, "--fold", fold, "--resume", "--cache-limit", "1G")
        assert main(words) == 0
    assert json.loads((run / "prepared" / "limit.json").read_text()) == {"most_bytes": 10**9}
    return run


def bits(run: Path) -> dict[str, bytes]:
    """Weights, splits and the run's recipe; the times that metrics.jsonl has apart."""
    paths = [*run.glob("fold_*/*.safetensors"), *run.glob("fold_*/*.json"), run / "recipe.json"]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


def test_a_fold_that_loses_its_node_goes_on_from_its_checkpoint_elsewhere(
    kits: Path,
    alone: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster = stand_in(monkeypatch)
    say = NodeProcess._say

    def heard(process: NodeProcess, line: str) -> None:
        say(process, line)
        if line.startswith("fold 1: epoch 1/2") and all(cluster.alive.values()):
            raise NodeGone

    monkeypatch.setattr(NodeProcess, "_say", heard)
    more = ("--fold", "all", "--engine", "ray", "--cache", str(alone / "prepared"))
    assert main(arguments(kits, tmp_path / "run", *more)) == 0
    assert bits(tmp_path / "run") == bits(alone)
    said = capsys.readouterr().err.splitlines()
    assert "fold 1: its node was lost; it goes on from its last checkpoint elsewhere" in said
    assert sum(line.startswith("fold 1: epoch 1/2") for line in said) == 1
    assert sum(line.startswith("fold 1: epoch 2/2") for line in said) == 1
    assert said[-1] == "fold 1 is done"


def test_what_is_wrong_with_a_fold_is_said_and_others_are_trained(
    kits: Path,
    alone: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stand_in(monkeypatch)
    monkeypatch.setattr("renalis.systems.run_folder._PATIENCE_S", 0.0)
    more = ("--fold", "all", "--engine", "ray", "--resume")
    with held(alone / "fold_0", ""):
        assert main(arguments(kits, alone, *more)) == 2
    said = capsys.readouterr().err
    assert "fold 1 is done" in said
    assert "fold 0: another training works in" in said


def test_a_node_that_does_not_see_the_run_is_told(
    kits: Path,
    alone: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stand_in(monkeypatch)
    monkeypatch.setattr("renalis.systems.train.store_recipe", lambda *_: None)
    run = alone.parent / "elsewhere"
    more = ("--engine", "ray", "--cache", str(alone / "prepared"))
    assert main(arguments(kits, run, *more)) == 2
    assert "choose an output that all nodes share" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--ray-address", "auto"), "belongs to --engine ray"),
        (("--engine", "ray", "--devices", "2"), "leave --devices and --nodes out"),
        (("--engine", "ray", "--threads", "0"), "--threads must be at least 1"),
    ],
)
def test_options_that_do_not_fit_each_other_are_refused(
    kits: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    why: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(arguments(kits, tmp_path / "run", *words)) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
