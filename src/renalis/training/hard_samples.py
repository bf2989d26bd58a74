"""Hard samples: how wrong a network was on each of them, carried from one epoch to the next.

Drawing the samples again that went worst is bootstrapping (Sung and Poggio, 1998). Losses are
those of the training steps themselves: no sample is computed again only to be ranked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renalis.training.losses import LossTerm, total_loss
from renalis.training.micro_batches import BatchSource

__all__ = ["SAMPLE", "HardSampleBatches", "SampleLosses", "each_loss", "without_numbers"]

SAMPLE = "sample"
"""Target of a micro-batch with the number of each sample (N,) int64; -1 for one not to rank."""


@dataclass(frozen=True, eq=False)
class SampleLosses:
    """Losses of samples.

    Attributes
    ----------
    numbers : ndarray, shape (n,), int64
        Which samples; while they are collected, a sample may be there more than once.
    losses : ndarray, shape (n,), float64
    """

    numbers: NDArray[np.int64]
    losses: NDArray[np.float64]

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, float]]) -> SampleLosses:
        """In order of numbers and losses, so that it does not matter which came first."""
        ordered = sorted(pairs)
        return cls(
            np.array([number for number, _ in ordered], np.int64),
            np.array([loss for _, loss in ordered], np.float64),
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def pairs(self) -> list[tuple[int, float]]:
        """Number and loss of each."""
        return list(zip(self.numbers.tolist(), self.losses.tolist(), strict=True))

    def means(self) -> SampleLosses:
        """Each sample once, with the mean over its draws."""
        result = []
        for number, group in groupby(self.pairs(), key=lambda pair: pair[0]):
            losses = [loss for _, loss in group]
            result.append((number, math.fsum(losses) / len(losses)))
        return SampleLosses.of(result)

    def hardest(self) -> NDArray[np.int64]:
        """Numbers, the highest loss first; of equal ones, the lower number."""
        return self.numbers[np.lexsort((self.numbers, -self.losses))]


@dataclass(frozen=True)
class HardSampleBatches:
    """Micro-batches that depend on the losses of the epoch before.

    Attributes
    ----------
    after : callable
        From the means of these losses (of none in the first epoch) to the next epoch's source,
        whose micro-batches have the target `SAMPLE`.
    """

    after: Callable[[SampleLosses], BatchSource]


def without_numbers(targets: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[int]]:
    """Targets without `SAMPLE`, and these numbers; none if they are not there."""
    rest = {name: value for name, value in targets.items() if name != SAMPLE}
    return rest, targets[SAMPLE].tolist() if SAMPLE in targets else []


@torch.no_grad()
def each_loss(
    terms: Sequence[LossTerm],
    outputs: Mapping[str, Tensor | Sequence[Tensor]],
    targets: Mapping[str, Tensor],
    rows: Sequence[int],
) -> Tensor:
    """The whole loss of some samples of a micro-batch, each as if it were alone in it.

    Parameters
    ----------
    terms, outputs, targets
        As for `renalis.training.losses.total_loss`.
    rows : sequence of int
        Which samples.

    Returns
    -------
    Tensor, shape (len(rows),), float32
    """
    losses = []
    for row in rows:
        alone = {
            name: value[row : row + 1]
            if isinstance(value, Tensor)
            else [lower[row : row + 1] for lower in value]
            for name, value in outputs.items()
        }
        truth = {name: value[row : row + 1] for name, value in targets.items()}
        losses.append(total_loss(terms, alone, truth)[0].float())
    return torch.stack(losses) if losses else torch.zeros(0)
