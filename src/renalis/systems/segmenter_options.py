"""What can be chosen about a segmenter, and which kinds each choice is for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from renalis.compute_device import DeviceChoice
from renalis.errors import UsageError
from renalis.postprocessing.rules import Rules
from renalis.prediction.options import PredictionOptions

__all__ = ["FOR_COARSE_TO_FINE", "FOR_RUNS", "SegmenterOptions", "refuse"]

FOR_COARSE_TO_FINE = ("prediction", "rules")
"""Options of models that predict coarse to fine alone: a run's recipe has its own."""

FOR_RUNS = ("members", "weights", "folds", "look_everywhere")
"""Options of published systems alone."""

_OF_THE_COMMAND = ("runtime", "mirror", "thresholds", "max_ram_mb")
"""Of the prediction's options, those that ``renalis segment --help`` shows."""

_NAMES = {
    "members": "--with",
    "folds": "--fold",
    "rules": "rules",
    "thresholds": "--threshold",
    "max_ram_mb": "--max-ram",
}
"""What options are called where it is not their name with dashes."""


@dataclass(frozen=True, kw_only=True)
class SegmenterOptions:
    """How to segment.

    Attributes
    ----------
    prediction : PredictionOptions or None
        How a model of two passes predicts.
    rules : Rules or None
        How a model of two passes tidies; all rules by default.
    without_rules : tuple of str
        Rules to switch off, of whatever kind; ``all`` switches all off.
    members : tuple of Path
        Further members of an ensemble with a run: runs, or folders of ``CASE.npz`` or label maps.
    weights : tuple of float or None
        Of the run and of each member; equal by default.
    folds : tuple of int or None
        Of the run; all that are there by default.
    device : {"auto", "cpu", "cuda"} or None
        Where networks compute; ``auto`` is CUDA where there is a device for it. None is ``auto``
        for a run, and ``cpu`` for a model that predicts coarse to fine.
    look_everywhere : bool
        Where the coarse network of a cascade finds nothing, the fine one looks everywhere.
    threads : int or None
        Threads for the networks; all cores by default.
    require_commercial : bool
        Refuse models whose licence does not allow commercial use.
    """

    prediction: PredictionOptions | None = None
    rules: Rules | None = None
    without_rules: tuple[str, ...] = ()
    members: tuple[Path, ...] = ()
    weights: tuple[float, ...] | None = None
    folds: tuple[int, ...] | None = None
    device: DeviceChoice | None = None
    look_everywhere: bool = False
    threads: int | None = None
    require_commercial: bool = False


def refuse(options: SegmenterOptions, names: Sequence[str], reason: str) -> None:
    """Refuse options that a kind of segmenter does not take; none is ignored in silence.

    Raises
    ------
    UsageError
        If one of ``names`` was chosen.
    """
    default = SegmenterOptions()
    for name in names:
        chosen = getattr(options, name)
        if chosen == getattr(default, name):
            continue
        parts = [name]
        if isinstance(chosen, PredictionOptions):
            plain = dataclasses.asdict(PredictionOptions())
            parts = [part for part, value in dataclasses.asdict(chosen).items()
                     if value != plain[part]]  # fmt: skip
            parts = parts or [*_OF_THE_COMMAND]
        words = [_NAMES.get(part, f"--{part.replace('_', '-')}") for part in parts]
        raise UsageError(f"{', '.join(words)}: {reason}")
