"""What a search found, one row per trial, and its table ``trials.csv``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from renalis.io import write_text
from renalis.io.csv_text import csv_text

__all__ = ["State", "TrialRow", "best_row", "plain", "summary", "trial_name", "write_trials"]

State = Literal["complete", "pruned", "failed", "interrupted"]
_STATES: tuple[State, ...] = ("complete", "pruned", "failed", "interrupted")


@dataclass(frozen=True)
class TrialRow:
    """One trial.

    Parameters
    ----------
    number : int
        From 0 on.
    state : {"complete", "pruned", "failed", "interrupted"}
    value : float or None
        The metric of the weights that are kept; of a pruned trial in its last epoch.
    fields : mapping of str to object
        Value by dotted key.
    by_epoch : mapping of int to float
        The metric after epochs, counted from 1.
    note : str
        Why it was pruned or failed.
    seconds : float
        Time of its epochs in the searched stage.
    """

    number: int
    state: State
    value: float | None
    fields: Mapping[str, Any]
    by_epoch: Mapping[int, float] = field(default_factory=dict)
    note: str = ""
    seconds: float = 0.0

    @property
    def folder(self) -> str:
        """Name of its run's folder."""
        return trial_name(self.number)


def trial_name(number: int) -> str:
    """Name of a trial's folder."""
    return f"trial_{number:04d}"


def best_row(rows: Sequence[TrialRow], higher_is_better: bool) -> TrialRow | None:
    """The best complete trial, the first of equals; None when none is complete."""
    sign = 1 if higher_is_better else -1
    complete = [row for row in rows if row.state == "complete" and row.value is not None]
    return max(complete, key=lambda row: sign * (row.value or 0.0), default=None)


def summary(rows: Sequence[TrialRow]) -> str:
    """How many trials ended how, in words."""
    counts = [(sum(row.state == state for row in rows), state) for state in _STATES]
    parts = ", ".join(f"{count} {state}" for count, state in counts if count)
    return f"{len(rows)} trial{'s' * (len(rows) > 1)}: {parts}" if rows else "no trials"


def write_trials(path: Path, rows: Sequence[TrialRow], keys: Sequence[str]) -> None:
    """Write ``trials.csv``: trial, state, value, the fields, epochs, note.

    Nothing in it depends on how fast the computer was or how often the search was stopped.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    lines = []
    for row in rows:
        value = "" if row.value is None else repr(row.value)
        fields = [plain(row.fields[key]) for key in keys]
        epochs = max(row.by_epoch, default=0)
        lines.append([str(row.number), row.state, value, *fields, str(epochs), row.note])
    header = ["trial", "state", "value", *keys, "epochs", "note"]
    write_text(path, csv_text(header, lines))


def plain(value: Any) -> str:
    """A value as people write it: words as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
