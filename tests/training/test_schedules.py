"""Learning rates and stopping rules over histories made by hand."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from renalis.training.history import Epoch, History, history_from_json, history_to_json
from renalis.training.schedules import (
    Constant,
    EmaPlateau,
    Exponential,
    Schedule,
    Step,
    WarmupLinear,
)
from renalis.training.stopping import (
    CpuMinutes,
    Epochs,
    Minutes,
    Patience,
    Reach,
    Rises,
    kept_epoch,
    needed_scores,
    reason_to_stop,
)


def history(losses: list[float], scores: dict[str, list[float | None]] | None = None) -> History:
    return tuple(
        Epoch(
            number,
            number + 1,
            1e-3,
            {"loss": loss},
            {k: v[number] for k, v in (scores or {}).items() if v[number] is not None},
            30.0,
        )
        for number, loss in enumerate(losses)
    )


def rates(schedule: Schedule, losses: list[float], start: float = 1.0) -> list[float]:
    return [schedule.rate(start, history(losses[:n])) for n in range(len(losses) + 1)]


def test_fixed_schedules_are_torchs() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    for ours, make in (
        (Constant(), lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0)),
        (Step(50, 0.5), lambda o: torch.optim.lr_scheduler.StepLR(o, 50, 0.5)),
        (Exponential(0.9), lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9)),
    ):
        optimizer = torch.optim.Adam([parameter], 1e-3)
        theirs = make(optimizer)
        for rate in rates(ours, [1.0] * 120, 1e-3):
            assert rate == pytest.approx(optimizer.param_groups[0]["lr"])
            optimizer.step()
            theirs.step()


def test_the_rate_stays_while_the_loss_falls() -> None:
    assert set(rates(EmaPlateau(), [1 / n for n in range(1, 200)])) == {1.0}


def test_the_rate_falls_on_a_plateau_once_per_cooldown() -> None:
    """Recipe: window 30, times 0.2, not before epoch 32, more than ``cooldown`` epochs between."""

    def falls(schedule: EmaPlateau, count: int) -> list[int]:
        values = rates(schedule, [1.0] * count)
        return [n for n in range(1, count + 1) if values[n] < values[n - 1]]

    assert falls(EmaPlateau(), 130) == [32, 63, 94, 125]
    # The published code's five epochs: the same plateau is punished again and again.
    assert falls(EmaPlateau(cooldown=5), 60) == [32, 38, 44, 50, 56]
    values = rates(EmaPlateau(), [1.0] * 160, 5e-4)
    assert values[32] == pytest.approx(1e-4)
    # Above 1e-6 it falls, at or below it no further.
    assert values[-1] == pytest.approx(5e-4 * 0.2**4)


def test_the_plateau_is_judged_by_the_smoothed_loss() -> None:
    # Falls for 40 epochs, then stays: the smoothed loss goes on falling ever more slowly.
    losses = [1 - n / 50 for n in range(40)] + [0.2] * 200
    smoothed, value = [], losses[0]
    for loss in losses:
        value = 0.9 * value + 0.1 * loss
        smoothed.append(value)
    values = rates(EmaPlateau(window=30), losses)
    for n in range(1, len(values)):
        if values[n] < values[n - 1]:
            assert smoothed[n - 31] <= min(smoothed[n - 30 : n])
            break
    else:
        # Never a plateau: then the smoothed loss fell in every window.
        assert all(smoothed[n - 31] > min(smoothed[n - 30 : n]) for n in range(32, len(smoothed)))
    # One bad epoch after a fall does not count; a rise for good does.
    rising = [1 - n / 50 for n in range(40)] + [0.2 + n / 100 for n in range(80)]
    assert rates(EmaPlateau(), rising)[-1] < 1.0


def test_rises_are_counted_in_a_row() -> None:
    rule = Rises(2)
    losses: list[float | None] = [0.5, 0.4, 0.45, 0.44, 0.46, 0.47]
    fired = [bool(rule.fires(history([1.0] * n, {"val_loss": losses}))) for n in range(1, 7)]
    # The published training stops after its sixth epoch, the second rise in a row.
    assert fired == [False] * 5 + [True]
    flat: list[float | None] = [0.5, 0.5, 0.5]
    assert not rule.fires(history([1.0] * 3, {"val_loss": flat}))


def test_patience_counts_epochs_since_the_best() -> None:
    dice: list[float | None] = [0.1, 0.8, None, 0.7, 0.8, 0.79]
    assert not Patience(4).fires(history([1.0] * 5, {"val_dice": dice}))
    assert Patience(4).fires(history([1.0] * 6, {"val_dice": dice}))
    loss: list[float | None] = [0.3, 0.2, 0.1, 0.05]
    assert not Patience(2, "val_loss").fires(history([1.0] * 4, {"val_loss": loss}))
    assert Patience(2, "val_loss").fires(history([1.0] * 4, {"val_loss": loss[::-1]}))
    assert not Patience(1).fires(history([1.0] * 9))


def test_reach_and_the_first_rule_that_fires() -> None:
    dice: list[float | None] = [0.5, 0.89, 0.90]
    rules = (Reach(0.90, "low_dice"), Epochs(28), Minutes(10))
    assert reason_to_stop(rules, history([1.0] * 2, {"low_dice": dice})) == ""
    assert "0.9" in reason_to_stop(rules, history([1.0] * 3, {"low_dice": dice}))
    assert "10 minutes" in reason_to_stop(rules, history([1.0] * 20))
    assert "28 epochs" in reason_to_stop(rules, history([1.0] * 28))
    assert Reach(0.2, "val_loss").fires(history([1.0], {"val_loss": [0.1]}))
    assert reason_to_stop(rules, ()) == ""
    assert needed_scores(rules, "best_loss") == {"low_dice", "val_loss"}


def test_the_kept_epoch() -> None:
    scores: dict[str, list[float | None]] = {
        "val_loss": [0.5, 0.2, 0.3, 0.2],
        "val_dice": [0.5, None, 0.9, 0.9],
    }
    past = history([1.0] * 4, scores)
    assert kept_epoch("best_loss", past) == 1
    assert kept_epoch("best_dice", past) == 2
    assert kept_epoch("last", past) == 3
    assert kept_epoch("best_dice", history([1.0] * 3)) == 2
    with pytest.raises(ValueError, match="no epoch"):
        kept_epoch("last", ())


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_histories_come_back_bit_for_bit(losses: list[float]) -> None:
    past = history(losses, {"val_dice": list(losses)})
    assert history_from_json(json.loads(json.dumps(history_to_json(past)))) == past


def test_a_step_wise_rate_warms_up_stays_and_falls_to_zero() -> None:
    schedule = WarmupLinear(warmup=20, decay_share=0.5, steps=200)
    rates = [schedule.at_step(2.0, step) for step in range(200)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[19] == rates[99] == 2.0
    assert rates[150] == pytest.approx(1.0)
    assert 0 < rates[-1] == pytest.approx(0.02)
    # Of an epoch, the rate of its first step; the history made by hand has a step an epoch.
    assert schedule.rate(2.0, history([1.0] * 150)) == rates[150]


def test_computing_ends_with_the_epoch_whose_end_is_nearest_to_the_minutes() -> None:
    def past(*seconds: float) -> History:
        return tuple(
            Epoch(n, n + 1, 0.1, {"loss": 1.0}, {}, seconds=999.0, cpu_seconds=one)
            for n, one in enumerate(seconds)
        )

    rule = CpuMinutes(1)
    # Of 60 seconds: 50 are nearer than 75, 48 are as near as 72, 40 are not nearer than 60.
    assert rule.fires(past(25, 25)) == "1 minutes of computing are used up"
    assert rule.fires(past(24, 24))
    assert not rule.fires(past(20, 20))
    assert not rule.fires(())
    assert rule.fires(past(500))
