"""Sliding window: a network over overlapping patches of an image, their predictions averaged.

A loop of its own beside `renalis.prediction.strided_windows`, because the shipped model's windows
lie about what was found, are mirrored and go in smaller batches where memory is short;
``test_both_sliding_windows_are_one_to_the_bit`` holds both equal where they do the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box
from renalis.compute_failures import with_freed_memory
from renalis.prediction.options import Mirror
from renalis.prediction.window_mean import WindowMean
from renalis.prediction.windows import Shape, gaussian, padding

__all__ = ["AIR", "THIN", "Network", "SlidingResult", "looks_of", "slide", "worth_looking"]

AIR = -1.0
"""Windowed value of everything below the HU window."""

_TISSUE_SHARE = 1e-3

THIN = 2
"""Every how many voxels the spread of the looks is kept: the shipped network computes at 3 mm."""

_HARDLY = 0.2
"""Highest renal probability in a patch up to which test-time augmentation is skipped."""

_FLIPS: dict[Mirror, tuple[tuple[int, ...], ...]] = {
    Mirror.NONE: (),
    Mirror.LEFT_RIGHT: ((2,),),
    Mirror.FOUR: ((2,), (0, 1), (0, 1, 2)),
    Mirror.ALL: ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)),
}


def looks_of(mirror: Mirror) -> int:
    """How many predictions are averaged, the plain one included."""
    return 1 + len(_FLIPS[mirror])


class Network(Protocol):
    """A network in some runtime."""

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (N, 3, Z, Y, X) of kidney, tumor, cyst for patches (N, C, Z, Y, X).

        The next call may overwrite them.
        """


@dataclass(frozen=True, eq=False)
class SlidingResult:
    """What a network predicts for a bounding box of an image.

    Attributes
    ----------
    probability : ndarray, shape (3, Z, Y, X), float32
        Kidney, tumor, cyst; 0 where no window lay.
    seen : ndarray, shape (Z, Y, X), bool
        Where windows lay.
    windows : int
        Windows computed.
    variance : ndarray, shape (2, z, y, x), float32, or None
        Of the probabilities of anything renal, and of tumor or cyst, over the mirrored looks, at
        every second voxel along each axis (to the nearest voxel); None without mirrored looks.
    fewer : int or None
        Most windows in a batch, where memory did not suffice for ``together``.
    """

    probability: NDArray[np.float32]
    seen: NDArray[np.bool_]
    windows: int
    variance: NDArray[np.float32] | None = None
    fewer: int | None = None


