"""Whole synthetic scans on a clinical grid, with their label maps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from renalis.synthesis.appearance import draw_appearance, render
from renalis.synthesis.random_fields import Array
from renalis.synthesis.scanner import Scanner, add_noise, blur, draw_scanner
from renalis.synthesis.tissues import LABEL_OF_TISSUE, Phase
from renalis.volume import CANONICAL, Kind, Volume

__all__ = ["SyntheticScan", "matrix_for", "scan_body"]

_PADDING_HU = (-1024, -2000, -2048, -3024)
_MATRIX, _LARGEST_MATRIX = 512, 1024
_FIELD_OF_VIEW_MM = (350.0, 500.0)
"""What scanners use for a trunk: narrower cuts the patient, wider does not fit into the gantry."""


@dataclass(frozen=True)
class SyntheticScan:
    """A scan and its truth on one grid.

    ``image`` is int16 HU, ``labels`` uint8 KiTS23 labels, both with axes (X, Y, Z) as most NIfTI
    files have them. ``towards_next`` and ``dose`` are those of the
    `renalis.synthesis.appearance.Appearance`.
    """

    image: Volume
    labels: Volume
    phase: Phase
    scanner: Scanner
    towards_next: float
    dose: float


def scan_body(
    tissue: Volume,
    rng: np.random.Generator,
    spacing: tuple[float, float, float] | None = None,
    matrix: int | None = None,
    phase: Phase | None = None,
) -> SyntheticScan:
    """Scan a body: appearance, blur, sampling on the scan's grid, noise.

    Parameters
    ----------
    tissue : Volume
        Tissue map from ``anatomy.compose``.
    rng : Generator
        Source of randomness.
    spacing : tuple of float, optional
        Slice spacing, row spacing and column spacing in mm; drawn when not given, so that the body
        nearly fills the field of view.
    matrix : int, optional
        Rows and columns of a slice; from ``matrix_for`` when not given.
    phase : Phase, optional
        Contrast phase; drawn when not given.
    """
    body = tissue.reoriented(CANONICAL)
    codes = np.ascontiguousarray(body.array)
    size = body.spacing[0]
    appearance = draw_appearance(rng, phase)
    scanner = draw_scanner(rng)
    matrix = matrix or matrix_for(spacing)
    if spacing is None:
        width = codes.shape[2] * size * rng.uniform(0.95, 1.2) / matrix
        spacing = (scanner.slice_mm, width, width)
    image = blur(render(codes, appearance, rng, size), scanner, size)
    slices = max(4, int(codes.shape[0] * size / spacing[0]))
    shape = (slices, matrix, matrix)
    # The field of view is centered on the body in-plane and starts at its lowest slice.
    start = [
        0.5 * (spacing[0] - size),
        *(
            0.5 * (n * size - matrix * s - size + s)
            for n, s in zip(codes.shape[1:], spacing[1:], strict=True)
        ),
    ]
    sampled = _sampled(
        image, [s / size for s in start], [s / size for s in spacing], shape, -1000.0
    )
    add_noise(sampled, scanner, rng, spacing)
    labels = _sampled_labels(codes, [s / size for s in start], [s / size for s in spacing], shape)
    if rng.random() < 0.4:
        _pad_outside_circle(sampled, labels, int(rng.choice(_PADDING_HU)))
    affine = body.affine.copy()
    affine[:3, :3] = body.affine[:3, :3] / size * np.asarray(spacing)
    affine[:3, 3] = body.world(np.asarray(start) / size)
    hu = np.clip(np.rint(sampled), -3024, 3071).astype(np.int16)
    grid = Volume(hu, affine, Kind.IMAGE)
    return SyntheticScan(
        grid.reoriented("LPS"),
        grid.like(labels, Kind.LABELS).reoriented("LPS"),
        appearance.phase,
        scanner,
        appearance.towards_next,
        appearance.dose,
    )


def matrix_for(spacing: tuple[float, float, float] | None) -> int:
    """Rows and columns with which a scan of a spacing has a scanner's field of view.

    Parameters
    ----------
    spacing : tuple of float or None
        Slice, row and column spacing in mm; None: drawn to fit the body.

    Returns
    -------
    int
        512, but so many more (up to 1024) or fewer that the field of view is 350 to 500 mm wide.

    Examples
    --------
    >>> [matrix_for((3.0, mm, mm)) for mm in (0.5, 0.8, 1.5, 3.0)]
    [700, 512, 333, 166]
    """
    if spacing is None:
        return _MATRIX
    narrowest, widest = _FIELD_OF_VIEW_MM
    enough = min(max(_MATRIX, math.ceil(narrowest / min(spacing[1:]))), _LARGEST_MATRIX)
    return min(enough, math.floor(widest / max(spacing[1:])))


def _places(
    start: float, step: float, count: int, length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Linear interpolation along one axis: (count, 2) indices and weights; outside weighs zero."""
    place = torch.arange(count, dtype=torch.float64) * step + start
    low = place.floor()
    share = (place - low).float()
    index = torch.stack([low, low + 1], 1).long()
    weight = torch.stack([1 - share, share], 1)
    weight[(index < 0) | (index >= length)] = 0
    return index.clamp_(0, length - 1), weight


