"""Where the networks' windows lie, and how much each voxel of a window counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box, around_all

__all__ = [
    "Shape",
    "WindowGrid",
    "around_windows",
    "as_many_voxels",
    "fewest_voxels",
    "gaussian",
    "merge_boxes",
    "moved_windows",
    "padding",
    "regular_windows",
    "windows_around",
    "windows_over",
    "windows_over_boxes",
]

_CELL = 1 / 2
"""Share of a window's sides around its middle that windows half their side apart share out among
them: in it, no other window counts more (`gaussian`)."""

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class WindowGrid:
    """Where sliding windows may begin: at ``origin`` plus whole multiples of ``stride``.

    A network that downsamples by 2 at each level predicts something else for a window moved by
    less than all its strides together.

    Attributes
    ----------
    stride : int
        All strides of the network together, in voxels.
    origin : tuple of int
        Along Z, Y, X, in voxels of the grid.
    """

    stride: int = 1
    origin: Shape = (0, 0, 0)

    @classmethod
    def of(cls, affine: NDArray[np.float64], stride: int) -> WindowGrid:
        """The starts on a grid, at the same voxels of the patient however the scan was cut.

        Parameters
        ----------
        affine : ndarray, shape (4, 4)
            Of the grid, mm.
        stride : int
            In voxels.
        """
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        corner = affine[:3, 3] - affine[:3, :3] @ np.full(3, 0.5)
        begin = np.rint(corner @ (affine[:3, :3] / spacing) / spacing).astype(int)
        z, y, x = (int(n) for n in -begin % stride)
        return cls(stride, (z, y, x))


ANYWHERE = WindowGrid()


def starts(
    first: int, last: int, length: int, patch: int, overlap: float, stride: int = 1, origin: int = 0
) -> list[int]:
    """First voxels of the windows that cover ``first`` to ``last`` of an axis.

    Windows stay inside the axis where it is long enough, and use what is adjacent to the
    range instead of leaving it out: a network sees more, at no cost. They begin at ``origin`` plus
    whole multiples of ``stride``, except where that would reach beyond the axis.
    """
    if length <= patch:
        return [0]
    begin = (first - origin) // stride * stride + origin
    end = -(-(last - patch - origin) // stride) * stride + origin
    if end <= begin:
        middle = round(((first + last - patch) / 2 - origin) / stride) * stride + origin
        places = [min(max(middle, end), begin)]
    else:
        step = max(int(patch * (1 - overlap)) // stride, 1) * stride
        count = math.ceil((end - begin) / step) + 1
        even = [(end - begin) * number / (count - 1) for number in range(count)]
        places = [begin + round(place / stride) * stride for place in even]
    return sorted({min(max(place, 0), length - patch) for place in places})


def windows_over(
    box: Box, shape: Shape, patch: Shape, overlap: float, grid: WindowGrid = ANYWHERE
) -> list[Shape]:
    """First voxels of the windows that cover a box of an array of shape ``shape``."""
    z, y, x = _starts_along(box, shape, patch, overlap, grid)
    return [(i, j, k) for i in z for j in y for k in x]


def _starts_along(
    box: Box, shape: Shape, patch: Shape, overlap: float, grid: WindowGrid
) -> list[list[int]]:
    """First voxels along each axis of the windows that cover a box."""
    return [
        starts(b.start, b.stop, n, p, overlap, grid.stride, origin)
        for b, n, p, origin in zip(box, shape, patch, grid.origin, strict=True)
    ]


def windows_over_boxes(
    boxes: Iterable[Box], shape: Shape, patch: Shape, overlap: float, grid: WindowGrid = ANYWHERE
) -> list[Shape]:
    """Windows that cover several boxes, each window once, boxes joined where that saves some."""
    merged = merge_boxes(boxes, shape, patch, overlap, grid)
    return sorted({one for box in merged for one in windows_over(box, shape, patch, overlap, grid)})


def fewest_voxels(
    boxes: Sequence[Box],
    shape: Shape,
    patch: Shape,
    overlap: float,
    grid: WindowGrid = ANYWHERE,
    longer: float = 0.0,
) -> tuple[Shape, list[Shape]]:
    """Windows over several boxes as in `windows_over_boxes`, of the shape that computes least.

    A box that is a little longer than a window, or begins a little before the place where one may
    begin, takes two that lie over each other almost wholly. One that is longer by a stride or two
    computes little more than half of their voxels.

    Parameters
    ----------
    boxes : sequence of Box
        What has to be covered, in voxels of the grid.
    shape, patch : tuple of int
        Of the grid, and of the windows that the network was made for.
    overlap : float
        Share of a window that its neighbor covers as well.
    grid : WindowGrid
        Where windows may begin.
    longer : float
        By how much of its length each side may grow, in whole strides; never beyond the grid.

    Returns
    -------
    patch : tuple of int
        The windows' shape, one for all: those of a scan may be normalized together.
    windows : list
        Their first voxels.
    """
    sides = [
        [p, *range(p + grid.stride, min(n, int(p * (1 + longer))) + 1, grid.stride)]
        if grid.stride > 1
        else [p]
        for n, p in zip(shape, patch, strict=True)
    ]
    best: tuple[int, int, Shape, list[Shape]] | None = None
    for z, y, x in product(*sides):
        windows = windows_over_boxes(boxes, shape, (z, y, x), overlap, grid)
        size = z * y * x
        if best is None or (len(windows) * size, size) < best[:2]:
            best = len(windows) * size, size, (z, y, x), windows
    assert best is not None
    return best[2], best[3]


def as_many_voxels(windows: int, patch: Shape, longer: Shape) -> int:
    """How many longer windows have no more voxels than ``windows`` of ``patch``; at least one."""
    return max(1, windows * math.prod(patch) // math.prod(longer))


def merge_boxes(
    boxes: Iterable[Box], shape: Shape, patch: Shape, overlap: float, grid: WindowGrid = ANYWHERE
) -> list[Box]:
    """Join boxes wherever that needs no more windows than each alone."""

    def count(box: Box) -> int:
        return math.prod(map(len, _starts_along(box, shape, patch, overlap, grid)))

    result = list(boxes)
    alone = [count(box) for box in result]
    merged = True
    while merged:
        merged = False
        for a in range(len(result)):
            for b in range(a + 1, len(result)):
                union = around_all((result[a], result[b]))
                together = count(union)
                if together <= alone[a] + alone[b]:
                    left = [i for i in range(len(result)) if i not in (a, b)]
                    result = [*(result[i] for i in left), union]
                    alone = [*(alone[i] for i in left), together]
                    merged = True
                    break
            if merged:
                break
    return result


def regular_windows(shape: Shape, patch: Shape) -> list[Shape]:
    """Windows over a whole grid, evenly, at most half their side apart, as nnU-Net lays them.

    That is ``compute_steps_for_sliding_window`` of nnU-Net v2 with a step of 0.5; where the grid is
    a window and a multiple of half a window long, MONAI's ``sliding_window_inference`` with an
    overlap of 0.5 lays the same.
    """
    sides = []
    for n, p in zip(shape, patch, strict=True):
        count = math.ceil(max(n - p, 0) / (p * 0.5)) + 1
        step = max(n - p, 0) / max(count - 1, 1)
        sides.append([round(step * number) for number in range(count)])
    z, y, x = sides
    return [(i, j, k) for i in z for j in y for k in x]


def windows_around(
    windows: Iterable[Shape],
    where: NDArray[np.bool_],
    shape: Shape,
    patch: Shape,
    ratio: tuple[float, ...],
) -> list[Shape]:
    """The windows of a regular grid that have something in their middle half; all where none has.

    Every voxel of ``where`` lies in the middle half of a window that stays, the one that counts
    most there (`gaussian`). With fewer windows, some of these voxels are left to the border of
    another one: nearly a fifth of a scan's tumor became kidney.

    Parameters
    ----------
    windows : iterable
        First voxels of windows in a grid.
    where : ndarray, shape (Z, Y, X), bool
        On a grid with the same first corner and larger voxels.
    shape, patch : tuple of int
        Of the windows' grid, and of a window.
    ratio : tuple of float
        Spacing of ``where`` divided by the windows'.
    """
    windows = list(windows)
    return [w for w in windows if where[_middle(w, shape, patch, ratio)].any()] or windows


def _middle(window: Shape, shape: Shape, patch: Shape, ratio: tuple[float, ...]) -> Box:
    """A window's middle half in larger voxels; at the grid's border all of it on that side."""
    sides = []
    for start, n, p, r in zip(window, shape, patch, ratio, strict=True):
        low = start + p * (1 - _CELL) / 2 if start > 0 else 0
        high = start + p * (1 + _CELL) / 2 if start + p < n else n
        sides.append(slice(math.floor(low / r), math.ceil(high / r)))
    z, y, x = sides
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


def moved_windows(windows: Iterable[Shape], into: Box) -> list[Shape]:
    """First voxels of windows of a grid in the part ``into`` of that grid."""
    z, y, x = (side.start for side in into)
    return [(a - z, b - y, c - x) for a, b, c in windows]


def around_windows(windows: Sequence[Shape], shape: Shape, patch: Shape) -> Box:
    """The box around windows of this patch, inside a grid of this shape."""
    first = np.min(windows, axis=0)
    last = np.minimum(np.max(windows, axis=0) + patch, shape)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return z, y, x
