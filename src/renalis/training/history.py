"""The finished epochs of a training; schedules and stopping rules read nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Epoch", "History", "history_from_json", "history_to_json"]


@dataclass(frozen=True)
class Epoch:
    """One finished epoch.

    Parameters
    ----------
    number : int
        From 0 on.
    steps : int
        Optimizer steps since the beginning.
    rate : float
        Learning rate of this epoch.
    train : mapping of str to float
        Means over the epoch: "loss", and every term by name before its factor; and "train_dice",
        of all training samples together (`renalis.training.training_dice`).
    validation : mapping of str to float
        Means over the validation cases, such as "val_loss" and "val_dice"; empty when this epoch
        was not validated, without the scores that no case had.
    seconds : float
        Wall-clock time it took, validation included.
    cpu_seconds : float
        Time that the first process computed for it, on all its cores together, validation included;
        not that of processes that prepare batches.
    """

    number: int
    steps: int
    rate: float
    train: Mapping[str, float]
    validation: Mapping[str, float]
    seconds: float = 0.0
    cpu_seconds: float = 0.0


History = tuple[Epoch, ...]


def history_to_json(history: History) -> list[dict[str, Any]]:
    """Plain lists and dicts; floats come back bit for bit."""
    return [asdict(epoch) for epoch in history]


def history_from_json(entries: list[dict[str, Any]]) -> History:
    """The inverse of `history_to_json`."""
    return tuple(Epoch(**entry) for entry in entries)
