"""Learning-rate schedules, as pure functions of the finished epochs.

A schedule has no state of its own: the rate follows from the finished epochs, so a training that
is resumed goes on with the rate of one that was never stopped.
"""

from __future__ import annotations

from dataclasses import dataclass

from renalis.training.history import History

__all__ = ["Constant", "EmaPlateau", "Exponential", "Schedule", "Step", "WarmupLinear"]


@dataclass(frozen=True)
class Constant:
    """The learning rate stays."""

    def rate(self, start: float, history: History) -> float:
        """The rate of the next epoch."""
        return start


@dataclass(frozen=True)
class Step:
    """Times ``gamma`` after every ``epochs`` epochs."""

    epochs: int
    gamma: float

    def rate(self, start: float, history: History) -> float:
        """The rate of the next epoch."""
        return float(start * self.gamma ** (len(history) // self.epochs))


@dataclass(frozen=True)
class Exponential:
    """Times ``gamma`` after every epoch."""

    gamma: float

    def rate(self, start: float, history: History) -> float:
        """The rate of the next epoch."""
        return float(start * self.gamma ** len(history))


@dataclass(frozen=True)
class EmaPlateau:
    """Times ``factor`` when the smoothed training loss has not fallen for ``window`` epochs.

    Smoothed: ``s = ema·s + (1 - ema)·loss``, from the first epoch's loss on. With ``n`` epochs
    finished the rate falls when ``n > window + 1``, no smoothed loss of the last ``window`` epochs
    is below the one before them, the rate is above ``minimum``, and more than ``cooldown`` epochs
    have passed since it last fell. (Rule of the published code of the 3D U-Nets, there with a
    cooldown of 5, with which it fires several times on one plateau.)

    Parameters
    ----------
    window : int
        Epochs without a lower smoothed loss.
    factor : float
        What the rate is multiplied with.
    ema : float
        Weight of the past in the smoothing.
    minimum : float
        A rate at or below this falls no further.
    cooldown : int
        Epochs that have to pass after a fall.
    """

    window: int = 30
    factor: float = 0.2
    ema: float = 0.9
    minimum: float = 1e-6
    cooldown: int = 30

    def rate(self, start: float, history: History) -> float:
        """The rate of the next epoch."""
        smoothed: list[float] = []
        rate, fell = start, 0
        for epoch in history:
            loss = epoch.train["loss"]
            last = smoothed[-1] if smoothed else loss
            smoothed.append(self.ema * last + (1 - self.ema) * loss)
            finished = len(smoothed)
            if (
                finished > self.window + 1
                and smoothed[-self.window - 1] <= min(smoothed[-self.window :])
                and rate > self.minimum
                and (fell == 0 or finished - fell > self.cooldown)
            ):
                rate, fell = rate * self.factor, finished
        return rate


@dataclass(frozen=True)
class WarmupLinear:
    """Rises over the first steps, stays, and falls linearly to zero over the last ones.

    The only one that changes the rate within an epoch.

    Parameters
    ----------
    warmup : int
        Optimizer steps in which the rate rises.
    decay_share : float
        Share of all steps in which it falls.
    steps : int
        Optimizer steps of the whole training.
    """

    warmup: int
    decay_share: float
    steps: int

    def at_step(self, start: float, step: int) -> float:
        """The rate of optimizer step ``step``, counted from 0."""
        risen = min(1.0, (step + 1) / max(1, self.warmup))
        left = (self.steps - step) / max(1.0, self.decay_share * self.steps)
        return start * min(risen, left, 1.0)

    def rate(self, start: float, history: History) -> float:
        """The rate of the next epoch's first step."""
        return self.at_step(start, history[-1].steps if history else 0)


Schedule = Constant | Step | Exponential | EmaPlateau | WarmupLinear
