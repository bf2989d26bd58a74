"""Micro-batches: which process works on which, everything random in them, and their loading.

Everything random in micro-batch ``i`` of epoch ``e`` follows from ``(seed, e, i)``: the numpy
generator that draws it, and torch's generator for dropout. So a training is the same on one
process and on several, with loader processes and without, and a resumed one needs no generator
states: the numbers of the epoch and the micro-batch are the whole random state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

__all__ = [
    "Batch",
    "BatchSource",
    "MicroBatch",
    "MicroBatchDataset",
    "groups",
    "load_batches",
    "seed_torch",
]

Arrays = Mapping[str, Any]
Batch = tuple[dict[str, Tensor], dict[str, Tensor]]
BatchSource = Callable[[int, int, np.random.Generator], tuple[Arrays, Arrays]]
"""``batch(epoch, index, rng) -> (inputs, targets)``: one micro-batch as arrays or tensors.

It must depend on nothing else. To go once through a list of samples each epoch, shuffle by
``np.random.default_rng((seed, epoch))`` and take the ``index``-th piece.
"""


@dataclass(frozen=True)
class MicroBatch:
    """One micro-batch of one process.

    Parameters
    ----------
    index : int
        Its number in the epoch.
    factor : float
        What its loss is multiplied with so that, averaged over the processes, the group's gradient
        is the mean over its micro-batches. 0: only there so that all processes take part.
    last : bool
        Whether gradients are exchanged after it.
    """

    index: int
    factor: float
    last: bool


def groups(batches: int, accumulate: int, rank: int = 0, count: int = 1) -> list[list[MicroBatch]]:
    """What one process does in an epoch: one list per optimizer step.

    A step takes ``accumulate`` micro-batches of every process; the last one takes what is left.

    Parameters
    ----------
    batches : int
        Micro-batches in the epoch, all processes together.
    accumulate : int
        Micro-batches of each process in a step.
    rank, count : int
        Which process, of how many.
    """
    result = []
    size = accumulate * count
    for first in range(0, batches, size):
        last = min(first + size, batches)
        micro_batches = []
        for start in range(first, last, count):
            index = start + rank
            micro_batches.append(
                MicroBatch(
                    index=min(index, last - 1),
                    factor=count / (last - first) if index < last else 0.0,
                    last=start + count >= last,
                )
            )
        result.append(micro_batches)
    return result


def seed_torch(seed: int, epoch: int, index: int) -> None:
    """Set torch's generators (all devices) to what follows from these three numbers."""
    state = np.random.SeedSequence((seed, epoch, index, 1)).generate_state(1, np.uint64)
    number = int(state[0]) >> 1
    if torch.cuda.is_available():
        torch.manual_seed(number)
    else:  # `torch.manual_seed` keeps the call's traceback for each kind of device that is not here
        torch.default_generator.manual_seed(number)


@dataclass(frozen=True)
class MicroBatchDataset(Dataset[Batch]):
    """Micro-batches by ``(epoch, index)``."""

    source: BatchSource
    seed: int

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        epoch, index = key
        seed_torch(self.seed, epoch, index)
        inputs, targets = self.source(epoch, index, np.random.default_rng((self.seed, *key)))
        return _tensors(inputs), _tensors(targets)


class _BatchSampler(Sampler[tuple[int, int]]):
    def __init__(self, places: Iterator[tuple[int, int]]) -> None:
        self.places = places

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return self.places


def load_batches(
    dataset: MicroBatchDataset, places: Iterator[tuple[int, int]], workers: int
) -> Iterator[Batch]:
    """The micro-batches in this order, made ahead by ``workers`` processes when not 0."""
    if workers == 0:
        return (dataset[key] for key in places)
    return iter(
        DataLoader(
            dataset,
            batch_size=None,
            sampler=_BatchSampler(places),
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
        )
    )


def _tensors(arrays: Arrays) -> dict[str, Tensor]:
    return {name: _tensor(value) for name, value in arrays.items()}


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    array = np.asarray(value)
    # Torch takes neither negative strides nor memory that must not be written to.
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    if array.dtype in (np.uint16, np.uint32):
        array = array.astype(np.int64)
    return torch.from_numpy(array)
