"""Training samples from single real slices: moved, bent, and varied as scans and patients vary.

A sample is one voxel thick: a network that has ``forward_slices`` takes it for a slice that goes on
unchanged along the body (`renalis.networks.unet.UNet`). Real tumors and cysts are rare, so lesions
of other patients are also put into kidneys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from renalis.conventions import Label
from renalis.dataset.slices import SliceSet, slice_hu
from renalis.sampling.lesion_transplants import Donor, donors, transplant
from renalis.synthesis.patches import windowed

__all__ = ["RealSlices", "SliceVariation"]

Image = NDArray[np.float32]
Labels = NDArray[np.uint8]

_AIR_HU = -1000.0
_SMALL_MM2 = 1500.0
"""Kidneys of less area in a slice are poles, which are hard and therefore shown more often."""


@dataclass(frozen=True)
class SliceVariation:
    """How much slices are varied.

    Attributes
    ----------
    near : float
        Share of samples near something renal, of slices that have it.
    lesion : float
        Share of those at a lesion, if there is one.
    jitter : float
        How far, in sizes of the sample, the center may lie from there.
    transplants : float
        Share of slices with a kidney that get another patient's lesion.
    mirror, turn_over : float
        Shares that are flipped left to right, and front to back.
    rotation : float
        Spread of the rotation (radians).
    scale : float
        Spread of the logarithm of the size.
    gain : float
        Spread of the logarithm of the contrast of soft tissue.
    kidney_hu, tumor_hu : float
        Spread of a shift of all parenchyma, and of all tumors, of a third of the slices.
    noise_hu : tuple of float
        Least and most noise that is added to most of them.
    """

    near: float = 0.6
    lesion: float = 0.6
    jitter: float = 0.35
    transplants: float = 0.3
    mirror: float = 0.5
    turn_over: float = 0.08
    rotation: float = 0.14
    scale: float = 0.14
    gain: float = 0.14
    kidney_hu: float = 25.0
    tumor_hu: float = 12.0
    noise_hu: tuple[float, float] = (2.0, 22.0)


class RealSlices:
    """Draws samples from slices.

    Parameters
    ----------
    files : sequence of SliceSet
        At least one slice.
    spacing_mm : float
        Of the samples' pixels.
    window_hu : tuple of float
        HU that become -1 and 1.
    variation : SliceVariation
        How slices are varied.
    """

    def __init__(
        self,
        files: Sequence[SliceSet],
        spacing_mm: float,
        window_hu: tuple[float, float],
        variation: SliceVariation,
    ) -> None:
        self._files, self._window, self._variation = files, window_hu, variation
        self._spacing_mm = spacing_mm
        self._places = [(file, n) for file, one in enumerate(files) for n in range(len(one))]
        weights = np.array([_weight(files[file], n) for file, n in self._places])
        self._shares = weights / weights.sum()
        self._donors: dict[int, list[Donor]] = donors(files)

    def draw(
        self, size: tuple[int, int], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """One sample.

        Parameters
        ----------
        size : tuple of int
            Pixels (Y, X).
        rng : Generator
            Source of everything random.

        Returns
        -------
        image : ndarray, shape (1, Y, X), float32
            Windowed CT, -1 to 1.
        label : ndarray, same shape, uint8
            KiTS23 labels.
        """
        file, number = self._places[int(rng.choice(len(self._places), p=self._shares))]
        slices, how = self._files[file], self._variation
        hu, label = slice_hu(slices, number), slices.labels[number]
        spacing = (float(slices.spacing_mm[number, 1]), float(slices.spacing_mm[number, 2]))
        if (label == Label.KIDNEY).any() and rng.random() < how.transplants:
            hu, label = transplant(hu, label, spacing, self._donors, rng)
        hu = _other_tissue(hu, label, how, rng)
        center = self._center(label, spacing, size, rng)
        image, moved = _moved(hu, label, spacing, center, size, self._spacing_mm, how, rng)
        image = _noisy(image, how, rng)
        return windowed(image, self._window)[None], moved[None]

    def _center(
        self,
        label: Labels,
        spacing: tuple[float, float],
        size: tuple[int, int],
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        """Where a sample lies (mm along rows and columns)."""
        how = self._variation
        renal = np.argwhere(label > 0)
        if len(renal) and rng.random() < how.near:
            lesion = np.argwhere(label > 1)
            places = lesion if len(lesion) and rng.random() < how.lesion else renal
            off = rng.uniform(-1, 1, 2) * how.jitter * np.array(size) * self._spacing_mm
            return np.asarray(places[int(rng.integers(len(places)))] * np.array(spacing) + off)
        whole = np.array(label.shape) * np.array(spacing)
        return np.asarray(whole * rng.uniform([0.35, 0.3], [0.65, 0.7]))


def _weight(slices: SliceSet, number: int) -> float:
    """How often a slice is drawn: the rarer what it shows, the more often."""
    label = slices.labels[number]
    area = np.count_nonzero(label) * float(np.prod(slices.spacing_mm[number, 1:]))
    tumor, cyst = bool((label == Label.TUMOR).any()), bool((label == Label.CYST).any())
    return 1 + 0.7 * (area > 0) + 1.6 * tumor + 3 * cyst + (0 < area < _SMALL_MM2)


def _other_tissue(hu: Image, label: Labels, how: SliceVariation, rng: np.random.Generator) -> Image:
    """Other contrast, as another phase or patient would have."""
    soft = (hu > -75) & (hu < 300)
    for value, spread in ((Label.KIDNEY, how.kidney_hu), (Label.TUMOR, how.tumor_hu)):
        mask = label == value
        if mask.any() and rng.random() < 0.35:
            edge = ndimage.gaussian_filter(mask.astype(np.float32), 1.0)
            hu = hu + edge * np.float32(rng.normal(0, spread))
    gain, shift = np.exp(rng.normal(0, how.gain)), rng.normal(0, 6)
    return np.where(soft, (hu - 45) * gain + 45 + shift, hu).astype(np.float32)


def _moved(
    hu: Image,
    label: Labels,
    spacing: tuple[float, float],
    center: NDArray[np.float64],
    size: tuple[int, int],
    pixel_mm: float,
    how: SliceVariation,
    rng: np.random.Generator,
) -> tuple[Image, Labels]:
    """Sample a slice on another grid: turned, scaled, flipped and bent about a center."""
    angle, scale = rng.normal(0, how.rotation), np.exp(rng.normal(0, how.scale))
    aspect = np.exp(rng.normal(0, how.scale * 0.4))
    signs = [-1 if rng.random() < share else 1 for share in (how.turn_over, how.mirror)]
    lines = [(torch.arange(n) - (n - 1) / 2) * pixel_mm * scale for n in size]
    rows, columns = torch.meshgrid(
        lines[0] * aspect * signs[0], lines[1] / aspect * signs[1], indexing="ij"
    )
    knots = [max(3, n // 24) for n in size]
    bend = functional.interpolate(
        torch.from_numpy(rng.standard_normal((1, 2, *knots), dtype=np.float32)),
        size=size, mode="bicubic", align_corners=True,
    )[0] * float(rng.uniform(0.2, 2.6))  # fmt: skip
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    y = cos * rows - sin * columns + float(center[0]) + bend[0]
    x = sin * rows + cos * columns + float(center[1]) + bend[1]
    grid = torch.stack(
        [
            (2 * x / spacing[1] + 1) / hu.shape[1] - 1,
            (2 * y / spacing[0] + 1) / hu.shape[0] - 1,
        ],
        -1,
    )[None].float()
    channels = np.stack([hu - np.float32(_AIR_HU), *(label == k for k in (1, 2, 3))])
    source = torch.from_numpy(channels.astype(np.float32))[None]
    sampled = functional.grid_sample(source, grid, align_corners=False)[0]
    shares = sampled[1:]
    named = torch.where(shares.sum(0) >= 0.5, shares.argmax(0) + 1, 0)
    return np.asarray(sampled[0].numpy() + np.float32(_AIR_HU)), np.asarray(
        named.to(torch.uint8).numpy()
    )


def _noisy(image: Image, how: SliceVariation, rng: np.random.Generator) -> Image:
    """A softer kernel or more noise, as other scanners have."""
    if rng.random() < 0.25:
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, 0.8))
    if rng.random() < 0.6:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        if rng.random() < 0.6:
            noise = ndimage.gaussian_filter(noise, rng.uniform(0.4, 0.9))
            noise /= noise.std()
        image = image + noise * np.float32(np.exp(rng.uniform(*np.log(how.noise_hu))))
    return np.asarray(image, np.float32)
