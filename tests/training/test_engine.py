"""The engine: interrupted, shared between processes, accumulated, frozen, refused."""

from __future__ import annotations

import json
import random
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import small_run
from helpers.programs import TESTS, run_program, start_program
from helpers.small_run import (
    BATCHES,
    PLAN,
    SmallNetwork,
    small_batch,
    small_network,
    small_validation,
)
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn

from renalis.errors import InputError
from renalis.training.checkpoint import load_weights
from renalis.training.devices import Devices, ProcessRank, open_fabric
from renalis.training.engine import CHECKPOINT, WEIGHTS, fit
from renalis.training.fit_plan import FitPlan, OptimizerPlan
from renalis.training.freezing import Freezing, freeze
from renalis.training.history import History
from renalis.training.losses import BinaryCrossEntropy, CrossEntropy, Dice, LossTerm
from renalis.training.micro_batches import groups
from renalis.training.rounds import Round, fit_rounds
from renalis.training.schedules import Step, WarmupLinear
from renalis.training.stopping import Epochs, Reach

PROGRAM = small_run.__name__


def quiet(_: str) -> None:
    pass


def train(
    run: Path, plan: FitPlan = PLAN, resume: bool = False, network: nn.Module | None = None
) -> History:
    fabric = open_fabric(Devices("cpu", threads=1))
    network = network or small_network()
    return fit(fabric, network, plan, small_batch, small_validation, run, resume, quiet)


def tensors(run: Path) -> dict[str, Tensor]:
    return load_file(run / CHECKPOINT) | {
        f"kept.{k}": v for k, v in load_file(run / WEIGHTS).items()
    }


