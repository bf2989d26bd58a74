"""Random rotation, scaling, cropping, bending and mirroring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.augmentation.warp import Warp, rotation, warp_array
from renalis.sampling import Sample

__all__ = ["Flip", "Spatial", "flip"]

Range = tuple[float, float]


@dataclass(frozen=True)
class Spatial:
    """One random transform in mm for all arrays of a sample, which are interpolated once.

    Parameters
    ----------
    dims : {2, 3}
        2 moves within slices, all slices of a volume alike.
    angle_deg : float
        Rotation drawn from ±this, about each axis.
    scale : tuple of float, optional
        Size of the result's structures relative to the original, one factor for all axes.
    crop : tuple of float, optional
        Cut out a box with this share of each side, anywhere inside, and enlarge it to the whole.
    elastic_mm : tuple of float, optional
        Range of the standard deviation of the displacements at control points.
    control : int
        Control points along each axis.
    elastic_extent_mm : float, optional
        Side of the box that the control points span; by default that of the largest array.
    p_rotate, p_scale, p_crop, p_elastic : float
        Chance of each part.
    shape : mapping of str to tuple, optional
        Result's size of single arrays, to cut off a margin that was added for this.

    Notes
    -----
    Inputs are interpolated linearly and continued with their fill, targets take the nearest voxel
    and are continued with 0. Without displacement, and when nothing is cut off, arrays are
    returned as they are.
    """

    dims: int = 3
    angle_deg: float = 0.0
    scale: Range | None = None
    crop: Range | None = None
    elastic_mm: Range | None = None
    control: int = 10
    elastic_extent_mm: float | None = None
    p_rotate: float = 1.0
    p_scale: float = 1.0
    p_crop: float = 1.0
    p_elastic: float = 1.0
    shape: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dims not in (2, 3):
            raise ValueError(f"transforms act within slices (2) or volumes (3), not {self.dims}")
        if self.control < 4:
            raise ValueError(
                f"a cubic B-spline needs at least 4 control points, not {self.control}"
            )
        if any(pair is not None and not 0 < pair[0] <= pair[1] for pair in (self.scale, self.crop)):
            raise ValueError("scale and crop are ranges of positive numbers, the smaller first")

    def draw(self, extent_mm: Sequence[float], rng: np.random.Generator) -> Warp:
        """Draw a transform for arrays that span at most so many mm along their last axes."""
        dims, extent = self.dims, np.asarray(extent_mm, float)
        matrix, shift = np.eye(dims), np.zeros(dims)
        if self.crop is not None and rng.random() < self.p_crop:
            side = rng.uniform(*self.crop)
            matrix *= side
            shift += rng.uniform(-0.5, 0.5, dims) * (1 - side) * extent
        if self.scale is not None and rng.random() < self.p_scale:
            matrix /= rng.uniform(*self.scale)
        if self.angle_deg and rng.random() < self.p_rotate:
            count = 1 if dims == 2 else 3
            matrix = matrix @ rotation(
                np.deg2rad(rng.uniform(-self.angle_deg, self.angle_deg, count)).tolist()
            )
        control = None
        if self.elastic_mm is not None and rng.random() < self.p_elastic:
            sigma = rng.uniform(*self.elastic_mm)
            control = rng.normal(0, sigma, (dims, *[self.control] * dims))
        span = extent if self.elastic_extent_mm is None else np.full(dims, self.elastic_extent_mm)
        return Warp(matrix, shift, control, span)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        arrays = {**sample.inputs, **sample.targets}
        extents = [
            np.multiply(self._final(name, arrays[name]), spacing[-self.dims :])
            for name, spacing in sample.spacing_mm.items()
        ]
        return self.apply(sample, self.draw(np.max(extents, axis=0), rng))

    def apply(self, sample: Sample, warp: Warp) -> Sample:
        """Apply a transform that was drawn before."""
        still = (
            np.array_equal(warp.matrix, np.eye(self.dims))
            and not warp.shift_mm.any()
            and warp.control_mm is None
        )

        def moved(name: str, array: NDArray[Any], order: int) -> NDArray[Any]:
            if name not in sample.spacing_mm:
                return array
            shape = self._final(name, array)
            if still:
                return _middle(array, shape)
            spacing = sample.spacing_mm[name][-self.dims :]
            fill = sample.fill.get(name, 0.0)
            return warp_array(array, spacing, warp, shape, order=order, fill=fill)

        return replace(
            sample,
            inputs={name: moved(name, array, 1) for name, array in sample.inputs.items()},
            targets={name: moved(name, array, 0) for name, array in sample.targets.items()},
        )

    def _final(self, name: str, array: NDArray[Any]) -> tuple[int, ...]:
        return tuple(self.shape.get(name, array.shape))[-self.dims :]


def _middle(array: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """The middle of the last axes."""
    spare = [n - wanted for n, wanted in zip(array.shape[-len(shape) :], shape, strict=True)]
    if any(extra % 2 or extra < 0 for extra in spare):
        raise ValueError(f"no middle of shape {tuple(shape)} in an array of {array.shape}")
    box = tuple(
        slice(extra // 2, extra // 2 + wanted) for extra, wanted in zip(spare, shape, strict=True)
    )
    whole = (slice(None),) * (array.ndim - len(box))
    return array[(*whole, *box)]


@dataclass(frozen=True)
class Flip:
    """Mirror all arrays of a sample along the same axes.

    Parameters
    ----------
    axes : sequence of int
        Counted from the end: -1 is X (left and right), -2 is Y, -3 is Z.
    p : float
        Chance for each axis.
    """

    axes: tuple[int, ...] = (-1,)
    p: float = 0.5

    def __post_init__(self) -> None:
        if any(axis not in (-1, -2, -3) for axis in self.axes):
            raise ValueError(f"axes are -1, -2 or -3, not {self.axes}")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        chosen = tuple(axis for axis in self.axes if rng.random() < self.p)
        return flip(sample, chosen) if chosen else sample


def flip(sample: Sample, axes: Sequence[int]) -> Sample:
    """Mirror all arrays that have a place along axes counted from the end."""

    def flipped(name: str, array: NDArray[Any]) -> NDArray[Any]:
        if name not in sample.spacing_mm:
            return array
        return np.ascontiguousarray(np.flip(array, tuple(axes)))

    return replace(
        sample,
        inputs={name: flipped(name, array) for name, array in sample.inputs.items()},
        targets={name: flipped(name, array) for name, array in sample.targets.items()},
    )
