"""Dice of the training samples, logged beside the loss."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small_run import PLAN, small_batch, small_network
from hypothesis import given
from hypothesis import strategies as st

from renalis.training.curves import curves_page
from renalis.training.devices import Devices, open_fabric
from renalis.training.engine import fit
from renalis.training.stopping import Epochs
from renalis.training.training_dice import overlap_parts, with_dice


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 3]))
def test_it_is_the_dice_of_all_classes_but_background_together(seed: int, channels: int) -> None:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(2, channels, 4, 5)))
    truth = torch.from_numpy(rng.integers(0, max(2, channels), (2, 4, 5)).astype(np.uint8))
    found = (logits[:, 0] > 0).numpy() if channels == 1 else logits.argmax(1).numpy()
    both = sum(np.sum((found == c) & (truth.numpy() == c)) for c in range(1, max(2, channels)))
    sizes = np.sum(found > 0) + np.sum(truth.numpy() > 0)
    means = with_dice(
        {name: float(v) for name, v in overlap_parts({"seg": logits}, {"seg": truth}).items()}
    )
    if sizes:
        assert means == {"train_dice": pytest.approx(2 * both / sizes)}
    else:
        assert means == {}


def test_the_coarse_half_alone_is_scored_too() -> None:
    logits, truth = torch.tensor([[[-1.0, 2.0]]]), torch.tensor([[0, 1]])
    parts = overlap_parts({"low": logits}, {"low": truth})
    assert {name: int(value) for name, value in parts.items()} == {"overlap": 2, "size": 2}
    assert overlap_parts({"cls": logits}, {"cls": truth}) == {}


def test_every_epoch_has_it_in_the_metrics_and_the_page(tmp_path: Path) -> None:
    plan, lines = replace(PLAN, stop=(Epochs(3),), keep="last"), []
    fabric = open_fabric(Devices("cpu", threads=1))
    history = fit(fabric, small_network(), plan, small_batch, None, tmp_path, False, lines.append)
    scores = [epoch.train["train_dice"] for epoch in history]
    assert all(0 <= score <= 1 for score in scores)
    assert scores[-1] > scores[0]
    noted = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["train"]["train_dice"] for line in noted] == scores
    assert "training Dice, epoch 3" in curves_page("a", {"": history})
    assert sum("train_dice" in line for line in lines) == 3
