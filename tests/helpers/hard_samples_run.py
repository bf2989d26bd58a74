"""A small training with hard negatives; as a program, so that tests can kill it or start two.

``python hard_samples_run.py RUN --processes 2 --accumulate 1``
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from helpers.small_run import PLAN, small_network, small_validation
from renalis.sampling import with_hard
from renalis.training.devices import Devices, open_fabric
from renalis.training.engine import fit
from renalis.training.hard_samples import SAMPLE, HardSampleBatches, SampleLosses
from renalis.training.stopping import Epochs

SAMPLES, MICRO, SHARE = 24, 4, 0.5
NEGATIVE = np.arange(SAMPLES) >= 12
PLAN = replace(PLAN, stop=(Epochs(5),), batches=SAMPLES // MICRO)


@dataclass(frozen=True)
class Samples:
    """Noise whose level is the class; in negatives, noise of another spread and no class."""

    order: tuple[int, ...]
    pause: float

    def __call__(
        self, epoch: int, index: int, rng: np.random.Generator
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        time.sleep(self.pause)
        numbers = self.order[index * MICRO : (index + 1) * MICRO]
        images, labels = [], []
        for number in numbers:
            image = np.random.default_rng(number).normal(size=(1, 12, 12)) * (1 + number / SAMPLES)
            label = (image[0] > 0.3).astype(np.uint8) + (image[0] > 1.2)
            images.append(image + rng.normal(0, 0.05, image.shape))
            labels.append(label * (not NEGATIVE[number]))
        ranked = np.where(NEGATIVE[list(numbers)], numbers, -1)
        return {"image": np.stack(images).astype(np.float32)}, {
            "seg": np.stack(labels).astype(np.uint8),
            SAMPLE: ranked.astype(np.int64),
        }


def hard_samples(note: Path, pause: float = 0.0) -> HardSampleBatches:
    """Hard negatives from the second epoch on; notes what each epoch was made of."""

    def after(losses: SampleLosses) -> Samples:
        order = np.random.default_rng((5, len(losses))).permutation(SAMPLES)
        rng = np.random.default_rng((6, len(losses)))
        order = with_hard(order, NEGATIVE, losses.hardest(), SHARE, rng)
        with note.open("a", encoding="utf-8") as file:
            entry = [losses.numbers.tolist(), losses.hardest().tolist(), order.tolist()]
            file.write(json.dumps(entry) + "\n")
        return Samples(tuple(order.tolist()), pause)

    return HardSampleBatches(after)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--accumulate", type=int, default=2)
    parser.add_argument("--pause", type=float, default=0.0)
    arguments = parser.parse_args()

    def report(line: str) -> None:
        print(line, flush=True)  # noqa: T201 - the test reads it

    fabric = open_fabric(Devices("cpu", arguments.processes, threads=1))
    rank = fabric.global_rank
    plan = replace(PLAN, accumulate=arguments.accumulate)
    source = hard_samples(arguments.run.with_suffix(f".{rank}"), arguments.pause)
    fit(fabric, small_network(), plan, source, small_validation, arguments.run, True, report)


if __name__ == "__main__":
    main()
