"""A training small enough for tests; as a program, so that tests can kill it or start two.

``python small_run.py RUN --processes 2 --accumulate 1 --epochs 10``
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from renalis.errors import InputError
from renalis.training.devices import Devices, ProcessRank, open_fabric
from renalis.training.engine import fit
from renalis.training.fit_plan import FitPlan, OptimizerPlan
from renalis.training.losses import CrossEntropy, Dice, LossTerm
from renalis.training.schedules import Exponential
from renalis.training.stopping import Epochs

BATCHES = 5

PLAN = FitPlan(
    terms=(
        LossTerm("ce", CrossEntropy((0.5, 1.0, 1.5), top_k=0.7), 0.8),
        LossTerm("dice", Dice(((1, 2), (2,))), 0.2),
    ),
    batches=BATCHES,
    stop=(Epochs(10),),
    optimizer=OptimizerPlan(learning_rate=0.01),
    schedule=Exponential(0.9),
    keep="best_dice",
    accumulate=2,
    checkpoint_steps=2,
    clip_norm=1.0,
    report_seconds=0.0,
    name="small",
)


class SmallNetwork(nn.Module):
    """Batch statistics, dropout, and a layer that nothing depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.dropout = nn.Dropout2d(0.2)
        self.last = nn.Conv2d(6, 3, 3, padding=1)
        self.unused = nn.Linear(3, 3)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"seg": self.last(self.dropout(self.first(image)))}


def small_network() -> SmallNetwork:
    torch.manual_seed(0)
    return SmallNetwork()


def small_batch(
    epoch: int, index: int, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Noise whose level is the class."""
    image = rng.normal(size=(2, 1, 12, 12)).astype(np.float32)
    label = (image[:, 0] > 0.3).astype(np.uint8) + (image[:, 0] > 1.2)
    return {"image": image}, {"seg": label}


@torch.no_grad()
def small_validation(network: nn.Module, process: ProcessRank) -> dict[str, list[float]]:
    """Three cases, shared between the processes."""
    scores: dict[str, list[float]] = {"val_loss": [], "val_dice": []}
    for case in range(process.rank, 3, process.count):
        inputs, targets = small_batch(0, 0, np.random.default_rng(1000 + case))
        logits = network(torch.from_numpy(inputs["image"]).to(process.device))["seg"]
        label = torch.from_numpy(targets["seg"]).to(process.device)
        scores["val_loss"].append(float(CrossEntropy()(logits, label)))
        scores["val_dice"].append(1 - float(Dice(((1, 2), (2,)), "hard")(logits, label)))
    return scores


def fold_training(fold: int, devices: Devices, folder: str = "") -> None:
    """One fold of a cross-validation; fold 3 cannot be trained."""
    if fold == 3:
        raise InputError("fold 3 has no cases")
    if fold == 4:
        raise ZeroDivisionError("a defect")
    fabric = open_fabric(devices)
    plan = replace(PLAN, stop=(Epochs(2),), seed=fold)
    run = Path(folder) / f"fold_{fold}"
    fit(fabric, small_network(), plan, small_batch, small_validation, run, True, lambda _: None)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--accumulate", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--pause", type=float, default=0.0)
    arguments = parser.parse_args()

    def batch(
        epoch: int, index: int, rng: np.random.Generator
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        time.sleep(arguments.pause)
        return small_batch(epoch, index, rng)

    def report(line: str) -> None:
        print(line, flush=True)  # noqa: T201 - the test reads it

    fabric = open_fabric(Devices("cpu", arguments.processes, threads=1))
    plan = replace(PLAN, stop=(Epochs(arguments.epochs),), accumulate=arguments.accumulate)
    fit(fabric, small_network(), plan, batch, small_validation, arguments.run, True, report)


if __name__ == "__main__":
    main()
