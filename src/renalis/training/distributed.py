"""What the processes of one training exchange, apart from gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from renalis.errors import InputError
from renalis.training.hard_samples import SampleLosses

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["average_statistics", "losses_of_all", "mean_of_all", "sum_of_all"]


def sum_of_all(
    fabric: Fabric, sums: Mapping[str, Tensor], names: Sequence[str]
) -> dict[str, float]:
    """Sums over all processes; a process that has no such sum counts as 0."""
    zero = torch.zeros((), dtype=torch.float64, device=fabric.device)
    own = torch.stack([sums.get(name, zero) for name in names])
    if fabric.world_size > 1:
        own = _tensor(fabric.all_reduce(own, reduce_op="sum"))
    return dict(zip(names, own.tolist(), strict=True))


def mean_of_all(fabric: Fabric, values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Mean over the cases of all processes; a name that no case has a number for is left out.

    Parameters
    ----------
    values : mapping of str to sequence of float
        This process's cases. NaN: the case has no such score. The names must be the same in all
        processes.

    Raises
    ------
    InputError
        If a value is infinite.
    """
    result = {}
    for name in sorted(values):
        numbers = [float(value) for value in values[name]]
        gathered = [value for value in _gathered(fabric, numbers) if not math.isnan(value)]
        if any(math.isinf(value) for value in gathered):
            raise InputError(f"{name} of a validation case is infinite; lower the learning rate")
        if gathered:
            # Exact sums do not depend on which process had which case.
            result[name] = math.fsum(gathered) / len(gathered)
    return result


def losses_of_all(fabric: Fabric, own: Sequence[tuple[int, float]]) -> SampleLosses:
    """Numbers and losses of the samples of all processes, the same in each of them."""
    numbers = _gathered(fabric, [float(number) for number, _ in own])
    losses = _gathered(fabric, [loss for _, loss in own])
    return SampleLosses.of([(int(n), loss) for n, loss in zip(numbers, losses, strict=True)])


@torch.no_grad()
def average_statistics(fabric: Fabric, network: nn.Module) -> None:
    """Give all processes the mean of their batch statistics (running means and variances)."""
    if fabric.world_size == 1:
        return
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.copy_(_tensor(fabric.all_reduce(buffer.clone(), reduce_op="mean")))


def _gathered(fabric: Fabric, values: list[float]) -> list[float]:
    if fabric.world_size == 1:
        return values
    rank, count = fabric.global_rank, fabric.world_size
    lengths = torch.zeros(count, dtype=torch.int64, device=fabric.device)
    lengths[rank] = len(values)
    lengths = _tensor(fabric.all_reduce(lengths, reduce_op="sum"))
    if not int(lengths.max()):
        return []
    # Each process fills its own row; the others add nothing to it.
    table = torch.zeros(count, int(lengths.max()), dtype=torch.float64, device=fabric.device)
    table[rank, : len(values)] = torch.tensor(values, dtype=torch.float64)
    table = _tensor(fabric.all_reduce(table, reduce_op="sum"))
    rows = zip(table.tolist(), lengths.tolist(), strict=True)
    return [value for row, length in rows for value in row[:length]]


def _tensor(value: object) -> Tensor:
    assert isinstance(value, Tensor)
    return value
