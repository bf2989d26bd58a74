"""Sliding-window patches of 3D cases, those with tumor more often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from renalis.preparation import PreparedGrid
from renalis.sampling.blocks import block_any, window_starts
from renalis.sampling.sample import Sample, cut
from renalis.sampling.targets import IDENTITY, LabelTable, any_of

__all__ = ["Coverage", "WindowSampler", "window_list"]

Coverage = Literal["full", "code"]


def window_list(
    shape: Sequence[int],
    size: Sequence[int],
    stride: Sequence[int],
    coverage: Coverage = "full",
) -> NDArray[np.int64]:
    """Starts of windows that cover every voxel, or those of a published program, which do not.

    Parameters
    ----------
    shape, size, stride : sequence of int
        Along each axis.
    coverage : {"full", "code"}
        ``"code"``: windows start at every multiple of the stride. One that reaches beyond the end
        is kept if it does so by at most half of its size along any of the axes. The 3D U-Nets on
        KiTS19 were trained so; far corners of most scans are never seen. (The rule was found from
        the shares of voxels that their code leaves out, see the tests.)

    Returns
    -------
    ndarray, shape (N, 3), int64
        The last axis runs fastest.
    """
    starts = _product(_axes(shape, size, stride, coverage))
    return starts[_kept(starts, shape, size, coverage)]


def _axes(
    shape: Sequence[int], size: Sequence[int], stride: Sequence[int], coverage: Coverage
) -> list[NDArray[np.int64]]:
    """Starts along each axis, from whose combinations the windows are taken."""
    each = list(zip(shape, size, stride, strict=True))
    if coverage == "full":
        return [window_starts(*one) for one in each]
    return [np.arange(0, max(n, length), step, dtype=np.int64) for n, length, step in each]


def _product(axes: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def _kept(
    starts: NDArray[np.int64], shape: Sequence[int], size: Sequence[int], coverage: Coverage
) -> NDArray[np.bool_]:
    if coverage == "full":
        return np.ones(len(starts), bool)
    # Scans are first padded to at least one window.
    over = starts + np.array(size) - np.maximum(shape, size)
    little = (over > 0) & (2 * over <= np.array(size))
    return np.asarray((over <= 0).all(axis=1) | little.any(axis=1))


class WindowSampler:
    """Windows of all cases, computed once; ``draw`` takes one of a case.

    Parameters
    ----------
    cases : sequence of PreparedGrid
        Labelled.
    size, stride : tuple of int
        Voxels along (Z, Y, X).
    tumor : sequence of int
        Labels (as stored) whose windows are drawn more often.
    repeat : int
        How many times as often: windows with tumor are in the list so many times.
    table : ndarray, shape (256,)
        From labels to training labels.
    margin : int
        Voxels to add on every side, for a transform that cuts them off again.
    coverage : {"full", "code"}
        See `window_list`.
    regions : sequence of ndarray (Z, Y, X), optional
        A mask per case that goes with the windows as input ``"roi"``, such as the kidneys that a
        first network found.

    Notes
    -----
    Samples have input ``"image"`` (1, Z, Y, X) float32 in HU and target ``"seg"`` (Z, Y, X) uint8;
    beyond the end of a case they hold the grid's fill and background.
    """

    def __init__(
        self,
        cases: Sequence[PreparedGrid],
        size: tuple[int, int, int],
        stride: tuple[int, int, int],
        *,
        tumor: Sequence[int] = (2,),
        repeat: int = 4,
        table: LabelTable = IDENTITY,
        margin: int = 0,
        coverage: Coverage = "full",
        regions: Sequence[NDArray[np.uint8]] | None = None,
    ) -> None:
        self._cases, self._size, self._margin, self._table = list(cases), size, margin, table
        self._regions = regions
        self._stride, self._coverage = stride, coverage
        self._starts: list[NDArray[np.int64]] = []
        self._tumor: list[NDArray[np.bool_]] = []
        self._often: list[NDArray[np.int64]] = []
        for case in self._cases:
            axes = _axes(case.shape, size, stride, coverage)
            every = _product(axes)
            kept = _kept(every, case.shape, size, coverage)
            self._starts.append(every[kept])
            flags = np.zeros(len(self._starts[-1]), bool)
            if case.label is not None:
                flags = block_any(any_of(*tumor)[case.label] > 0, axes, size).ravel()[kept]
            self._tumor.append(flags)
            self._often.append(np.repeat(np.arange(len(flags)), np.where(flags, repeat, 1)))
        self._ends = np.cumsum([len(starts) for starts in self._starts])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, number: int) -> Sample:
        """Each window of each case once, for validation."""
        if not 0 <= number < len(self):
            raise IndexError(f"window {number} of {len(self)}")
        which = int(np.searchsorted(self._ends, number, side="right"))
        return self._read(which, int(number - (self._ends[which - 1] if which else 0)))

    def windows(self, case: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """A case's window starts (N, 3) and whether each holds tumor (N,)."""
        return self._starts[case], self._tumor[case]

    def epoch(self, rng: np.random.Generator, cases_per_batch: int = 2) -> Iterator[list[int]]:
        """One pass over all cases in random order, as lists of case numbers for `draw`."""
        order = rng.permutation(len(self._cases)).tolist()
        for first in range(0, len(order), cases_per_batch):
            yield order[first : first + cases_per_batch]

    def draw(self, rng: np.random.Generator, case: int | None = None) -> Sample:
        """A window of a case, those with tumor ``repeat`` times as likely as each other one."""
        return self[self.number(rng, case)]

    def number(self, rng: np.random.Generator, case: int | None = None) -> int:
        """The number of such a window, for ``self[number]``."""
        which = int(rng.integers(len(self._cases))) if case is None else case
        often = self._often[which]
        return int(often[rng.integers(len(often))] + (self._ends[which - 1] if which else 0))

    def empty(self) -> NDArray[np.bool_]:
        """Whether each window has no training label but background, shape (len(self),)."""
        flags = []
        for case, starts in zip(self._cases, self._starts, strict=True):
            if case.label is None:
                flags.append(np.ones(len(starts), bool))
                continue
            axes = _axes(case.shape, self._size, self._stride, self._coverage)
            kept = _kept(_product(axes), case.shape, self._size, self._coverage)
            flags.append(~block_any(self._table[case.label] > 0, axes, self._size).ravel()[kept])
        return np.concatenate(flags) if flags else np.zeros(0, bool)

    def _read(self, which: int, window: int) -> Sample:
        case, start = self._cases[which], self._starts[which][window]
        first = [int(s) - self._margin for s in start]
        size = [n + 2 * self._margin for n in self._size]
        fill = case.spec.fill_hu
        inputs = {"image": cut(case.image, first, size, fill).astype(np.float32)[None]}
        fills = {"image": float(fill)}
        if self._regions is not None:
            region = cut(self._regions[which], first, size, 0)
            inputs["roi"] = (region > 0).astype(np.float32)[None]
            fills["roi"] = 0.0
        targets = {}
        if case.label is not None:
            targets["seg"] = self._table[cut(case.label, first, size, 0)]
        if case.weights is not None:
            targets["weights"] = cut(case.weights, first, size, 0).astype(np.float32)
        return Sample(
            inputs,
            targets,
            {"case": which, "start": tuple(int(s) for s in start)},
            dict.fromkeys([*inputs, *targets], case.spacing),
            fills,
        )
