"""A runtime is confirmed on whole scans, and given up when its labels differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.stub import ByHu, StubModel, phantom, stub_model
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor, nn

from renalis.prediction.options import RuntimeName
from renalis.prediction.runtimes.agreement import LEAST_ML, confirm, label_dice
from renalis.prediction.runtimes.choice import (
    AGREEMENT,
    Choice,
    Trial,
    choose,
    remember,
)
from renalis.prediction.runtimes.machine import cache_folder

MAPS = hnp.arrays(np.uint8, (4, 5, 6), elements=st.integers(0, 3))
BF16_FIRST = Choice(
    RuntimeName.TORCH_BF16,
    (
        Trial(RuntimeName.TORCH, 2.0, 1.0, 0.0),
        Trial(RuntimeName.TORCH_BF16, 1.0, 1.0, 0.0),
        Trial(RuntimeName.OPENVINO, 0.5, 0.9, 0.3),
    ),
)


class LosesDigits(nn.Module):
    """Right in float32; in bfloat16 a convolution with a large bias rounds the image away."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Conv3d(1, 1, 1)
        self.shift.weight.data.fill_(1.0)
        self.shift.bias.data.fill_(1000.0)  # type: ignore[union-attr]
        self.by_hu = ByHu()

    def forward(self, image: Tensor) -> Tensor:
        shifted: Tensor = self.shift(image)
        logits: Tensor = self.by_hu(shifted.float() - 1000.0)
        return logits


class BadInBf16(StubModel):
    """A model of such networks."""

    def network(self, stage: str) -> nn.Module:
        return LosesDigits().eval().requires_grad_(False)


def test_a_runtime_that_agrees_is_kept() -> None:
    torch.set_num_threads(1)
    choice, found = confirm([phantom((5.0, 3.0, 3.0))], stub_model(), BF16_FIRST, 1)
    assert choice.runtime == RuntimeName.TORCH_BF16
    assert [one.runtime for one in found] == [RuntimeName.TORCH_BF16]
    assert found[0].agrees
    assert found[0].dice["renal"] == 1.0
    assert found[0].dice["kidney"] is not None


def test_a_runtime_whose_labels_differ_is_given_up() -> None:
    torch.set_num_threads(1)
    good = stub_model()
    model = BadInBf16(good.header, good.tensors, good.path)
    choice, found = confirm([phantom((5.0, 3.0, 3.0))], model, BF16_FIRST, 1)
    assert choice.runtime == RuntimeName.TORCH
    assert not found[0].agrees
    assert found[0].decisive < AGREEMENT
    assert choice.trials == BF16_FIRST.trials


def test_what_was_confirmed_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = stub_model()
    remember(model, 1, BF16_FIRST)
    assert choose(model, 1) == BF16_FIRST
    assert len(list(cache_folder().glob("runtime-*.json"))) == 1


@given(one=MAPS, two=MAPS)
def test_dice_of_labels(one: np.ndarray, two: np.ndarray) -> None:
    dice, decisive = label_dice(one, two, LEAST_ML)  # one voxel is enough to decide
    for value, name in ((1, "kidney"), (2, "tumor"), (3, "cyst")):
        ours = {tuple(place) for place in np.argwhere(one == value)}
        theirs = {tuple(place) for place in np.argwhere(two == value)}
        both = len(ours) + len(theirs)
        assert dice[name] == (2 * len(ours & theirs) / both if both else None)
    assert decisive == min([1.0, *(score for score in dice.values() if score is not None)])


def test_small_classes_do_not_decide() -> None:
    one = np.ones((10, 10, 10), np.uint8)
    two = one.copy()
    two[0, 0, :3] = 2
    dice, decisive = label_dice(one, two, 0.01)
    assert dice["tumor"] == 0.0
    assert decisive == pytest.approx(2 * 997 / 1997)
    assert label_dice(one * 0, two * 0, 0.01)[1] == 1.0
