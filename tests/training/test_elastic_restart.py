"""``torchrun`` starts all processes again when one dies; they go on from the last checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from helpers.programs import TESTS, run_program
from test_engine import metrics, tensors

# What torchrun runs, with processes that are forked: starting them anew takes seconds of imports.
TORCHRUN = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from helpers.small_run import PLAN, small_batch, small_network, small_validation
from renalis.training.devices import Devices, open_fabric
from renalis.training.engine import fit
from renalis.training.stopping import Epochs

def train(run, killed):
    begun = []

    def batch(epoch, index, rng):
        if not begun:
            begun.append(epoch)
            with Path(run, "begun").open("a") as file:
                file.write(f"{os.environ['RANK']}{epoch} ")
        first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
        if killed and first and os.environ["RANK"] == "1" and (epoch, index) == (2, 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return small_batch(epoch, index, rng)

    plan = replace(PLAN, accumulate=1, stop=(Epochs(4),))
    fabric = open_fabric(Devices("cpu", 2, threads=1))
    fit(fabric, small_network(), plan, batch, small_validation, Path(run), True, print)

Path(sys.argv[1]).mkdir()
config = LaunchConfig(
    1, 1, 2, run_id="test", rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=2,
    monitor_interval=0.1, start_method="fork",
)
elastic_launch(config, train)(sys.argv[1], sys.argv[2] == "killed")
"""


def trained(run: Path, how: str) -> list[str]:
    """The processes that began, by rank and the epoch in which they did."""
    environment = {**os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    done = run_program("-c", TORCHRUN, run, how, cwd=TESTS, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return sorted((run / "begun").read_text().split())


@pytest.mark.slow
def test_a_training_that_loses_a_process_is_started_again_and_ends_with_the_same_bits(
    tmp_path: Path,
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert trained(whole, "undisturbed") == ["00", "10"]
    assert trained(parts, "killed") == ["00", "02", "10", "12"]
    one, two = tensors(whole), tensors(parts)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert metrics(whole) == metrics(parts)
    assert [entry["epoch"] for entry in metrics(parts)] == [1, 2, 3, 4]
