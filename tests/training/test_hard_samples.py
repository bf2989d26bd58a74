"""Hard negatives in the engine: ranked by the losses of the steps, killed, shared, loaded ahead."""

from __future__ import annotations

import json
import random
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import hard_samples_run
from helpers.hard_samples_run import NEGATIVE, PLAN, SAMPLES, hard_samples
from helpers.programs import TESTS, run_program, start_program
from helpers.small_run import small_batch, small_network, small_validation
from safetensors.torch import load_file
from torch import Tensor

from renalis.training.devices import Devices, open_fabric
from renalis.training.engine import CHECKPOINT, WEIGHTS, fit
from renalis.training.hard_samples import SAMPLE, HardSampleBatches, SampleLosses, each_loss
from renalis.training.losses import CrossEntropy, Dice, LossTerm, total_loss
from renalis.training.stopping import Epochs

PROGRAM = hard_samples_run.__name__
Note = list[list[list[int]]]


def train(run: Path, **changes: object) -> Note:
    fabric = open_fabric(Devices("cpu", threads=1))
    plan = replace(PLAN, **changes)
    source = hard_samples(run.with_suffix(".0"))
    fit(fabric, small_network(), plan, source, small_validation, run, True, lambda _: None)
    return notes(run)


def program(run: Path, *arguments: str) -> None:
    done = run_program("-m", "helpers.forked_processes", PROGRAM, run, *arguments, cwd=TESTS)
    assert done.returncode == 0, done.stderr


def notes(run: Path, rank: int = 0) -> Note:
    return [json.loads(line) for line in run.with_suffix(f".{rank}").read_text().splitlines()]


def tensors(run: Path) -> dict[str, Tensor]:
    return load_file(run / CHECKPOINT) | {
        f"kept.{k}": v for k, v in load_file(run / WEIGHTS).items()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    train(run)
    return run


def test_the_worst_negatives_of_an_epoch_are_drawn_again_in_the_next(whole: Path) -> None:
    epochs = notes(whole)
    assert len(epochs) == 5
    assert epochs[0][:2] == [[], []]
    for before, (ranked, hardest, order) in pairwise(epochs):
        drawn = set(before[2])
        # Everything that was drawn and is negative was ranked, and nothing else.
        assert ranked == sorted(n for n in drawn if NEGATIVE[n])
        assert sorted(hardest) == ranked
        assert len(order) == SAMPLES
        assert [n for n in sorted(order) if not NEGATIVE[n]] == list(range(12))
        assert set(hardest[:6]) <= set(order)


def test_losses_are_those_of_the_steps_in_which_samples_were_seen(tmp_path: Path) -> None:
    def alone(
        epoch: int, index: int, rng: np.random.Generator
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        inputs, targets = small_batch(epoch, index, rng)
        number = np.array([7 - index], np.int64)
        return {"image": inputs["image"][:1]}, {"seg": targets["seg"][:1], SAMPLE: number}

    fabric = open_fabric(Devices("cpu", threads=1))
    plan = replace(PLAN, batches=8, stop=(Epochs(1),))
    source = HardSampleBatches(lambda _: alone)
    history = fit(
        fabric, small_network(), plan, source, small_validation, tmp_path, False, lambda _: None
    )
    state = load_file(tmp_path / CHECKPOINT)
    assert state["drawn_by.numbers"].tolist() == list(range(8))
    assert state["drawn_by.losses"].std() > 0.01
    assert float(state["drawn_by.losses"].mean()) == pytest.approx(history[0].train["loss"])


def test_each_loss_is_the_loss_of_the_sample_alone() -> None:
    torch.manual_seed(0)
    terms = (
        LossTerm("ce", CrossEntropy((0.5, 1.0, 1.5), top_k=0.7), 0.8, deep_weights=(0.5,)),
        LossTerm("dice", Dice(((1, 2), (2,))), 0.2),
        LossTerm("plain", CrossEntropy(), 1.0, pixel_weights="weights"),
    )
    logits = {"seg": torch.randn(4, 3, 8, 8), "deep": [torch.randn(4, 3, 4, 4)]}
    truth = {"seg": torch.randint(0, 3, (4, 8, 8)), "weights": torch.rand(4, 8, 8)}
    each = each_loss(terms, logits, truth, [3, 1])
    for value, row in zip(each, (3, 1), strict=True):
        outputs = {"seg": logits["seg"][[row]], "deep": [logits["deep"][0][[row]]]}
        alone = total_loss(terms, outputs, {k: v[[row]] for k, v in truth.items()})[0]
        assert torch.equal(value, alone)
    # Without anything that looks at the micro-batch as a whole, their mean is its loss.
    plain = (LossTerm("ce", CrossEntropy()),)
    both = each_loss(plain, {"seg": logits["seg"]}, truth, range(4)).mean()
    torch.testing.assert_close(both, total_loss(plain, {"seg": logits["seg"]}, truth)[0])


def test_ranks_do_not_depend_on_who_saw_a_sample_first() -> None:
    pairs = [(4, 0.5), (2, 1.0), (4, 0.1), (9, 1.0), (4, 0.3), (1, 0.9)]
    one = SampleLosses.of(pairs).means()
    other = SampleLosses.of(pairs[::-1]).means()
    assert one.pairs() == other.pairs()
    assert one.numbers.tolist() == [1, 2, 4, 9]
    assert one.hardest().tolist() == [2, 9, 1, 4]


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_bits(whole: Path, tmp_path: Path) -> None:
    parts, moments = tmp_path / "parts", random.Random()
    command = ("-m", PROGRAM, parts, "--pause", "0.01")
    with start_program(*command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        # Five epochs of three steps report about twenty lines; a checkpoint lies within each.
        for _ in range(moments.randint(2, 12)):
            assert process.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0, 0.02))
        process.kill()
    assert process.returncode == -9
    train(parts)
    one, two = tensors(whole), tensors(parts)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_two_processes_rank_alike(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "two"
    program(run, "--processes", "2", "--accumulate", "1")
    assert notes(run, 0) == notes(run, 1)
    one, two = tensors(whole), tensors(run)
    assert len(notes(run)) == 5
    # The first two epochs cannot differ by rounding: what was drawn and ranked is the same.
    assert [entry[2] for entry in notes(run)][:1] == [entry[2] for entry in notes(whole)][:1]
    assert notes(run)[1][0] == notes(whole)[1][0]
    torch.testing.assert_close(
        one["weights.last.weight"], two["weights.last.weight"], rtol=0.05, atol=0.02
    )


def test_loader_processes_draw_the_same(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "loaded"
    assert train(run, workers=1) == notes(whole)
    one, two = tensors(whole), tensors(run)
    assert all(torch.equal(one[name], two[name]) for name in one)
