"""A training that is told to end by a signal: it finishes its step, saves, and ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from renalis.signals import Ended, end, ended_by_signals

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Ending"]


@dataclass(eq=False)
class Ending:
    """What a training knows of signals that say to end."""

    _number: int = 0
    _agreed: int = 0
    _at_once: bool = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """While the block runs a first signal is kept in mind; a second one raises `Ended`."""
        with ended_by_signals(self._hear, end):
            yield

    def _hear(self, number: int) -> None:
        self._number = number
        if self._at_once:
            raise Ended(number)

    @contextmanager
    def at_once(self, fabric: Fabric) -> Iterator[None]:
        """While the block runs, which takes long and changes no weight, a signal raises `Ended`.

        Not where several processes train together, which wait for each other.
        """
        self._at_once = fabric.world_size == 1
        try:
            yield
        finally:
            self._at_once = False

    def told(self, fabric: Fabric) -> bool:
        """Whether any of the processes was told; they all ask at the same time."""
        if fabric.world_size == 1:
            return self._number > 0
        own = torch.tensor(float(self._number), device=fabric.device)
        others = fabric.all_reduce(own, reduce_op="max")
        assert isinstance(others, torch.Tensor)
        # Apart from the own number, which a signal may set while the others are asked.
        self._agreed = int(others.item())
        return self._agreed > 0

    def ended(self, kept: str) -> Ended:
        """To be raised when all is saved."""
        return Ended(self._number or self._agreed or signal.SIGTERM, kept)
