"""Logs of a training: metrics as JSON lines, TensorBoard, curves, progress."""

from __future__ import annotations

import importlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from renalis.errors import InputError
from renalis.io import write_text
from renalis.training.curves import curves_page
from renalis.training.history import Epoch, History
from renalis.training.training_dice import DICE

__all__ = [
    "MetricsLog",
    "TimeLeft",
    "duration",
    "epoch_line",
    "event_writer",
    "events_folder",
    "require_tensorboard",
]


class MetricsLog:
    """``metrics.jsonl`` (a line per epoch), ``curves.html`` and, when asked for, TensorBoard.

    Parameters
    ----------
    run : Path
        The run's folder.
    name : str
        Title of the curves.
    history : History
        Epochs of the checkpoint. Lines of epochs after it, from a process that was killed before
        its next checkpoint, are dropped: those epochs come again.
    tensorboard : bool
        Also write event files to ``tensorboard/``.

    Raises
    ------
    InputError
        If TensorBoard is asked for and not installed.
    """

    def __init__(self, run: Path, name: str, history: History, tensorboard: bool = False) -> None:
        self._run, self._name = run, name
        self._writer = event_writer(events_folder(run), len(history)) if tensorboard else None
        write_text(run / "metrics.jsonl", "".join(_line(epoch) for epoch in history))

    def add(self, history: History) -> None:
        """Note the last epoch."""
        epoch = history[-1]
        with (self._run / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(_line(epoch))
        write_text(self._run / "curves.html", curves_page(self._name, {"": history}))
        if self._writer is not None:
            values = {"rate": epoch.rate, **{f"train/{k}": v for k, v in epoch.train.items()}}
            values |= {f"validation/{k}": v for k, v in epoch.validation.items()}
            for key, value in values.items():
                self._writer.add_scalar(key, value, epoch.number)
            self._writer.flush()

    def close(self) -> None:
        """Finish the event files."""
        if self._writer is not None:
            self._writer.close()


@dataclass
class TimeLeft:
    """Progress lines within an epoch, no more often than every ``every`` seconds.

    Parameters
    ----------
    report : callable
        Takes a line.
    steps_per_epoch : int
        Optimizer steps.
    epochs : int or None
        At most so many epochs, where a rule says so.
    every : float
        Seconds between lines.
    seconds : float or None
        No epoch begins after so many from now on, where a rule says so.
    validated : bool
        Whether validation follows the steps: it is part of the pace from the second epoch on.
    """

    report: Callable[[str], None]
    steps_per_epoch: int
    epochs: int | None
    every: float
    seconds: float | None = None
    validated: bool = False
    _began: float = field(default_factory=time.monotonic)
    _said: float = field(default_factory=time.monotonic)
    _steps: int = 0
    _first: int | None = None

    def step(self, epoch: int, done: int, loss: Callable[[], float]) -> None:
        """After an optimizer step; ``done`` of this epoch's are done."""
        self._steps += 1
        self._first = epoch if self._first is None else self._first
        now = time.monotonic()
        if now - self._said < self.every or done == self.steps_per_epoch:
            return
        self._said = now
        # Validation is part of the pace from the second epoch on.
        each = (now - self._began) / self._steps
        line = (
            f"epoch {epoch + 1} · step {done}/{self.steps_per_epoch} · loss {loss():.4f} · "
            f"{duration(each * (self.steps_per_epoch - done))} left in this epoch"
        )
        most = self._at_most(epoch, done)
        if most is not None:
            line += f", at most {duration(most)} in all"
        if self.validated and self._first == epoch:
            line += ", validation not counted"
        self.report(line)

    def left(self, epochs_done: int) -> float | None:
        """Seconds that the epochs still to come will take at most; None when nobody knows."""
        return self._at_most(epochs_done, 0)

    def _at_most(self, epoch: int, done: int) -> float | None:
        """Seconds to the end, when ``done`` steps of epoch number ``epoch`` are done."""
        if self._steps == 0:
            return None
        gone = time.monotonic() - self._began
        each = gone / self._steps
        whole = each * self.steps_per_epoch
        ends = []
        if self.epochs is not None:
            ends.append(whole * max(0, self.epochs - epoch) - each * done)
        if self.seconds is not None:
            # An epoch that has begun is finished.
            rest = each * (self.steps_per_epoch - done) if done else 0.0
            ends.append(rest + whole * math.ceil(max(0.0, self.seconds - gone - rest) / whole))
        return min(ends, default=None)


def duration(seconds: float) -> str:
    """Such as ``45 s``, ``12 min``, ``5 h 20 min``."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def epoch_line(epoch: Epoch, epochs: int | None, left: float | None) -> str:
    """One line about a finished epoch."""
    parts = [f"epoch {epoch.number + 1}" + (f"/{epochs}" if epochs else "")]
    parts.append(f"loss {epoch.train['loss']:.4f}")
    scores = {name: epoch.train[name] for name in (DICE,) if name in epoch.train}
    scores |= dict(sorted(epoch.validation.items()))
    parts += [f"{name} {value:.4f}" for name, value in scores.items()]
    parts += [f"rate {epoch.rate:.2g}", duration(epoch.seconds)]
    if left:
        parts.append(f"at most {duration(left)} left")
    return " · ".join(parts)


def _line(epoch: Epoch) -> str:
    entry = asdict(epoch)
    # People count from 1.
    return json.dumps({"epoch": entry.pop("number") + 1, **entry}, allow_nan=False) + "\n"


def events_folder(run: Path) -> Path:
    """Where a training's TensorBoard files are."""
    return run / "tensorboard"


def event_writer(folder: Path, first_epoch: int = 0) -> Any:
    """TensorBoard's writer of event files.

    Raises
    ------
    InputError
        If TensorBoard is not installed.
    """
    require_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first_epoch or None)


def require_tensorboard() -> None:
    """Refuse to promise event files without the package.

    Raises
    ------
    InputError
        If TensorBoard is not installed.
    """
    try:
        importlib.import_module("tensorboard")
    except ImportError as error:
        raise InputError(
            "TensorBoard is not installed: make setup, or pip install 'renalis[tensorboard]', or "
            "train without it"
        ) from error
