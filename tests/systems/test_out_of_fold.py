"""Masks that no network made which knew the case: who taught whom, stopped and resumed, shared."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.programs import run_program
from safetensors.torch import load_file

import renalis.systems.stage_data as training
from renalis.dataset import Split, load_split, open_dataset, save_splits
from renalis.errors import InputError
from renalis.networks import build
from renalis.preparation import PreparedCase
from renalis.recipes import load_system
from renalis.recipes.system import Stage, System
from renalis.systems import open_run, train_system
from renalis.systems.case_batches import CaseBatches
from renalis.systems.input_masks import predicted_masks
from renalis.systems.recipe_cases import grid_specs, prepared
from renalis.systems.training_job import Job
from renalis.training.checkpoint import load_weights
from renalis.training.devices import Devices

CPU = Devices("cpu", threads=1)
CHANGES = (
    "stages.tumor.input_mask.training=out_of_fold",
    "stages.tumor.input_mask.folds=3",
    "stages.tumor.input_mask.threshold=0.2",
    "grids.slices.slice_size=32",
    "stages.tumor.grids.slices.slice_size=32",
    "network={name: simple_unet, in_channels: 1, out_channels: 1, base: 4, levels: 3}",
    "optimisation.batch=8",
    "optimisation.stop.epochs=2",
    "optimisation.learning_rate=0.02",
    "dataset.exclude=[case_00008, case_00009]",
    "split={kind: holdout, train: 0.75, val: 0.25, test: 0.0, seed: 0}",
)


def system(*changes: str) -> System:
    return load_system("resnet34-2d", CHANGES + changes, tiny=True)


def quiet(_: str) -> None:
    pass


@dataclass(frozen=True)
class Seen:
    """What was trained on what, noted where the trainings get their samples from."""

    run: Path
    taught: list[tuple[str, frozenset[str]]]
    masks: list[np.ndarray]


def folders(cases: Iterable[PreparedCase]) -> frozenset[str]:
    """Prepared cases by the names of their folders, which are hashes of the scans."""
    return frozenset(Path(case.grid("slices").image.filename).parent.name for case in cases)


@pytest.fixture(scope="module")
def whole(kits: Path, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Six cases to learn from, in three folds for masks, trained in one go."""
    run = tmp_path_factory.mktemp("whole") / "run"
    result = Seen(run, [], [])
    real = training.case_batches

    def noted(stage: Stage, cases: list[PreparedCase], **others: Any) -> CaseBatches:
        if others.get("augment", True):
            result.taught.append((stage.name, folders(cases)))
            result.masks.extend(others["regions"] or [])
        return real(stage, cases, **others)

    job = Job(system(), kits, run, "kits19", cache=run.parent / "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "case_batches", noted)
        train_system(job, None, CPU, quiet)
    return result


def homes(run: Path) -> list[Path]:
    return [run / "fold_0" / "kidney.out_of_fold" / f"fold_{n}" for n in range(3)]


def weights(run: Path) -> dict[str, torch.Tensor]:
    fold = run / "fold_0"
    names = ("kidney.safetensors", "tumor.safetensors", "tumor/main/checkpoint.safetensors")
    files = [fold / name for name in names] + [home / names[0] for home in homes(run)]
    return {
        f"{file.relative_to(run)} {key}": value
        for file in files
        for key, value in load_file(file).items()
    }


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_no_mask_comes_from_a_network_that_saw_the_case(whole: Seen, kits: Path) -> None:
    train = load_split(whole.run / "fold_0" / "split.json").train
    splits = [load_split(home / "split.json") for home in homes(whole.run)]
    assert sorted(i for split in splits for i in split.val) == sorted(train)
    known = {case.id: case for case in open_dataset(kits, "kits19").cases}
    kidney, cache = system().stage("kidney"), whole.run.parent / "cache"
    specs = list(grid_specs(kidney).values())
    folder = {i: folders(prepared([known[i]], specs, cache)) for i in train}
    everyone = frozenset().union(*folder.values())
    # The network of all, one per fold without that fold's cases, then the second stage.
    assert [name for name, _ in whole.taught] == ["kidney"] * 4 + ["tumor"]
    assert whole.taught[0][1] == everyone
    for split, (_, taught) in zip(splits, whole.taught[1:4], strict=True):
        held = frozenset().union(*(folder[i] for i in split.val))
        assert len(held) == 2
        assert taught == everyone - held
    # The second stage was given the masks of those networks, each of the cases left out.
    given = dict(zip(train, whole.masks, strict=True))
    networks = []
    for home in (*homes(whole.run), whole.run / "fold_0"):
        network = build(kidney.network.config())
        load_weights(home / "kidney.safetensors", network)
        found = predicted_masks(
            kidney, network, [known[i] for i in train], 0.2, home, cache, torch.device("cpu")
        )
        networks.append(dict(zip(train, found, strict=True)))
    assert all(mask.any() for mask in given.values())
    for number, split in enumerate(splits):
        for i in split.val:
            np.testing.assert_array_equal(given[i], networks[number][i])
        # No other network says the same, so that these could not be its masks.
        for other in {0, 1, 2, 3} - {number}:
            assert any((given[i] != networks[other][i]).any() for i in split.val)


def test_the_network_that_predicts_is_the_one_of_all_cases(whole: Seen) -> None:
    (fold,) = open_run(whole.run).folds
    opened = dict(fold.networks["kidney"].state_dict())
    files = [folder / "kidney.safetensors" for folder in (whole.run / "fold_0", *homes(whole.run))]
    assert [same(opened, load_file(file)) for file in files] == [True, False, False, False]


class Stop(Exception):
    pass


def stopping(after: int, lines: list[str]) -> Callable[[str], None]:
    """Take so many lines, then end the training."""

    def report(line: str) -> None:
        if len(lines) == after:
            raise Stop
        lines.append(line)

    return report


KILLED_IN_A_FOLD = """
import os, signal, sys
from renalis.cli import main, train
lines = []
def report(line):
    # In the middle of the second of the three folds for masks.
    if any("fold 1 of 3 for masks" in said for said in lines):
        os.kill(os.getpid(), signal.SIGKILL)
    lines.append(line)
train._report = report
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_killed_at_any_step_and_resumed_gives_the_same_bits(
    whole: Seen, kits: Path, tmp_path: Path
) -> None:
    run, cache = tmp_path / "parts", tmp_path / "cache"
    sets = [part for change in CHANGES for part in ("--set", change)]
    words = ("train", "resnet34-2d", "--tiny", *sets, "--data", kits, "--kind", "kits19",
             "-o", run, "--cache", cache, "--device", "cpu")  # fmt: skip
    done = run_program("-c", KILLED_IN_A_FOLD, *words)
    assert done.returncode == -9, done.stderr
    job = Job(system(), kits, run, "kits19", None, cache, True)
    ends, lines = 0, list[str]()
    while True:
        # A little further every time.
        count, lines = len(lines) + 8, []
        try:
            train_system(job, None, CPU, stopping(count, lines))
            break
        except Stop:
            ends += 1
    assert ends >= 2
    assert same(weights(run), weights(whole.run))
    assert len(list((cache / "masks").iterdir())) == 6
    # All is there: nothing is trained or predicted again, even without the checkpoints.
    for home in homes(run):
        shutil.rmtree(home / "kidney")
    (run / "fold_0" / "tumor" / "main" / "checkpoint.safetensors").unlink()
    (run / "fold_0" / "tumor" / "main" / "metrics.jsonl").unlink()
    before = {path: path.stat().st_mtime_ns for path in (cache / "masks").iterdir()}
    train_system(job, None, CPU, quiet)
    assert same(weights(run), weights(whole.run))
    assert before == {path: path.stat().st_mtime_ns for path in (cache / "masks").iterdir()}
    assert not any((home / "kidney").exists() for home in homes(run))


def test_folds_begun_with_other_cases_are_refused(whole: Seen, kits: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole.run, run)
    split = load_split(run / "fold_0" / "split.json")
    other = Split((*split.train[1:], split.val[0]), (*split.val[1:], split.train[0]))
    save_splits(tmp_path / "other.json", [other])
    cache = whole.run.parent / "cache"
    job = Job(system(), kits, run, "kits19", tmp_path / "other.json", cache, True)
    with pytest.raises(InputError, match="begun with other cases"):
        train_system(job, None, CPU, quiet)


@pytest.mark.slow
def test_two_processes_share_the_folds(whole: Seen, kits: Path, tmp_path: Path) -> None:
    run, cache = tmp_path / "two", tmp_path / "cache"
    changes = (*CHANGES, "optimisation.micro_batch=2", "optimisation.stop.epochs=1")
    sets = [part for change in changes for part in ("--set", change)]
    command = ("renalis", "train", "resnet34-2d", "--tiny", *sets, "--data", kits,
               "--kind", "kits19", "-o", run, "--cache", cache, "--device", "cpu")  # fmt: skip
    done = run_program("-m", "helpers.forked_processes", *command, "--devices", "2")
    assert done.returncode == 0, done.stderr
    one, two = homes(whole.run), homes(run)
    assert [load_split(h / "split.json") for h in two] == [
        load_split(h / "split.json") for h in one
    ]
    assert len(list((cache / "masks").glob("*.npy"))) == 6
    assert (run / "fold_0" / "tumor.safetensors").exists()


NESTED = (
    "stages=[{name: a}, {name: b, input_mask: {stage: a}},"
    " {name: c, input_mask: {stage: b, training: out_of_fold}}]"
)


@pytest.mark.parametrize(
    ("recipe", "change", "words"),
    [
        ("resnet34-2d", NESTED, "a stage without an input mask, and 'b' has one"),
        ("resnet34-2d", "stages.tumor.input_mask.folds=1", "greater than or equal to 2"),
        ("cascade3d", "stages=[{name: a}, {name: b, input_mask: {stage: a}}]", "predicts tiles"),
    ],
)
def test_what_cannot_be_out_of_fold_is_refused(recipe: str, change: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_system(recipe, (change,))


def test_too_few_patients_are_refused(kits: Path, tmp_path: Path) -> None:
    few = system("stages.tumor.input_mask.folds=7", "optimisation.stop.epochs=1")
    job = Job(few, kits, tmp_path / "run", "kits19", cache=tmp_path / "cache")
    with pytest.raises(InputError, match="7"):
        train_system(job, None, CPU, quiet)
    assert not (tmp_path / "run" / "fold_0" / "kidney").exists()
