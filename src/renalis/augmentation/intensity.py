"""Change values, not places. One draw holds for all images of a sample: it is one scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from renalis.preparation.grids import normalize
from renalis.sampling import Sample

__all__ = [
    "BrightnessContrast",
    "HuShift",
    "Noise",
    "Normalize",
    "brightness_contrast",
]

Image = NDArray[np.float32]
_NO_IMAGE = "roi"
"""Masks among the inputs keep their values."""


def _images(sample: Sample) -> dict[str, Image]:
    return {name: array for name, array in sample.inputs.items() if name != _NO_IMAGE}


@dataclass(frozen=True)
class HuShift:
    """Add one number to all HU, before they are clipped.

    Parameters
    ----------
    largest_hu : float
        The number is drawn from ±this.
    """

    largest_hu: float = 50.0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        shift = np.float32(rng.uniform(-self.largest_hu, self.largest_hu))
        images = {name: image + shift for name, image in _images(sample).items()}
        return replace(sample, inputs={**sample.inputs, **images})


@dataclass(frozen=True)
class Normalize:
    """From HU to what the network sees: ``(clip(HU) - sub) / div``.

    Parameters
    ----------
    clip_hu : tuple of float, optional
    sub, div : float
        As in `renalis.preparation.GridSpec`.
    only : str, optional
        Name of the one input to normalize; all images by default.
    """

    clip_hu: tuple[float, float] | None = None
    sub: float = 0.0
    div: float = 1.0
    only: str | None = None

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        del rng
        names = list(_images(sample)) if self.only is None else [self.only]
        images = {
            name: normalize(sample.inputs[name], self.clip_hu, self.sub, self.div) for name in names
        }
        fill = {}
        for name in names:
            value = np.full(1, sample.fill.get(name, 0.0), np.float32)
            fill[name] = float(normalize(value, self.clip_hu, self.sub, self.div)[0])
        return replace(sample, inputs={**sample.inputs, **images}, fill={**sample.fill, **fill})


@dataclass(frozen=True)
class Noise:
    """Add Gaussian noise, independent in each voxel.

    Parameters
    ----------
    sigma : tuple of float
        Range of the standard deviation, on the images' present scale.
    """

    sigma: tuple[float, float] = (0.0, 0.1)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sigma = np.float32(rng.uniform(*self.sigma))
        images: Mapping[str, Image] = {
            name: image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
            for name, image in _images(sample).items()
        }
        return replace(sample, inputs={**sample.inputs, **images})


def brightness_contrast(
    image: Image, brightness: float, contrast: float, clamp: bool = True
) -> Image:
    """Scale an image to 0 to 1, multiply it, stretch it about its mean, and scale it back.

    Parameters
    ----------
    image : ndarray, float32
    brightness, contrast : float
        Factors; 1 changes nothing.
    clamp : bool
        Keep to 0 to 1 after each step, as torchvision does.

    Returns
    -------
    ndarray, float32
        A new array, unchanged if the image is constant.
    """
    low, high = np.float32(image.min()), np.float32(image.max())
    if not high > low:
        return image.copy()
    result = (image - low) / (high - low)
    result *= np.float32(brightness)
    if clamp:
        np.clip(result, 0, 1, out=result)
    mean = np.float32(result.mean(dtype=np.float64))
    result -= mean
    result *= np.float32(contrast)
    result += mean
    if clamp:
        np.clip(result, 0, 1, out=result)
    result *= high - low
    result += low
    return result


@dataclass(frozen=True)
class BrightnessContrast:
    """Random `brightness_contrast`.

    Parameters
    ----------
    brightness, contrast : tuple of float
        Ranges of the factors.
    clamp : bool
    """

    brightness: tuple[float, float] = (0.5, 1.5)
    contrast: tuple[float, float] = (0.5, 1.5)
    clamp: bool = True

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        factors = rng.uniform(*self.brightness), rng.uniform(*self.contrast)
        images = {
            name: brightness_contrast(image, *factors, clamp=self.clamp)
            for name, image in _images(sample).items()
        }
        return replace(sample, inputs={**sample.inputs, **images})
