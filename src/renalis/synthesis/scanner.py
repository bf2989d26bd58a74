"""What the scanner makes of a body: blur, slice thickness, noise, streaks, field of view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch.nn import functional

from renalis.synthesis.random_fields import Array, smooth_field

__all__ = ["Scanner", "acquire", "add_noise", "blur", "draw_scanner"]


@dataclass(frozen=True)
class Scanner:
    """Properties of one acquisition.

    Attributes
    ----------
    blur_mm : float
        Standard deviation of the in-plane point spread function.
    slice_mm : float
        Slice thickness.
    noise_hu : float
        Standard deviation of the noise in a 1 mm voxel of a soft kernel.
    grain_mm : float
        Correlation length of the noise (standard deviation of its smoothing).
    streak_hu : float
        Strength of horizontal streaks, as between the shoulders or hips; 0 for none.
    """

    blur_mm: float
    slice_mm: float
    noise_hu: float
    grain_mm: float
    streak_hu: float


_SLICES_MM = {1.0: 0.13, 1.5: 0.09, 2.0: 0.12, 2.5: 0.14, 3.0: 0.2, 4.0: 0.07, 5.0: 0.21, 7.5: 0.04}
"""Thickness of slices, and how often it is drawn."""
_BLUR_MM = (0.2, 1.6)
_NOISE_HU = (7.0, 42.0)
_GRAIN_MM = (0.2, 0.9)
# docs/synthesis-against-real.md compares what comes of these with real slices.


def draw_scanner(rng: np.random.Generator) -> Scanner:
    """Draw an acquisition from what clinical abdominal CT looks like."""
    return Scanner(
        blur_mm=float(rng.uniform(*_BLUR_MM)),
        slice_mm=float(rng.choice(list(_SLICES_MM), p=list(_SLICES_MM.values()))),
        noise_hu=float(np.exp(rng.uniform(*np.log(_NOISE_HU)))),
        grain_mm=float(rng.uniform(*_GRAIN_MM)),
        streak_hu=float(rng.uniform(2, 14)) if rng.random() < 0.2 else 0.0,
    )


def acquire(image: Array, scanner: Scanner, rng: np.random.Generator, spacing: float) -> Array:
    """Blur and add noise to rendered CT numbers on an isotropic grid, in place where possible.

    Parameters
    ----------
    image : ndarray, shape (Z, Y, X), float32
        HU without noise.
    scanner : Scanner
        The acquisition.
    rng : Generator
        Source of the noise.
    spacing : float
        Isotropic voxel size in mm.

    Returns
    -------
    ndarray, shape (Z, Y, X), float32
        HU.
    """
    image = blur(image, scanner, spacing)
    count = max(2, round(image.shape[0] * spacing / scanner.slice_mm))
    if scanner.slice_mm <= 1.6 * spacing or count >= image.shape[0]:
        add_noise(image, scanner, rng, (spacing,) * 3)
        return image
    # The noise is that of the thick slices, between which a reader interpolates.
    slices = _resliced(image, count)
    add_noise(slices, scanner, rng, (image.shape[0] * spacing / count, spacing, spacing))
    return _resliced(slices, image.shape[0])


def blur(image: Array, scanner: Scanner, spacing: float) -> Array:
    """Point spread function in-plane and slice profile along z."""
    sigma = max(scanner.blur_mm / spacing, 0.35)
    for axis in (1, 2):
        image = _blurred(image, sigma, axis)
    # A box of the slice's thickness has a standard deviation of thickness / sqrt(12).
    return _blurred(image, max(scanner.slice_mm / 3.46 / spacing, 0.3), 0)


def add_noise(
    image: Array, scanner: Scanner, rng: np.random.Generator, spacing: tuple[float, float, float]
) -> None:
    """Add correlated noise and streaks in place; ``spacing`` along Z, Y, X in mm."""
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    for axis in range(3):
        # Reconstruction kernels correlate noise in-plane; slices hardly share any.
        grain = (scanner.grain_mm if axis else 0.3 * scanner.grain_mm) / spacing[axis]
        if grain > 0.2:
            noise = _blurred(noise, grain, axis)
    # Averaging over larger voxels lowers the noise, less than its square root as it is correlated.
    size = max(1.0, float(np.prod(spacing)) ** (1 / 3)) ** 0.75
    strength = scanner.noise_hu / size / max(float(noise[::3, ::3, ::3].std()), 1e-3)
    noise *= np.float32(strength)
    image += noise
    if scanner.streak_hu:
        lines = smooth_field(rng, (image.shape[0], image.shape[1], 4), 1.5)[:, :, 1:2]
        lines = _blurred(lines, 0.6, 1)
        lines = lines * smooth_field(rng, image.shape, 40 / spacing[1])
        image += np.float32(scanner.streak_hu) * lines


def _blurred(image: Array, sigma: float, axis: int) -> Array:
    """Gaussian smoothing along one axis; a three-tap kernel where that is exact enough."""
    if sigma <= 0.2:
        return image
    if sigma > 0.75:
        return np.asarray(gaussian_filter1d(image, sigma, axis, truncate=2.5, mode="nearest"))
    side = float(np.exp(-0.5 / sigma**2))
    total = 1 + 2 * side
    result = image * np.float32(1 / total)
    share = np.float32(side / total)
    moved = np.moveaxis(image, axis, 0)
    target = np.moveaxis(result, axis, 0)
    target[1:] += share * moved[:-1]
    target[:-1] += share * moved[1:]
    target[0] += share * moved[0]
    target[-1] += share * moved[-1]
    return result


def _resliced(image: Array, count: int) -> Array:
    """The image (Z, Y, X) in ``count`` slices, interpolated linearly between the first and last."""
    stack = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    shape = (count, *image.shape[1:])
    other = functional.interpolate(stack, shape, mode="trilinear", align_corners=True)
    return np.asarray(other[0, 0].numpy())
