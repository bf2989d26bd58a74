"""A moving average of a network's weights: what is validated and kept instead of the last ones.

Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992), here
exponential.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["Average", "averaged", "start_average", "update_average"]

Average = dict[str, Tensor]
"""Averaged weights and buffers by name, as in the network's ``state_dict``."""


def start_average(network: nn.Module) -> Average:
    """An average of one: copies of the network's weights and buffers."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


@torch.no_grad()
def update_average(average: Average, network: nn.Module, decay: float, step: int) -> None:
    """Move the average towards the network, in place.

    Parameters
    ----------
    average : dict of str to Tensor
    network : nn.Module
        After optimizer step ``step`` (counted from 0).
    decay : float
        Weight of the past. A young average follows faster, so that the random start is soon
        forgotten.
    """
    past = min(decay, (step + 1) / (step + 10))
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - past)
        else:
            average[name].copy_(value)


@contextmanager
def averaged(network: nn.Module, average: Average | None) -> Iterator[None]:
    """The network has the averaged weights inside of this block, if there are any."""
    if average is None:
        yield
        return
    own = start_average(network)
    network.load_state_dict(average)
    try:
        yield
    finally:
        network.load_state_dict(own)