def _sampled(
    image: Array, start: list[float], step: list[float], shape: tuple[int, ...], fill: float
) -> Array:
    """Linear interpolation on another grid, axis by axis; ``fill`` beyond the image."""
    result = torch.from_numpy(image) - fill
    for axis in range(3):
        index, weight = _places(start[axis], step[axis], shape[axis], image.shape[axis])
        sides = [1, 1, 1]
        sides[axis] = -1
        low = result.index_select(axis, index[:, 0]) * weight[:, 0].reshape(sides)
        high = result.index_select(axis, index[:, 1])
        result = low.addcmul_(high, weight[:, 1].reshape(sides).expand_as(high))
    return np.asarray(result.add_(fill).numpy())


def _sampled_labels(
    codes: NDArray[np.uint8], start: list[float], step: list[float], shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    """The label with the largest interpolated share; smooth borders, none of the map's steps."""
    label = LABEL_OF_TISSUE[codes]
    result = np.zeros(shape, np.uint8)
    found = np.nonzero(label)
    if len(found[0]) == 0:
        return result
    low = [max(0, int(f.min()) - 2) for f in found]
    high = [int(f.max()) + 3 for f in found]
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    first = [max(0, int(np.floor((a - s) / t))) for a, s, t in zip(low, start, step, strict=True)]
    last = [
        min(n, int(np.ceil((b - s) / t)) + 1)
        for b, s, t, n in zip(high, start, step, shape, strict=True)
    ]
    part = label[box]
    inner_start = [s + f * t - a for s, f, t, a in zip(start, first, step, low, strict=True)]
    inner_shape = tuple(b - a for a, b in zip(first, last, strict=True))
    best: Array | None = None
    chosen = np.zeros(inner_shape, np.uint8)
    for value in range(4):
        share = _sampled(
            (part == value).astype(np.float32), inner_start, step, inner_shape, float(value == 0)
        )
        if best is None:
            best = share
            continue
        wins = share > best
        chosen[wins] = value
        np.maximum(best, share, out=best)
    result[tuple(slice(a, b) for a, b in zip(first, last, strict=True))] = chosen
    return result


def _pad_outside_circle(image: Array, labels: NDArray[np.uint8], value: int) -> None:
    """Fill what lies outside the round field of view with a padding value, as scanners do."""
    rows, columns = image.shape[1:]
    y, x = np.ogrid[:rows, :columns]
    radius = ((y - (rows - 1) / 2) / (rows / 2)) ** 2 + (
        (x - (columns - 1) / 2) / (columns / 2)
    ) ** 2
    outside = radius > 1
    image[:, outside] = value
    labels[:, outside] = 0
