"""Where a phase's micro-batches come from: cases, a sampler, an epoch's order, augmentation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.preparation import GridSpec, PreparedCase
from renalis.recipes import sample_fields as fields
from renalis.recipes.system import Phase
from renalis.sampling import (
    PairedSampler,
    PairGeometry,
    Sample,
    SliceSampler,
    WindowSampler,
)
from renalis.systems.changes import Finish, finishing, spatial_margin_mm
from renalis.systems.translate import AXIS, abnormal_labels, target_table
from renalis.training.feed import Arrays

__all__ = ["Feeding", "feeding", "masked_hu"]


class _Cut(Protocol):
    """What the samplers have in common here."""

    def order(self, rng: np.random.Generator) -> list[int]:
        """What an epoch shows, in order."""

    def take(self, number: int, rng: np.random.Generator) -> Sample:
        """One of these samples."""


@dataclass(frozen=True, eq=False)
class Feeding:
    """Micro-batches of a phase.

    Attributes
    ----------
    cut : object
        Gives an epoch's order and its samples.
    finish : callable
        From a sample to network inputs.
    micro_batch : int
        Samples of a micro-batch, before augmented copies.
    seed : int
        Of the order.
    extra, share : object, float
        Synthetic samples, and the part of all that is drawn from them.
    orders : dict
        The order of the epoch at work, by its number.
    """

    cut: _Cut
    finish: Finish
    micro_batch: int
    seed: int
    extra: _Cut | None = None
    share: float = 0.0
    orders: dict[int, list[int]] = field(default_factory=dict)

    @property
    def batches(self) -> int:
        """Micro-batches of an epoch."""
        return math.ceil(len(self._order(0)) / self.micro_batch)

    def __call__(self, epoch: int, index: int, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """One micro-batch; see `renalis.training.feed.BatchSource`."""
        first = index * self.micro_batch
        numbers = self._order(epoch)[first : first + self.micro_batch]
        samples: list[Sample] = []
        for number in numbers:
            if self.extra is not None and rng.random() < self.share:
                other = self.extra.order(rng)
                sample = self.extra.take(other[0], rng)
            else:
                sample = self.cut.take(number, rng)
            samples += self.finish(sample, rng)
        return _stacked([s.inputs for s in samples]), _stacked([s.targets for s in samples])

    def _order(self, epoch: int) -> list[int]:
        # Kept from one micro-batch to the next: an epoch may have hundreds of thousands of samples.
        if epoch not in self.orders:
            self.orders.clear()
            self.orders[epoch] = self.cut.order(np.random.default_rng((self.seed, epoch)))
        return self.orders[epoch]


def feeding(
    phase: Phase,
    cases: Sequence[PreparedCase],
    *,
    seed: int,
    specs: Mapping[str, GridSpec],
    regions: Sequence[NDArray[np.uint8]] | None = None,
    synthetic: tuple[Sequence[PreparedCase], float] | None = None,
    augment: bool = True,
) -> Feeding:
    """The micro-batches of a phase.

    Parameters
    ----------
    phase : Phase
        From the recipe.
    cases : sequence of PreparedCase
        With labels.
    seed : int
        Everything random follows from it.
    specs : mapping of str to GridSpec
        The phase's grids by name, with their final intensities.
    regions : sequence of ndarray (Z, Y, X), optional
        Input mask of each case on the sampler's grid, for a phase that has one.
    synthetic : tuple, optional
        Further cases, and the share of samples that come from them.
    augment : bool
        False for validation: the samples as they are.

    Raises
    ------
    InputError
        If the recipe asks for what this program does not do.
    """
    sampler = phase.sampler
    if sampler.hard_negatives is not None:
        raise InputError(
            f"phase {phase.name}: hard_negatives draws whole samples again, which is not there; "
            "top_k of a loss term does the same for voxels"
        )
    plan = phase.augmentation if augment else None
    mask = phase.input_mask
    fill = None if mask is None else masked_hu(mask.fill, specs[_grid(sampler)])
    shapes: dict[str, tuple[int, ...]] | None = None
    presence: tuple[int, ...] = ()
    if isinstance(sampler, fields.Paired):
        side, out = (sampler.patch,) * 3, (sampler.output,) * 3
        shapes = {"image": side, "low_image": side, "seg": out, "low": out}
        wanted = target_table(phase.target)[list(abnormal_labels(phase.target))]
        presence = tuple(sorted({int(v) for v in wanted}))
    finish = finishing(
        plan, specs[_grid(sampler)], mask_fill=fill, shapes=shapes, presence=presence
    )
    micro = phase.optimisation.micro_batch or phase.optimisation.batch
    own = _cut(phase, cases, regions, plan)
    if synthetic is None or not synthetic[1]:
        return Feeding(own, finish, micro, seed)
    return Feeding(own, finish, micro, seed, _cut(phase, synthetic[0], None, plan), synthetic[1])


def masked_hu(fill: str, spec: GridSpec) -> float:
    """HU outside an input mask: those of water, or the lowest of the grid."""
    return 0.0 if fill == "water" else spec.lowest_hu


def _grid(sampler: fields.Sampler) -> str:
    return sampler.fine if isinstance(sampler, fields.Paired) else sampler.grid


def _cut(
    phase: Phase,
    cases: Sequence[PreparedCase],
    regions: Sequence[NDArray[np.uint8]] | None,
    plan: fields.Augmentation | None,
) -> _Cut:
    sampler = phase.sampler
    if isinstance(sampler, fields.Slices):
        return _Slices.of(phase, sampler, cases, regions)
    if isinstance(sampler, fields.Windows):
        grids = [case.grid(sampler.grid) for case in cases]
        windows = WindowSampler(
            grids,
            sampler.patch,
            sampler.stride,
            tumor=abnormal_labels(phase.target),
            repeat=sampler.tumor_repeat,
            table=target_table(phase.target),
            coverage=sampler.coverage,
        )
        return _Windows(windows, sampler.cases_per_step, sampler.patches_per_case)
    pairs = [(case.grid(sampler.fine), case.grid(sampler.coarse)) for case in cases]
    fine, coarse = pairs[0]
    geometry = PairGeometry(
        sampler.patch, sampler.output, round(coarse.spacing[0] / fine.spacing[0])
    )
    margin = 0.0
    if plan is not None:
        margin = spatial_margin_mm(plan, sampler.patch / 2 * fine.spacing[0])
    limit = sampler.steps_per_epoch
    return _Pairs(
        PairedSampler(
            pairs,
            geometry,
            stride=sampler.stride,
            abnormal=abnormal_labels(phase.target),
            kinds=sampler.kinds,
            table=target_table(phase.target),
            low_table=target_table(sampler.low_target),
            margin_mm=margin,
        ),
        None if limit is None else limit * phase.optimisation.batch,
    )


@dataclass(frozen=True, eq=False)
class _Slices:
    """Slices of one or several planes, as one list."""

    samplers: tuple[SliceSampler, ...]
    shuffle: bool

    @classmethod
    def of(
        cls,
        phase: Phase,
        sampler: fields.Slices,
        cases: Sequence[PreparedCase],
        regions: Sequence[NDArray[np.uint8]] | None,
    ) -> _Slices:
        grids = [case.grid(sampler.grid) for case in cases]
        spec = grids[0].spec
        size = None
        if len(sampler.planes) > 1 or sampler.planes != ("axial",):
            side = spec.slice_size or max(max(grid.shape) for grid in grids)
            size = (-(-side // 32) * 32,) * 2
        within = spec.drop_far_slices
        if sampler.keep == "mask" and regions is None:
            within = 0
        balanced = sampler.keep == "balanced"
        return cls(
            tuple(
                SliceSampler(
                    grids,
                    table=target_table(phase.target),
                    within=within,
                    negatives_per_positive=sampler.negatives_per_positive if balanced else None,
                    regions=regions,
                    inside_region_only=sampler.keep == "mask" and regions is not None,
                    axis=AXIS[plane],
                    size=size,
                )
                for plane in sampler.planes
            ),
            sampler.shuffle,
        )

    def order(self, rng: np.random.Generator) -> list[int]:
        """Slice numbers, those of later planes after those of earlier ones."""
        parts, before = [], 0
        for sampler in self.samplers:
            parts.append(sampler.epoch(rng) + before)
            before += len(sampler)
        every = np.concatenate(parts)
        if len(parts) > 1:
            every = rng.permutation(every)
        return [int(n) for n in (every if self.shuffle else np.sort(every))]

    def take(self, number: int, rng: np.random.Generator) -> Sample:
        """One slice."""
        del rng
        for sampler in self.samplers:
            if number < len(sampler):
                return sampler[number]
            number -= len(sampler)
        raise IndexError("there is no such slice")


@dataclass(frozen=True, eq=False)
class _Windows:
    """Each case once an epoch, so many windows of it."""

    sampler: WindowSampler
    cases_per_step: int
    patches_per_case: int

    def order(self, rng: np.random.Generator) -> list[int]:
        """Case numbers."""
        steps = self.sampler.epoch(rng, self.cases_per_step)
        return [case for step in steps for case in step for _ in range(self.patches_per_case)]

    def take(self, number: int, rng: np.random.Generator) -> Sample:
        """A window of that case."""
        return self.sampler.draw(rng, number)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Balanced pairs."""

    sampler: PairedSampler
    limit: int | None

    def order(self, rng: np.random.Generator) -> list[int]:
        """Pair numbers."""
        return [int(n) for n in self.sampler.epoch(rng, self.limit)]

    def take(self, number: int, rng: np.random.Generator) -> Sample:
        """One pair."""
        del rng
        return self.sampler[number]


def _stacked(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}