def slide(
    image: NDArray[np.float32],
    network: Network,
    patch: Shape,
    windows: Sequence[Shape],
    *,
    together: int = 1,
    mirror: Mirror = Mirror.NONE,
    progress: Callable[[int, int], None] | None = None,
) -> SlidingResult:
    """Average the network's probabilities over windows, weighted by `gaussian`.

    Parameters
    ----------
    image : ndarray, shape (C, Z, Y, X), float32
        Windowed CT. Where it is smaller than a window it is continued: along Z by its last slices,
        in-plane by air (further channels by 0), as in training.
    network : Network
        Computes a batch of patches.
    patch : tuple of int
        The window's shape.
    windows : sequence
        First voxels of the sliding window's positions in ``image``.
    together : int
        Most windows in a batch. It matters for the predictions where the network normalizes the
        windows of a batch together (`renalis.networks.unet.PooledNorm3d`).
    mirror : Mirror
        Flips to average over (test-time augmentation), of windows in which something is found.
    progress : callable, optional
        Called with windows done and windows in all.

    Raises
    ------
    MemoryError
        If memory does not suffice for a single window. Where it does not for a batch, the rest is
        computed in batches of half as many.
    """
    before = padding(image.shape[1:], patch)
    inner = tuple(slice(first, n + first)
                  for (first, _), n in zip(before, image.shape[1:], strict=True))  # fmt: skip
    image = _continued(image, before)
    depth, height, width = image.shape[1:]
    mean = WindowMean(3, (depth, height, width), gaussian(patch))
    spread = _spread_over((depth, height, width), patch) if _FLIPS[mirror] else None
    done, fewer = 0, None
    ahead = deque(batches(windows, together))
    while ahead:
        batch = ahead.popleft()
        boxes = [
            tuple(slice(s, s + p) for s, p in zip(start, patch, strict=True)) for start in batch
        ]
        patches = np.stack([image[(slice(None), *b)] for b in boxes])
        try:
            probabilities, variances = with_freed_memory(
                partial(_mirrored, network, patches, mirror)
            )
        except MemoryError:
            if len(batch) == 1:
                raise
            fewer = -(-len(batch) // 2)
            ahead = deque(part for each in (batch, *ahead) for part in batches(each, fewer))
            continue
        for start, probability in zip(batch, probabilities, strict=True):
            mean.add(start, probability)
        if spread is not None:
            for (z, y, x), variance in zip(batch, variances, strict=True):
                spread.add((z // THIN, y // THIN, x // THIN), variance)
        done += len(batch)
        if progress is not None:
            progress(done, len(windows))
    seen = mean.seen[inner]
    return SlidingResult(
        mean.mean()[(slice(None), *inner)],
        seen,
        len(windows),
        None if spread is None else spread.mean()[(slice(None), *_thinned(inner))],
        fewer,
    )


def batches(windows: Sequence[Shape], most: int) -> list[Sequence[Shape]]:
    """Windows in as few batches of at most ``most`` as possible, of nearly equal sizes."""
    count = -(-len(windows) // most)
    ends = [round(number * len(windows) / max(count, 1)) for number in range(count + 1)]
    return [windows[a:b] for a, b in pairwise(ends)]


def _continued(image: NDArray[np.float32], widths: list[tuple[int, int]]) -> NDArray[np.float32]:
    """The image made as large as a window."""
    if not any(width for pair in widths for width in pair):
        return image
    in_plane = ((0, 0), widths[1], widths[2])
    fills = [AIR] + [0.0] * (len(image) - 1)
    wide = np.stack(
        [np.pad(c, in_plane, constant_values=fill) for c, fill in zip(image, fills, strict=True)]
    )
    return np.pad(wide, ((0, 0), widths[0], (0, 0), (0, 0)), mode="edge")


def worth_looking(
    image: NDArray[np.float32],
    windows: Sequence[Shape],
    patch: Shape,
    where: NDArray[np.bool_] | None = None,
) -> list[Shape]:
    """Leave out windows of air, and those that touch no voxel of ``where``.

    ``image`` is the windowed CT alone, (Z, Y, X).
    """
    result = []
    for start in windows:
        box: Box = tuple(slice(s, s + p) for s, p in zip(start, patch, strict=True))  # type: ignore[assignment]
        part = image[box]
        tissue = np.count_nonzero(part > AIR + 1e-3) > _TISSUE_SHARE * part.size
        if tissue and (where is None or where[box].any()):
            result.append(start)
    return result


def _spread_over(shape: Shape, patch: Shape) -> WindowMean:
    """Adds the variances of windows up."""
    thin = -(-shape[0] // THIN), -(-shape[1] // THIN), -(-shape[2] // THIN)
    return WindowMean(2, thin, gaussian(patch)[::THIN, ::THIN, ::THIN])


def _thinned(box: Sequence[slice]) -> tuple[slice, ...]:
    """Every second voxel of a box."""
    return tuple(
        slice(side.start // THIN, side.start // THIN - (side.start - side.stop) // THIN)
        for side in box
    )


def _mirrored(
    network: Network, patches: NDArray[np.float32], mirror: Mirror
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Test-time augmentation: mean prediction of the patches and their flips, flipped back.

    Patches in which the first pass finds hardly anything are not computed again.

    Returns
    -------
    mean : ndarray, shape (N, 3, Z, Y, X)
        Over the looks.
    variance : ndarray, shape (N, 2, z, y, x)
        Of what is renal and of what is a lesion, at every second voxel; 0 with a single look.
    """
    flips = _FLIPS[mirror]
    # Windows are many megabytes: what is averaged is added in place, not to copies.
    probability = np.array(network(patches)) if flips else network(patches)
    looks = _Looks.before(probability)
    if not flips:
        return probability, looks.variance
    again = np.array([n for n, p in enumerate(probability) if p.sum(0).max() > _HARDLY], np.intp)
    if not len(again):
        return probability, looks.variance
    everywhere = len(again) == len(patches)
    patches = patches if everywhere else patches[again]
    looks.add(again, probability if everywhere else probability[again])
    for axes in flips:
        turned = tuple(axis + 2 for axis in axes)
        look = np.flip(network(np.ascontiguousarray(np.flip(patches, turned))), turned)
        looks.add(again, look)
        for number, own in zip(again, look, strict=True):
            probability[number] += own
    for number in again:
        probability[number] /= np.float32(1 + len(flips))
    return probability, looks.variance


@dataclass(eq=False)
class _Looks:
    """The running variance of several looks (Welford's way, exact for equal looks)."""

    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    count: int = 0

    @classmethod
    def before(cls, probability: NDArray[np.float32]) -> _Looks:
        """None yet, at patches of (N, 3, Z, Y, X)."""
        thin = [-(-n // THIN) for n in probability.shape[2:]]
        zeros = np.zeros((len(probability), 2, *thin), np.float32)
        return cls(zeros, zeros.copy())

    def add(self, which: NDArray[np.intp], look: NDArray[np.float32]) -> None:
        """One look (M, 3, Z, Y, X) at M of the patches; the same ones each time."""
        thin = look[..., ::THIN, ::THIN, ::THIN]
        lesion = thin[:, 1] + thin[:, 2]
        own = np.stack([thin[:, 0] + lesion, lesion], 1)
        self.count += 1
        off = own - self.mean[which]
        self.mean[which] += off / self.count
        squares = off * (own - self.mean[which])
        self.variance[which] += (squares - self.variance[which]) / self.count
