"""Patches of a fine and a coarse grid around the same place, for cascades.

With corner-aligned grids, ``ratio`` fine voxels per coarse one, patches of ``size`` voxels on both
grids and a fine patch that starts at ``s1``, a coarse one at ``s4``, the centers coincide when
``s1 = ratio * s4 + (ratio - 1) * size / 2``: for 1 mm, 4 mm and 108 voxels ``s1 = 4 * s4 + 162``.
The coarse network's valid output of 20 voxels then covers exactly the central 80 fine voxels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.preparation import PreparedGrid
from renalis.sampling.balance import balanced_epoch, draw_balanced
from renalis.sampling.blocks import block_any, snapped_starts
from renalis.sampling.sample import Sample, cut
from renalis.sampling.targets import IDENTITY, LabelTable, any_of

__all__ = ["PairGeometry", "PairedSampler"]

_TOLERANCE_MM = 1e-3


@dataclass(frozen=True)
class PairGeometry:
    """Voxel counts of a pair of patches, the same along each axis.

    Attributes
    ----------
    size : int
        Of both input patches.
    output : int
        Of both output blocks, in the middle of the patches (valid convolutions).
    ratio : int
        Fine voxels per coarse voxel.
    """

    size: int = 108
    output: int = 20
    ratio: int = 4

    def __post_init__(self) -> None:
        if (self.ratio - 1) * self.size % 2 or (self.size - self.output) % 2:
            raise ValueError(f"patches of {self.size} with outputs of {self.output} have no center")

    @property
    def offset(self) -> int:
        """``s1 - ratio * s4`` of patches that share their center."""
        return (self.ratio - 1) * self.size // 2

    @property
    def margin(self) -> int:
        """Voxels that valid convolutions eat on each side."""
        return (self.size - self.output) // 2

    @property
    def remainder(self) -> int:
        """Fine output blocks start at this modulo ``ratio``."""
        return (self.offset + self.margin) % self.ratio

    def coarse_start(self, output_start: int) -> int:
        """``s4`` of the pair whose fine output block starts there.

        Raises
        ------
        ValueError
            If no coarse patch shares the center.
        """
        fine = output_start - self.margin - self.offset
        if fine % self.ratio:
            raise ValueError(f"output blocks start at {self.remainder} modulo {self.ratio}")
        return fine // self.ratio


class PairedSampler:
    """Pairs of patches whose fine output blocks cover every case, balanced by what they hold.

    Parameters
    ----------
    cases : sequence of (fine, coarse) PreparedGrid
        Corner-aligned grids of the same scan (`GridSpec.fit` is ``"spacing"``).
    geometry : PairGeometry
    stride : int
        Between fine output blocks; rounded to the coarse grid.
    abnormal : sequence of int
        Labels of tumor, for ``cls`` and the third kind.
    kinds : {2, 3}
        2: blocks without and with a label, 1:1. 3: without, with labels but none abnormal, with
        abnormal ones, 1:1:1.
    table, low_table : ndarray, shape (256,)
        From labels to training labels, fine and coarse.
    margin_mm : float
        To add on every side of all patches and blocks, for a transform that cuts it off again.

    Notes
    -----
    Samples have inputs ``"image"`` (1 mm patch) and ``"low_image"`` (4 mm patch), (1, Z, Y, X)
    float32 in HU, and targets ``"seg"`` (fine output block), ``"low"`` (coarse output block),
    (Z, Y, X) uint8, and ``"cls"``, (1,) float32: whether the fine output block holds an abnormal
    label. All share their center.
    """

    def __init__(
        self,
        cases: Sequence[tuple[PreparedGrid, PreparedGrid]],
        geometry: PairGeometry | None = None,
        *,
        stride: int = 10,
        abnormal: Sequence[int] = (2,),
        kinds: int = 2,
        table: LabelTable = IDENTITY,
        low_table: LabelTable | None = None,
        margin_mm: float = 0.0,
    ) -> None:
        self._geometry = g = PairGeometry() if geometry is None else geometry
        self._cases, self._abnormal = list(cases), any_of(*abnormal)
        self._table = table
        self._low_table = any_of() if low_table is None else low_table
        if kinds not in (2, 3):
            raise ValueError(f"samples are balanced between 2 or 3 kinds, not {kinds}")
        self._starts: list[tuple[NDArray[np.int64], ...]] = []
        kind = []
        for fine, coarse in self._cases:
            _check(fine, coarse, g.ratio)
            axes = tuple(
                snapped_starts(n, g.output, stride, g.ratio, g.remainder) for n in fine.shape
            )
            self._starts.append(axes)
            if fine.label is None:
                raise ValueError("paired samples need labels")
            block = (g.output,) * 3
            held = block_any(np.asarray(fine.label) > 0, axes, block).astype(np.uint8)
            if kinds == 3:
                held += block_any(self._abnormal[fine.label] > 0, axes, block)
            kind.append(held.ravel())
        self._ends = np.cumsum([len(flags) for flags in kind])
        every = np.concatenate(kind) if kind else np.zeros(0, np.uint8)
        self._kinds = [np.flatnonzero(every == number) for number in range(kinds)]
        coarse_mm = self._cases[0][1].spacing[0] if self._cases else 1.0
        # Whole coarse voxels, so that the patches keep their center.
        self._margin = int(np.ceil(margin_mm / coarse_mm))

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def kinds(self) -> list[NDArray[np.int64]]:
        """Numbers of the pairs of each kind, background first."""
        return self._kinds

    def epoch(self, rng: np.random.Generator, limit: int | None = None) -> NDArray[np.int64]:
        """Pair numbers of one epoch, equally many of each kind."""
        return balanced_epoch(self._kinds, rng, limit)

    def draw(self, rng: np.random.Generator) -> Sample:
        """A pair of any kind, each kind equally likely."""
        return self[draw_balanced(self._kinds, rng)]

    def __getitem__(self, number: int) -> Sample:
        if not 0 <= number < len(self):
            raise IndexError(f"pair {number} of {len(self)}")
        which = int(np.searchsorted(self._ends, number, side="right"))
        place = int(number - (self._ends[which - 1] if which else 0))
        axes = self._starts[which]
        index = np.unravel_index(place, [len(axis) for axis in axes])
        return self.pair(which, [int(axis[i]) for axis, i in zip(axes, index, strict=True)])

    def pair(self, which: int, output_start: Sequence[int]) -> Sample:
        """The pair of a case whose fine output block starts at a voxel of the fine grid."""
        g, (fine, coarse) = self._geometry, self._cases[which]
        start1 = [s - g.margin for s in output_start]
        start4 = [g.coarse_start(s) for s in output_start]
        add4 = self._margin
        add1 = add4 * g.ratio
        image = _block(fine.image, start1, g.size, add1, fine.spec.fill_hu)
        low_image = _block(coarse.image, start4, g.size, add4, coarse.spec.fill_hu)
        if fine.label is None or coarse.label is None:
            raise ValueError("paired samples need labels")
        seg = _block(fine.label, list(output_start), g.output, add1, 0)
        low = _block(coarse.label, [s + g.margin for s in start4], g.output, add4, 0)
        core = (slice(add1, add1 + g.output),) * 3
        abnormal = bool(self._abnormal[seg[core]].any())
        spacing: Mapping[str, tuple[float, ...]] = {
            "image": fine.spacing,
            "low_image": coarse.spacing,
            "seg": fine.spacing,
            "low": coarse.spacing,
        }
        return Sample(
            {
                "image": image.astype(np.float32)[None],
                "low_image": low_image.astype(np.float32)[None],
            },
            {
                "seg": self._table[seg],
                "low": self._low_table[low],
                "cls": np.array([abnormal], np.float32),
            },
            {"case": which, "start": tuple(output_start), "low_start": tuple(start4)},
            spacing,
            {"image": fine.spec.fill_hu, "low_image": coarse.spec.fill_hu},
        )


def _block(
    array: NDArray[np.generic], start: Sequence[int], size: int, add: int, fill: float
) -> NDArray[np.generic]:
    return cut(array, [s - add for s in start], (size + 2 * add,) * 3, fill)


def _check(fine: PreparedGrid, coarse: PreparedGrid, ratio: int) -> None:
    """Grids that do not lie on each other would teach the network a shift."""
    first = coarse.volume.world(np.zeros(3))
    middle = fine.volume.world(np.full(3, (ratio - 1) / 2))
    steps = coarse.affine[:3, :3] - ratio * fine.affine[:3, :3]
    if np.abs(first - middle).max() > _TOLERANCE_MM or np.abs(steps).max() > _TOLERANCE_MM:
        raise ValueError(
            f"the grids {fine.spec.name} and {coarse.spec.name} do not share a corner at "
            f"1:{ratio}: prepare both without crop_body"
        )
