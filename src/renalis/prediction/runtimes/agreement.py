"""Whether a faster runtime says the same as torch in float32 about whole scans.

The choice of a runtime (`renalis.prediction.runtimes.choice`) rests on one window of a phantom.
This is the
long check: predict real scans with both and compare the label maps.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from renalis.conventions import Label
from renalis.model import Model
from renalis.prediction.cascade import Progress, open_networks, predict
from renalis.prediction.options import PredictionOptions, RuntimeName
from renalis.prediction.runtimes.choice import AGREEMENT, Choice
from renalis.volume import Volume

__all__ = ["Agreement", "confirm", "label_dice"]

LEAST_ML = 5.0
"""A class with less than this in both label maps is compared but decides nothing: a handful of
border voxels would."""


@dataclass(frozen=True)
class Agreement:
    """How far a runtime's labels of some scans agree with those of torch in float32.

    Attributes
    ----------
    runtime : RuntimeName
        What was compared.
    dice : mapping
        Smallest Dice over the scans of everything renal, and of each class; None where neither
        has it.
    decisive : float
        Smallest of those that count (see ``LEAST_ML``).
    seconds : float
        Wall time of the runtime's predictions.
    """

    runtime: RuntimeName
    dice: Mapping[str, float | None]
    decisive: float
    seconds: float

    @property
    def agrees(self) -> bool:
        """Whether its labels may be used."""
        return self.decisive >= AGREEMENT


def confirm(
    volumes: Sequence[Volume],
    model: Model,
    choice: Choice,
    threads: int | None = None,
    progress: Progress | None = None,
) -> tuple[Choice, list[Agreement]]:
    """Find the fastest runtime whose labels of real scans agree with torch in float32.

    Runtimes that agreed on the phantom are tried from the fastest on, until one agrees.

    Parameters
    ----------
    volumes : sequence of Volume
        HU, any orientation.
    model : Model
        From `renalis.model.load_model`.
    choice : Choice
        From `renalis.prediction.runtimes.choice.choose`.
    threads : int or None
        As in the prediction.
    progress : callable, optional
        As in `renalis.prediction.predict`.

    Returns
    -------
    choice : Choice
        The same trials with the runtime that agrees; torch in float32 if no other does.
    agreements : list of Agreement
        One for each runtime that was tried.
    """
    usable = sorted((t for t in choice.trials if t.agrees), key=lambda trial: trial.seconds)
    reference = _labels(volumes, model, RuntimeName.TORCH, threads, progress)
    found: list[Agreement] = []
    for trial in usable:
        if trial.runtime == RuntimeName.TORCH:
            break
        began = time.perf_counter()
        labels = _labels(volumes, model, trial.runtime, threads, progress)
        seconds = time.perf_counter() - began
        pairs = [
            label_dice(ours, theirs, volume.voxel_ml)
            for ours, theirs, volume in zip(labels, reference, volumes, strict=True)
        ]
        names = pairs[0][0] if pairs else {}
        dice = {name: _least([scores[name] for scores, _ in pairs]) for name in names}
        decisive = min((score for _, score in pairs), default=0.0)
        found.append(Agreement(trial.runtime, dice, decisive, seconds))
        if found[-1].agrees:
            return replace(choice, runtime=trial.runtime), found
    return replace(choice, runtime=RuntimeName.TORCH), found


def label_dice(
    one: NDArray[np.uint8], two: NDArray[np.uint8], voxel_ml: float
) -> tuple[dict[str, float | None], float]:
    """Dice of everything renal and of each class between two label maps.

    Returns
    -------
    dice : dict
        By name; None where neither has the class.
    decisive : float
        Smallest over renal tissue and the classes that are large enough; 1 if both are empty.

    Examples
    --------
    >>> label_dice(np.array([1, 1, 2], np.uint8), np.array([1, 1, 1], np.uint8), 10.0)
    ({'renal': 1.0, 'kidney': 0.8, 'tumor': 0.0, 'cyst': None}, 0.0)
    """
    masks = {"renal": (one > 0, two > 0)}
    masks |= {c.name.lower(): (one == c, two == c) for c in Label if c}
    dice: dict[str, float | None] = {}
    decisive = 1.0
    for name, (ours, theirs) in masks.items():
        sizes = int(np.count_nonzero(ours)), int(np.count_nonzero(theirs))
        if not sum(sizes):
            dice[name] = None
            continue
        score = 2 * int(np.count_nonzero(ours & theirs)) / sum(sizes)
        dice[name] = score
        if name == "renal" or max(sizes) * voxel_ml >= LEAST_ML:
            decisive = min(decisive, score)
    return dice, decisive


def _labels(
    volumes: Sequence[Volume],
    model: Model,
    runtime: RuntimeName,
    threads: int | None,
    progress: Progress | None,
) -> list[NDArray[np.uint8]]:
    """Label maps of all scans by one runtime."""
    options = PredictionOptions(runtime=runtime, threads=threads)
    networks = open_networks(model, options)
    return [
        predict(volume, model, options, networks=networks, progress=progress).labels.array
        for volume in volumes
    ]


def _least(scores: Sequence[float | None]) -> float | None:
    """The smallest that there is."""
    known = [score for score in scores if score is not None]
    return min(known) if known else None
