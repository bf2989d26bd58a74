"""Early stopping and choice of the best epoch: pure functions of a training's history."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from renalis.training.history import History

__all__ = [
    "CpuMinutes",
    "Epochs",
    "Keep",
    "Minutes",
    "Patience",
    "Reach",
    "Rises",
    "StopRule",
    "kept_epoch",
    "needed_scores",
    "reason_to_stop",
]

Keep = Literal["best_loss", "best_dice", "best_low", "last"]


@dataclass(frozen=True)
class Epochs:
    """After so many epochs."""

    count: int

    def fires(self, history: History) -> str:
        """Why training stops here, or nothing."""
        return f"{self.count} epochs are done" if len(history) >= self.count else ""


@dataclass(frozen=True)
class Rises:
    """When a validation loss rose ``count`` times in a row."""

    count: int = 2
    monitor: str = "val_loss"

    def fires(self, history: History) -> str:
        """Why training stops here, or nothing."""
        values = [value for _, value in _scores(history, self.monitor)][-self.count - 1 :]
        rose = [later > sooner for sooner, later in pairwise(values)]
        if len(rose) == self.count and all(rose):
            return f"{self.monitor} rose {self.count} times in a row"
        return ""


@dataclass(frozen=True)
class Patience:
    """When a score has not become better for ``count`` epochs.

    Losses (names that end with "loss") are better when lower, everything else when higher.
    """

    count: int = 10
    monitor: str = "val_dice"

    def fires(self, history: History) -> str:
        """Why training stops here, or nothing."""
        best = _best(history, self.monitor)
        if best is not None and history[-1].number - best >= self.count:
            return f"{self.monitor} has not improved for {self.count} epochs"
        return ""


@dataclass(frozen=True)
class Reach:
    """As soon as a score is as good as ``value``."""

    value: float = 0.90
    monitor: str = "val_dice"

    def fires(self, history: History) -> str:
        """Why training stops here, or nothing."""
        scores = _scores(history, self.monitor)
        sign = _sign(self.monitor)
        if scores and sign * scores[-1][1] >= sign * self.value:
            return f"{self.monitor} has reached {self.value:g}"
        return ""


@dataclass(frozen=True)
class Minutes:
    """After the epoch in which the training's wall-clock time exceeded ``count`` minutes."""

    count: float

    def fires(self, history: History) -> str:
        """Why training stops here, or nothing."""
        if sum(epoch.seconds for epoch in history) >= 60 * self.count:
            return f"{self.count:g} minutes have passed"
        return ""


@dataclass(frozen=True)
class CpuMinutes:
    """After the epoch whose end is nearest to ``count`` minutes of computing.

    What the first process computes counts, not how long it waited: on a shared machine that is what
    makes two trainings equally long. The next epoch is taken to cost as much as the last one.
    """

    count: float

    def fires(self, history: History) -> str:
        """Why training ends, or nothing."""
        spent = sum(epoch.cpu_seconds for epoch in history)
        if history and spent + history[-1].cpu_seconds / 2 >= 60 * self.count:
            return f"{self.count:g} minutes of computing are used up"
        return ""


StopRule = Epochs | Rises | Patience | Reach | Minutes | CpuMinutes


def reason_to_stop(rules: tuple[StopRule, ...], history: History) -> str:
    """Why training ends after these epochs, as a sentence's part; empty when it goes on."""
    if not history:
        return ""
    return next((reason for rule in rules if (reason := rule.fires(history))), "")


def kept_epoch(keep: Keep, history: History) -> int:
    """Number of the epoch whose weights are the result.

    The first of equals. The last epoch, when no epoch has the score that decides.

    Raises
    ------
    ValueError
        If no epoch is finished.
    """
    if not history:
        raise ValueError("no epoch is finished")
    best = None if keep == "last" else _best(history, _KEEP_SCORE[keep])
    return history[-1].number if best is None else best


def needed_scores(rules: tuple[StopRule, ...], keep: Keep) -> set[str]:
    """Names of the validation scores without which the rules can never fire."""
    names = {rule.monitor for rule in rules if isinstance(rule, Rises | Patience | Reach)}
    return names if keep == "last" else names | {_KEEP_SCORE[keep]}


# "low" is the coarse network of a cascade, while it is trained alone.
_KEEP_SCORE: dict[Keep, str] = {
    "best_loss": "val_loss",
    "best_dice": "val_dice",
    "best_low": "low_dice",
}


def _sign(name: str) -> int:
    return -1 if name.endswith("loss") else 1


def _scores(history: History, name: str) -> list[tuple[int, float]]:
    return [(epoch.number, epoch.validation[name]) for epoch in history if name in epoch.validation]


def _best(history: History, name: str) -> int | None:
    scores = _scores(history, name)
    sign = _sign(name)
    return max(scores, key=lambda item: sign * item[1])[0] if scores else None
