"""What a training shows of itself: TensorBoard, and the best and worst validation slices."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from renalis.cli import main
from renalis.systems.slice_pictures import ScoredSlice, drawn

SMALL = (
    "grids.slices.slice_size=32",
    "network.filters=4",
    "optimisation.stop.epochs=2",
    "dataset.exclude=[case_00005, case_00006, case_00007, case_00008, case_00009]",
)


def call(kits: Path, run: Path) -> list[str]:
    common = ["train", "quicknat-2d", "--tiny", "--data", str(kits), "--kind", "kits19"]
    sets = [part for change in SMALL for part in ("--set", change)]
    return [*common, "-o", str(run), "--device", "cpu", "--tensorboard", *sets]


def test_a_training_can_be_watched_in_tensorboard(kits: Path, tmp_path: Path) -> None:
    assert main(call(kits, tmp_path / "run")) == 0
    stage = tmp_path / "run" / "fold_0" / "main"
    events = EventAccumulator(str(stage / "main" / "tensorboard"))
    events.Reload()
    wanted = {"train/loss", "train/train_dice", "validation/val_dice", "validation/val_loss"}
    assert wanted <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("train/loss")] == [0, 1]
    assert events.Tags()["images"] == ["best and worst slices"]
    with Image.open(stage / "best-and-worst.png") as picture:
        assert picture.height == 2 * 256
    # Finished: nothing is drawn again.
    before = (stage / "best-and-worst.png").stat().st_mtime_ns
    assert main([*call(kits, tmp_path / "run"), "--resume"]) == 0
    assert (stage / "best-and-worst.png").stat().st_mtime_ns == before


def test_without_the_package_it_is_said_before_anything_is_written(
    kits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert main(call(kits, tmp_path / "run")) == 2
    assert "TensorBoard is not installed" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def scored(case: str, dice: float, truth: int, found: int) -> ScoredSlice:
    label = np.zeros((20, 40), np.uint8)
    label[5:10, truth : truth + 5] = 1
    other = np.zeros((20, 40), np.uint8)
    other[5:10, found : found + 5] = 1
    return ScoredSlice(case, 3, dice, np.full((20, 40), 40, np.int16), label, other, (2.0, 1.0))


def test_the_best_are_above_and_the_worst_below_each_with_both_outlines() -> None:
    pairs = [
        (scored(f"c{n}", 0.9 - n / 100, 5, 5), scored(f"c{n}", n / 100, 5, 30)) for n in range(6)
    ]
    sheet = np.asarray(drawn(pairs)).astype(int)
    assert sheet.shape == (2 * 256, 4 * 240, 3)
    # The slices are square in mm, so they fill their places.
    blue = (sheet == (86, 180, 233)).all(axis=-1)
    orange = (sheet == (230, 159, 0)).all(axis=-1)
    # Same place: the prediction covers the reference above; below both are seen.
    assert not blue[:256].any()
    assert orange[:256].any()
    columns = np.flatnonzero(blue[256:, :240].any(axis=0)) / 240
    assert columns.min() == pytest.approx(5 / 40, abs=0.02)
    assert columns.max() == pytest.approx(10 / 40, abs=0.02)
    assert np.flatnonzero(orange[256:, :240].any(axis=0)).min() / 240 == pytest.approx(
        0.75, abs=0.02
    )
