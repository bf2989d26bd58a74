"""A training that a signal ends: its step is saved, and what goes on ends with the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.programs import TESTS, start_program
from helpers.small_run import PLAN, small_batch, small_network, small_validation
from test_engine import PROGRAM, metrics, tensors

from renalis.signals import Ended
from renalis.training.devices import Devices, open_fabric
from renalis.training.engine import CHECKPOINT, fit
from renalis.training.fit_plan import FitPlan
from renalis.training.schedules import WarmupLinear
from renalis.training.stopping import Epochs

# Three steps an epoch, and a rate that changes with each.
SHORT = replace(
    PLAN, stop=(Epochs(3),), checkpoint_steps=None, schedule=WarmupLinear(3, 0.5, 9), keep="last"
)


def train(run: Path, *signals: tuple[str, int], plan: FitPlan = SHORT) -> None:
    """Train, and get SIGTERM while such and such a micro-batch or validation is at work."""
    ahead, validations = [*signals], 0

    def heard(*place: Any) -> None:
        if ahead and ahead[0] == place:
            del ahead[0]
            signal.raise_signal(signal.SIGTERM)

    def batch(epoch: int, index: int, rng: np.random.Generator) -> Any:
        heard("batch", 10 * epoch + index)
        return small_batch(epoch, index, rng)

    def validate(network: Any, process: Any) -> Any:
        nonlocal validations
        validations += 1
        heard("validation", validations)
        return small_validation(network, process)

    fabric = open_fabric(Devices("cpu", threads=1))
    fit(fabric, small_network(), plan, batch, validate, run, True, lambda _: None)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (("batch", 10), "saved in epoch 2 after 4 steps"),
        (("batch", 13), "saved in epoch 2 after 5 steps"),
        (("batch", 14), "saved in epoch 2 after 6 steps"),
        (("validation", 2), "saved in epoch 2 after 6 steps"),
        (("validation", 3), "saved in epoch 3 after 9 steps"),
    ],
)
def test_the_step_at_work_is_saved_and_the_rest_ends_with_the_same_bits(
    tmp_path: Path, place: tuple[str, int], said: str
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole)
    with pytest.raises(Ended, match=said) as ended:
        train(parts, place)
    assert ended.value.exit_code == 143
    train(parts)
    one, two = tensors(whole), tensors(parts)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert metrics(whole) == metrics(parts)


def test_a_signal_during_the_last_epoch_keeps_the_next_training_from_beginning(
    tmp_path: Path,
) -> None:
    def on_epoch(history: Any) -> None:
        if len(history) == 3:
            signal.raise_signal(signal.SIGTERM)

    fabric = open_fabric(Devices("cpu", threads=1))
    with pytest.raises(Ended, match="small is trained; --resume"):
        fit(
            fabric, small_network(), SHORT, small_batch, small_validation, tmp_path, False,
            lambda _: None, on_epoch,
        )  # fmt: skip


@pytest.mark.slow
def test_processes_that_train_together_end_at_the_same_step(tmp_path: Path) -> None:
    words = ("--processes", "2", "--accumulate", "1", "--epochs", "400")
    command = ("-m", "helpers.forked_processes", PROGRAM, tmp_path, *words)
    with start_program(
        *command, cwd=TESTS, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(4):
            assert process.stdout.readline()
        os.kill(process.pid, signal.SIGTERM)  # the first of them alone
        process.wait(60)
        said = process.stderr.read()
    assert process.returncode == 1  # an exception, which the command line turns into 143
    assert "--resume goes on" in said
    assert (tmp_path / CHECKPOINT).is_file()
