"""Put transforms together. A transform takes a sample and a generator and returns a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from renalis.sampling import Sample

__all__ = ["Compose", "Sometimes", "Transform", "expand"]


class Transform(Protocol):
    """Pure: the same sample and the same state of the generator give the same result."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """A new sample; the given one is not changed."""
        ...


@dataclass(frozen=True)
class Compose:
    """One transform after the other."""

    steps: tuple[Transform, ...]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for step in self.steps:
            sample = step(sample, rng)
        return sample


@dataclass(frozen=True)
class Sometimes:
    """A transform that is applied with a chance ``p``."""

    step: Transform
    p: float = 0.5

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return self.step(sample, rng) if rng.random() < self.p else sample


def expand(
    sample: Sample, steps: Sequence[Transform], copies: int, rng: np.random.Generator
) -> list[Sample]:
    """A sample and differently augmented copies of it, to go into one batch.

    Parameters
    ----------
    sample : Sample
    steps : sequence of Transform
        Each copy gets one of them, no two copies the same.
    copies : int
    rng : Generator

    Returns
    -------
    list of Sample
        The unchanged sample first.

    Raises
    ------
    ValueError
        If there are fewer transforms than copies.
    """
    if copies > len(steps):
        raise ValueError(f"{copies} different copies need as many transforms, not {len(steps)}")
    chosen = rng.permutation(len(steps))[:copies]
    return [sample, *(steps[int(which)](sample, rng) for which in chosen)]
