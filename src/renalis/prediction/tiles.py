"""Tiles of valid convolutions: each gives a block in the middle of what it sees.

Çiçek et al.'s 3D U-Net without padding turns 108 voxels into 20: `margin` 44 are lost on each
side. Tiles lie side by side without overlap. With a second, coarser grid (Humpire-Mamani et al.,
2019; recipes ``cascade3d``, ``multires3d``) a coarse patch of as many voxels shares the tile's
center, and its own output covers the middle of the fine patch exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.postprocessing.morphology import dilated
from renalis.prediction.network_inputs import Answers, BatchNetwork
from renalis.prediction.padded_patches import Prepare, Progress, as_float, batches, cut, inner
from renalis.prediction.windows import Shape

__all__ = ["Pairing", "Tiled", "low_mask", "predict_pairs", "predict_valid", "tile_starts"]


@dataclass(frozen=True, eq=False)
class Tiled:
    """What tiles say.

    Attributes
    ----------
    probability : ndarray, shape (K, Z, Y, X), float32
        Stitched blocks; background where no tile was computed or was allowed to speak.
    computed, of : int
        Tiles computed, and tiles that cover the image.
    scores : ndarray, shape (computed,), float32
        Output ``cls`` of each tile, or nothing when the network has none.
    starts : tuple of Shape
        First voxel of each computed tile's block.
    """

    probability: NDArray[np.float32]
    computed: int
    of: int
    scores: NDArray[np.float32]
    starts: tuple[Shape, ...]


@dataclass(frozen=True)
class Pairing:
    """How a fine and a coarse grid lie to each other.

    Attributes
    ----------
    ratio : int
        Fine voxels per coarse voxel.
    corner : tuple of int
        Fine index of the outer corner of coarse voxel 0: coarse voxel ``i`` covers fine voxels
        ``corner + ratio * i`` to ``corner + ratio * (i + 1) - 1``.
    """

    ratio: int = 4
    corner: Shape = (0, 0, 0)

    @classmethod
    def of(
        cls, fine: NDArray[np.float64], coarse: NDArray[np.float64], tolerance: float = 1e-3
    ) -> Pairing:
        """Read the pairing off two grids' affines.

        Raises
        ------
        ValueError
            If a coarse voxel does not cover a whole number of fine ones: two grids that share the
            center of voxel 0 are shifted by 1.5 fine voxels, and every tile would be too.
        """
        step = np.linalg.inv(fine) @ coarse
        ratio = round(float(step[0, 0]))
        wanted = np.diag([ratio] * 3).astype(float)
        corner = step[:3, 3] + 0.5 - ratio / 2
        whole = np.rint(corner)
        if (
            ratio < 1
            or np.abs(step[:3, :3] - wanted).max() > tolerance
            or np.abs(corner - whole).max() > tolerance * 10
        ):
            raise ValueError("the coarse grid's voxels do not cover whole voxels of the fine grid")
        return cls(ratio, (int(whole[0]), int(whole[1]), int(whole[2])))

    def coarse_start(self, block: Shape, tile: int, margin: int) -> Shape:
        """First voxel of the coarse patch that shares its center with a tile's fine patch."""
        half = (tile + 2 * margin) // 2
        z, y, x = (
            (b - margin + half - c) // self.ratio - half
            for b, c in zip(block, self.corner, strict=True)
        )
        return z, y, x

    def first_block(self, tile: int) -> Shape:
        """First voxel of the first tile's block: at most 0, and centered on a coarse corner.

        With ``corner`` 0 and ratio 4 blocks of 20 start at 2 modulo 4, here at -2.
        """
        if tile % 2 or tile % self.ratio:
            raise ValueError(f"tiles of {tile} voxels do not keep step with {self.ratio} to one")
        z, y, x = (-((tile // 2 - c) % self.ratio) for c in self.corner)
        return z, y, x


def tile_starts(length: int, tile: int, first: int = 0) -> list[int]:
    """First voxels of the blocks that cover an axis side by side.

    Examples
    --------
    >>> tile_starts(50, 20, -2)
    [-2, 18, 38]
    """
    if tile < 1 or first > 0:
        raise ValueError("tiles have a size, and the first starts at or before voxel 0")
    return list(range(first, length, tile))


def predict_valid(
    image: NDArray[Any],
    network: BatchNetwork,
    *,
    tile: int = 20,
    margin: int = 44,
    output: str = "seg",
    within: NDArray[np.bool_] | None = None,
    near: NDArray[np.bool_] | None = None,
    background: int | None = 0,
    fill: float = 0.0,
    batch: int = 1,
    prepare: Prepare = as_float,
    progress: Progress | None = None,
) -> Tiled:
    """Stitch the blocks of a network of valid convolutions that sees one grid.

    Parameters
    ----------
    image : ndarray, shape (Z, Y, X)
        Stored voxels, not padded.
    network : BatchNetwork
        Computes (N, 1, S, S, S) with S = tile + 2 margin to ``output`` (N, K, tile, tile, tile).
    tile, margin : int
        Voxels of a block along each axis, and voxels lost on each side.
    output : str
        Which of the network's outputs to stitch.
    within : ndarray, shape (Z, Y, X), bool, optional
        Where tiles may speak. Elsewhere the result is background, and tiles that meet none of it
        are not computed.
    near : ndarray, shape (Z, Y, X), bool, optional
        Only tiles that meet it are computed, and speak as wholes; elsewhere is background.
    background : int or None
        The class that gets probability 1 where no tile may speak; None: no class.
    fill : float
        Input beyond the image: the input of air.
    batch, prepare, progress
        As in `predict_windows`.
    """

    def compute(group: Sequence[Shape]) -> Answers:
        inputs = [_around(image, start, tile, margin, fill, prepare) for start in group]
        return network(np.stack(inputs)[:, None])

    starts = _grid_of_tiles(image.shape, tile, (0, 0, 0))
    return _stitch(
        image.shape, starts, tile, compute, output, (within, near), background, batch, progress
    )


def predict_pairs(
    fine: NDArray[Any],
    coarse: NDArray[Any],
    network: BatchNetwork,
    pairing: Pairing,
    *,
    tile: int = 20,
    margin: int = 44,
    output: str = "seg",
    within: NDArray[np.bool_] | None = None,
    near: NDArray[np.bool_] | None = None,
    background: int | None = 0,
    fill: float = 0.0,
    batch: int = 1,
    prepare: Prepare = as_float,
    progress: Progress | None = None,
) -> Tiled:
    """Stitch the blocks of a network that sees a fine and a coarse patch with one center.

    Parameters
    ----------
    fine, coarse : ndarray, shape (Z, Y, X)
        Stored voxels of both grids, not padded.
    network : BatchNetwork
        Computes two inputs (N, 1, S, S, S), fine and coarse, to ``output`` on the fine block, and
        maybe ``cls`` (N, 1).
    pairing : Pairing
        How the grids lie to each other.
    within : ndarray, shape (Z, Y, X) of the fine grid, bool, optional
        See `predict_valid` and `low_mask`. A tile that meets none of it could only be erased: the
        result is the same as if it had been computed, at a small part of the cost.
    tile, margin, output, near, background, fill, batch, prepare, progress
        As in `predict_valid`; ``fill`` and ``prepare`` serve both grids.
    """
    size = (tile + 2 * margin,) * 3

    def compute(group: Sequence[Shape]) -> Answers:
        near = [_around(fine, start, tile, margin, fill, prepare) for start in group]
        wide = [
            cut(coarse, pairing.coarse_start(start, tile, margin), size, fill, prepare)
            for start in group
        ]
        return network(np.stack(near)[:, None], np.stack(wide)[:, None])

    starts = _grid_of_tiles(fine.shape, tile, pairing.first_block(tile))
    return _stitch(
        fine.shape, starts, tile, compute, output, (within, near), background, batch, progress
    )


def low_mask(
    low: NDArray[np.float32],
    pairing: Pairing,
    shape: tuple[int, ...],
    *,
    at: float = 0.5,
    iterations: int = 10,
) -> NDArray[np.bool_]:
    """Where the coarse grid allows labels on the fine one.

    Parameters
    ----------
    low : ndarray, shape (Z, Y, X), float32
        Probability of kidney with everything in it, on the coarse grid.
    pairing : Pairing
        How the grids lie to each other.
    shape : tuple of int
        The fine grid's.
    at : float
        Threshold ("greater than").
    iterations : int
        Dilations with 6 neighbors, each one fine voxel.

    Returns
    -------
    ndarray, shape ``shape``, bool
    """
    index = [
        (np.arange(n) - c) // pairing.ratio for n, c in zip(shape, pairing.corner, strict=True)
    ]
    inside = [(i >= 0) & (i < n) for i, n in zip(index, low.shape, strict=True)]
    picks = [np.clip(i, 0, n - 1) for i, n in zip(index, low.shape, strict=True)]
    mask = (low > at)[np.ix_(*picks)] & inside[0][:, None, None] & inside[1][:, None] & inside[2]
    return dilated(mask, iterations)


def _grid_of_tiles(shape: Sequence[int], tile: int, first: Shape) -> list[Shape]:
    z, y, x = (tile_starts(n, tile, f) for n, f in zip(shape, first, strict=True))
    return list(product(z, y, x))


def _around(
    image: NDArray[Any], start: Shape, tile: int, margin: int, fill: float, prepare: Prepare
) -> NDArray[np.float32]:
    """What a network has to see to predict a block."""
    return cut(image, [s - margin for s in start], (tile + 2 * margin,) * 3, fill, prepare)


def _meeting(
    masks: Sequence[NDArray[np.bool_] | None],
    starts: list[Shape],
    size: Shape,
    shape: tuple[int, ...],
) -> list[Shape]:
    """The tiles that meet every mask that there is."""
    chosen = starts
    for mask in masks:
        if mask is None:
            continue
        if mask.shape != shape:
            raise ValueError(f"the mask has shape {mask.shape}, the image {shape}")
        chosen = [s for s in chosen if mask[inner(s, size, shape)[0]].any()]
    return chosen


def _stitch(
    shape: tuple[int, ...],
    starts: list[Shape],
    tile: int,
    compute: Callable[[Sequence[Shape]], Answers],
    output: str,
    masks: tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None],
    background: int | None,
    batch: int,
    progress: Progress | None,
) -> Tiled:
    """Compute the tiles that meet both masks and lay their blocks side by side."""
    size = (tile, tile, tile)
    within = masks[0]
    chosen = _meeting(masks, starts, size, shape)
    # Without any tile the number of classes is still the network's: ask it once, and forget.
    asked = chosen or starts[:1]
    result: NDArray[np.float32] | None = None
    scores: list[NDArray[np.float32]] = []
    for number, group in enumerate(batches(asked, batch)):
        outputs = compute(group)
        blocks = outputs[output]
        if blocks.shape[2:] != size:
            raise ValueError(f"a tile should give {size} voxels, it gave {blocks.shape[2:]}")
        if result is None:
            result = np.zeros((blocks.shape[1], *shape), np.float32)
            if background is not None:
                result[background] = 1
        if not chosen:
            break
        if "cls" in outputs:
            scores.append(outputs["cls"].reshape(-1))
        for start, block in zip(group, blocks, strict=True):
            there, here = inner(start, size, shape)
            target, value = result[(slice(None), *there)], block[(slice(None), *here)]
            if within is None:
                target[...] = value
            else:
                np.copyto(target, value, where=within[there])
        if progress is not None:
            progress(min((number + 1) * batch, len(chosen)), len(chosen))
    assert result is not None
    every = np.concatenate(scores) if scores else np.zeros(0, np.float32)
    return Tiled(result, len(chosen), len(starts), every, tuple(chosen))