def metrics(run: Path) -> list[dict[str, object]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [
        {k: v for k, v in json.loads(line).items() if k not in ("seconds", "cpu_seconds")}
        for line in lines
    ]


@pytest.mark.slow
def test_killed_three_times_and_resumed_gives_the_same_bits(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole)
    moments = random.Random()
    for _ in range(3):
        command = ("-m", PROGRAM, parts, "--pause", "0.02")
        with start_program(*command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            # Ten epochs of three steps report 31 lines.
            for _ in range(moments.randint(1, 9)):
                assert process.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(moments.uniform(0, 0.05))
            process.kill()
        assert process.returncode == -9
    history = train(parts, resume=True)
    assert len(history) == 10
    one, two = tensors(whole), tensors(parts)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert metrics(whole) == metrics(parts)
    assert [entry["epoch"] for entry in metrics(parts)] == list(range(1, 11))


@pytest.mark.slow
def test_two_processes_train_as_one_that_accumulates(tmp_path: Path) -> None:
    words = ("--processes", "2", "--accumulate", "1", "--epochs", "4")
    done = run_program("-m", PROGRAM, tmp_path / "two", *words, cwd=TESTS)
    assert done.returncode == 0, done.stderr
    train(tmp_path / "one", replace(PLAN, stop=(Epochs(4),)))
    for one, two in zip(metrics(tmp_path / "one"), metrics(tmp_path / "two"), strict=True):
        assert one["steps"] == two["steps"]
        for name, value in one["train"].items():
            assert two["train"][name] == pytest.approx(value, rel=1e-5)
    one, two = tensors(tmp_path / "one"), tensors(tmp_path / "two")
    for name in one:
        # Batch statistics are averaged over the processes, not those of one.
        if name.startswith("weights.") and "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6)
    # A later training on one process goes on from there.
    assert len(train(tmp_path / "two", replace(PLAN, stop=(Epochs(5),)), resume=True)) == 5


@given(
    batches=st.integers(1, 40),
    accumulate=st.integers(1, 5),
    count=st.integers(1, 5),
)
def test_every_micro_batch_counts_once_and_the_same(
    batches: int, accumulate: int, count: int
) -> None:
    ranks = [groups(batches, accumulate, rank, count) for rank in range(count)]
    seen: list[int] = []
    for together in zip(*ranks, strict=True):
        # All processes meet as often, and exchange gradients once, at the end.
        assert len({len(turns) for turns in together}) == 1
        assert all(
            [t.last for t in turns] == [False] * (len(turns) - 1) + [True] for turns in together
        )
        real = [turn for turns in together for turn in turns if turn.factor]
        seen += [turn.index for turn in real]
        assert sum(turn.factor for turn in real) / count == pytest.approx(1)
        assert len({turn.factor for turn in real}) == 1
    assert sorted(seen) == list(range(batches))


def test_accumulation_is_the_mean_gradient_and_the_last_group_is_not_lost(tmp_path: Path) -> None:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 1, bias=False)
            nn.init.constant_(self.layer.weight, 0.5)

        def forward(self, image: Tensor) -> Tensor:
            return self.layer(image)

    def batch(epoch: int, index: int, rng: np.random.Generator) -> tuple[dict, dict]:
        image = rng.normal(size=(1, 1, 4, 4)).astype(np.float32)
        return {"image": image}, {"seg": (image[:, 0] > 0).astype(np.float32)}

    plan = FitPlan(
        terms=(LossTerm("bce", BinaryCrossEntropy()),),
        batches=5,
        stop=(Epochs(1),),
        optimizer=OptimizerPlan("sgd", 0.1, momentum=0.0),
        accumulate=3,
    )
    network = Linear()
    fit(open_fabric(Devices("cpu")), network, plan, batch, None, tmp_path, report=quiet)
    weight = torch.tensor(0.5)
    for members in ((0, 1, 2), (3, 4)):
        weight.requires_grad_(True)
        losses = []
        for index in members:
            inputs, targets = batch(0, index, np.random.default_rng((0, 0, index)))
            logit = weight * torch.from_numpy(inputs["image"])[:, 0]
            losses.append(
                nn.functional.binary_cross_entropy_with_logits(
                    logit, torch.from_numpy(targets["seg"])
                )
            )
        (slope,) = torch.autograd.grad(torch.stack(losses).mean(), weight)
        weight = (weight - 0.1 * slope).detach()
    assert network.layer.weight.item() == pytest.approx(weight.item(), rel=1e-6)


def test_loader_processes_change_nothing(tmp_path: Path) -> None:
    plan = replace(PLAN, stop=(Epochs(2),))
    train(tmp_path / "none", plan)
    train(tmp_path / "two", replace(plan, workers=2))
    one, two = tensors(tmp_path / "none"), tensors(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_it_learns_keeps_the_best_and_follows_the_schedule(tmp_path: Path) -> None:
    plan = replace(
        PLAN, schedule=Step(2, 0.1), stop=(Epochs(5),), optimizer=OptimizerPlan(learning_rate=0.05)
    )
    history = train(tmp_path, plan)
    assert [epoch.rate for epoch in history] == pytest.approx([0.05, 0.05, 0.005, 0.005, 0.0005])
    assert history[-1].train["loss"] < 0.8 * history[0].train["loss"]
    best = max(range(5), key=lambda number: history[number].validation["val_dice"])
    network = SmallNetwork()
    about = load_weights(tmp_path / WEIGHTS, network)
    assert about["epoch"] == best
    scores = small_validation(network.eval(), ProcessRank(0, 1, torch.device("cpu")))
    assert np.mean(scores["val_dice"]) == pytest.approx(history[best].validation["val_dice"])


def test_mixed_precision_trains_close_to_full_precision(tmp_path: Path) -> None:
    plan = replace(PLAN, stop=(Epochs(2),))
    full = train(tmp_path / "full", plan)
    fabric = open_fabric(Devices("cpu", precision="bfloat16", threads=1))
    arguments = (plan, small_batch, small_validation, tmp_path / "half", False, quiet)
    half = fit(fabric, small_network(), *arguments)
    assert half[-1].train["loss"] != full[-1].train["loss"]
    assert half[-1].train["loss"] == pytest.approx(full[-1].train["loss"], rel=0.02)
    assert all(value.dtype != torch.bfloat16 for value in tensors(tmp_path / "half").values())
    with pytest.raises(InputError, match="precision"):
        train(tmp_path / "half", plan, resume=True)


def test_frozen_parts_stand_still_with_their_statistics(tmp_path: Path) -> None:
    before = small_network().state_dict()
    plan = replace(PLAN, stop=(Epochs(1),), freezing=Freezing(("first.",), ("first.0.bias",)))
    train(tmp_path, plan)
    after = SmallNetwork()
    load_weights(tmp_path / WEIGHTS, after)
    changed = {name for name, value in after.state_dict().items() if not value.equal(before[name])}
    # The bias before batch normalization has a gradient now that the statistics stand still.
    assert changed == {"first.0.bias", "last.weight", "last.bias"}
    with pytest.raises(InputError, match="second"):
        freeze(after, Freezing(("second.",)))


def test_stages_go_on_from_the_kept_weights_and_are_not_repeated(tmp_path: Path) -> None:
    fabric = open_fabric(Devices("cpu", threads=1))
    first = replace(PLAN, stop=(Reach(0.01), Epochs(3)))
    second = replace(PLAN, stop=(Epochs(9),), freezing=Freezing(("first.",)))
    rounds = [
        Round("first", first, small_batch, small_validation),
        Round("second", second, small_batch, small_validation),
    ]
    lines: list[str] = []
    network = small_network()
    histories = fit_rounds(fabric, network, rounds, tmp_path, 3, report=lines.append)
    assert [len(history) for history in histories.values()] == [1, 2]
    assert "small ends: val_dice has reached 0.01" in lines
    one, two = (load_file(tmp_path / name / WEIGHTS) for name in ("first", "second"))
    assert all(one[n].equal(two[n]) for n in one if n.startswith("first."))
    assert not one["last.weight"].equal(two["last.weight"])
    lines.clear()
    fit_rounds(fabric, network, rounds, tmp_path, 3, resume=True, report=lines.append)
    assert len([line for line in lines if "finished already" in line]) == 2


def test_a_stage_without_epochs_is_refused_and_goes_on_when_there_are_more(tmp_path: Path) -> None:
    fabric = open_fabric(Devices("cpu", threads=1))
    rounds = [
        Round(name, replace(PLAN, stop=(Epochs(2),)), small_batch, small_validation)
        for name in ("first", "second")
    ]
    run, whole = tmp_path / "run", tmp_path / "whole"
    with pytest.raises(
        InputError, match=r"round second, .*\(first 2\) used up .*=2; set more and resume"
    ):
        fit_rounds(fabric, small_network(), rounds, run, 2, report=quiet)
    assert (run / "first" / CHECKPOINT).exists()
    assert not (run / "second").exists()
    fit_rounds(fabric, small_network(), rounds, run, 3, resume=True, report=quiet)
    fit_rounds(fabric, small_network(), rounds, whole, 3, report=quiet)
    one, other = (load_file(folder / "second" / WEIGHTS) for folder in (run, whole))
    assert all(one[name].equal(other[name]) for name in one)


def test_what_cannot_work_is_refused_in_one_sentence(tmp_path: Path) -> None:
    short = replace(PLAN, stop=(Epochs(1),))
    train(tmp_path / "run", short)
    with pytest.raises(InputError, match="holds a training"):
        train(tmp_path / "run", short)
    with pytest.raises(InputError, match="seed 0, now it is 1"):
        train(tmp_path / "run", replace(short, seed=1), resume=True)
    with pytest.raises(InputError, match="another network"):
        train(tmp_path / "run", replace(short, stop=(Epochs(2),)), True, nn.Conv2d(1, 3, 1))
    hard = LossTerm("dice", Dice(((1,),), "hard"))
    with pytest.raises(InputError, match="gradient"):
        train(tmp_path / "hard", replace(short, terms=(hard,)))
    with pytest.raises(InputError, match="val_surface"):
        train(tmp_path / "score", replace(short, stop=(Reach(0.9, "val_surface"),)))
    with pytest.raises(InputError, match="without validation"):
        fit(open_fabric(Devices("cpu")), small_network(), short, small_batch, None, tmp_path / "no")


def test_a_loss_that_is_not_finite_ends_the_training_and_spares_the_checkpoint(
    tmp_path: Path,
) -> None:
    def spoiled(epoch: int, index: int, rng: np.random.Generator) -> tuple[dict, dict]:
        inputs, targets = small_batch(epoch, index, rng)
        if (epoch, index) == (1, BATCHES - 1):
            inputs["image"][:] = np.nan
        return inputs, targets

    fabric = open_fabric(Devices("cpu", threads=1))
    plan = replace(PLAN, terms=(LossTerm("ce", CrossEntropy()),), checkpoint_steps=None)
    with pytest.raises(InputError, match="not finite in epoch 2"):
        fit(fabric, small_network(), plan, spoiled, small_validation, tmp_path, report=quiet)
    assert all(value.isfinite().all() for value in tensors(tmp_path).values())
    assert len(metrics(tmp_path)) == 1


def test_an_average_of_the_weights_is_kept_validated_and_resumed(tmp_path: Path) -> None:
    steps = 3 * 3
    plan = replace(
        PLAN,
        average=0.9,
        keep="last",
        schedule=WarmupLinear(2, 0.5, steps),
        stop=(Epochs(3),),
    )
    history = train(tmp_path / "whole", plan)
    kept, last = tensors(tmp_path / "whole"), small_network()
    assert load_weights(tmp_path / "whole" / WEIGHTS, last)["epoch"] == 2
    for name in ("first.0.weight", "last.bias", "first.1.running_mean"):
        assert kept[f"kept.{name}"].equal(kept[f"average.{name}"])
        assert not kept[f"kept.{name}"].equal(kept[f"weights.{name}"])
    scores = small_validation(last.eval(), ProcessRank(0, 1, torch.device("cpu")))
    assert np.mean(scores["val_dice"]) == pytest.approx(history[-1].validation["val_dice"])

    class Stop(Exception):
        pass

    def stop(_: History) -> None:
        raise Stop

    fabric = open_fabric(Devices("cpu", threads=1))
    arguments = (plan, small_batch, small_validation, tmp_path / "parts")
    with pytest.raises(Stop):
        fit(fabric, small_network(), *arguments, False, quiet, stop)
    train(tmp_path / "parts", plan, resume=True)
    parts = tensors(tmp_path / "parts")
    assert all(parts[name].equal(value) for name, value in kept.items())
    with pytest.raises(InputError, match=r"made with average 0.9, now it is None"):
        train(tmp_path / "parts", replace(plan, average=None), resume=True)


def test_gradients_are_clipped_alike_however_an_optimizer_groups_its_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[list[tuple[int, ...]]] = []
    real = nn.utils.clip_grad_norm_

    def watched(parameters: object, norm: float) -> Tensor:
        listed = list(parameters)  # type: ignore[call-overload]
        orders.append([tuple(p.shape) for p in listed])
        return real(listed, norm)

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", watched)
    for kind in ("adamw", "muon"):
        optimizer = OptimizerPlan(kind, 1e-3)
        train(tmp_path / kind, replace(PLAN, optimizer=optimizer, stop=(Epochs(1),)))
    wanted = [tuple(p.shape) for p in small_network().parameters()]
    assert orders
    assert all(order == wanted for order in orders)
