"""Inputs and targets that are made from others after all spatial transforms: mask, presence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from renalis.sampling import Sample

__all__ = ["MaskInput", "Presence"]


@dataclass(frozen=True)
class MaskInput:
    """Show an image only inside a mask, which then leaves the sample.

    Belongs after spatial transforms and before `Normalize` if ``fill`` is in HU: then what a
    transform fills and what the mask hides look the same.

    Parameters
    ----------
    image, mask : str
        Names of the inputs.
    fill : float
        Value outside the mask, on the image's present scale.
    at : float
        The mask holds where it is larger.
    """

    image: str = "image"
    mask: str = "roi"
    fill: float = 0.0
    at: float = 0.5

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        del rng
        shown = np.where(
            sample.inputs[self.mask] > self.at, sample.inputs[self.image], np.float32(self.fill)
        )
        inputs = {name: array for name, array in sample.inputs.items() if name != self.mask}
        inputs[self.image] = shown
        return replace(sample, inputs=inputs, fill={**sample.fill, self.image: self.fill})


@dataclass(frozen=True)
class Presence:
    """Whether a target holds any of some training labels, as a target of its own, (1,) float32.

    Parameters
    ----------
    of : str
        Name of the label target.
    values : tuple of int
        Training labels.
    name : str
        Name of the new target; one of that name is replaced.
    """

    of: str = "seg"
    values: tuple[int, ...] = (2,)
    name: str = "cls"

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        del rng
        found = bool(np.isin(sample.targets[self.of], self.values).any())
        return replace(sample, targets={**sample.targets, self.name: np.array([found], np.float32)})
