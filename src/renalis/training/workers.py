"""Processes that share a batch.

On a CPU two processes with one thread each train faster than one process with two threads: small
convolutions do not split well. Gradients are summed through gloo.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed, nn

__all__ = ["ALONE", "Workers", "join"]


@dataclass(frozen=True)
class Workers:
    """This process's place among those that train together."""

    rank: int
    count: int

    def sum_gradients(self, network: nn.Module) -> None:
        """Replace every gradient by its sum over all processes."""
        if self.count == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        place = 0
        for gradient in gradients:
            gradient.copy_(flat[place : place + gradient.numel()].reshape(gradient.shape))
            place += gradient.numel()


ALONE = Workers(0, 1)


def join(rank: int, count: int, meeting_file: Path) -> Workers:
    """Meet the other processes; ``meeting_file`` must not exist before the first one comes."""
    if count > 1:
        distributed.init_process_group(
            "gloo", init_method=f"file://{meeting_file.resolve()}", rank=rank, world_size=count
        )
    return Workers(rank, count)
