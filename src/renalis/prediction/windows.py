"""Where the networks' windows lie, and how much each voxel of a window counts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Shape", "cover", "gaussian", "merge_boxes", "padding", "window_count"]

Shape = tuple[int, int, int]
Box = tuple[slice, slice, slice]


def starts(first: int, last: int, length: int, patch: int, overlap: float) -> list[int]:
    """First voxels of the windows that cover ``first`` to ``last`` of an axis.

    Windows stay inside the axis where it is long enough, and use what lies beside the range
    instead of leaving it out: a network sees more, at no cost.
    """
    span = last - first
    if length <= patch:
        return [0]
    if span <= patch:
        return [min(max((first + last - patch) // 2, 0), length - patch)]
    count = math.ceil((span - patch) / (patch * (1 - overlap))) + 1
    return [round(first + step * (span - patch) / (count - 1)) for step in range(count)]


def cover(box: Box, shape: Shape, patch: Shape, overlap: float) -> list[Shape]:
    """First voxels of the windows that cover a box of an array of shape ``shape``."""
    z, y, x = (
        starts(b.start, b.stop, n, p, overlap) for b, n, p in zip(box, shape, patch, strict=True)
    )
    return [(i, j, k) for i in z for j in y for k in x]


def window_count(box: Box, shape: Shape, patch: Shape, overlap: float) -> int:
    """Number of windows that cover a box."""
    return len(cover(box, shape, patch, overlap))


def merge_boxes(boxes: Iterable[Box], shape: Shape, patch: Shape, overlap: float) -> list[Box]:
    """Join boxes wherever that needs no more windows than looking at each alone."""
    result = list(boxes)
    merged = True
    while merged:
        merged = False
        for a in range(len(result)):
            for b in range(a + 1, len(result)):
                union = _union(result[a], result[b])
                alone = sum(window_count(x, shape, patch, overlap) for x in (result[a], result[b]))
                if window_count(union, shape, patch, overlap) <= alone:
                    result = [x for i, x in enumerate(result) if i not in (a, b)] + [union]
                    merged = True
                    break
            if merged:
                break
    return result


def _union(one: Box, two: Box) -> Box:
    z, y, x = (
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, two, strict=True)
    )
    return z, y, x


def padding(shape: Shape, patch: Shape) -> list[tuple[int, int]]:
    """Voxels to add before and after each axis so that a window fits."""
    missing = [max(0, p - n) for n, p in zip(shape, patch, strict=True)]
    return [(m // 2, m - m // 2) for m in missing]


@lru_cache(maxsize=8)
def gaussian(patch: Shape) -> NDArray[np.float32]:
    """Weight of each voxel of a window: networks are surest in the middle.

    A Gaussian with a standard deviation of an eighth of each side (Isensee et al., nnU-Net,
    Nature Methods 2021), at least 0.001, so that no voxel is without weight.
    """
    profiles = []
    for n in patch:
        place = (np.arange(n) - (n - 1) / 2) / (n / 8)
        profiles.append(np.exp(-0.5 * place**2))
    weight = np.einsum("i,j,k->ijk", *profiles)
    result: NDArray[np.float32] = np.maximum(weight, 1e-3).astype(np.float32)
    result.setflags(write=False)
    return result
