"""The samplers of a recipe: an epoch's order of numbered samples, and each sample by number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.plugins import SAMPLERS, Addition
from renalis.preparation import PreparedCase
from renalis.recipes import sample_fields as fields
from renalis.recipes.system import Stage
from renalis.sampling import (
    PairedSampler,
    PairGeometry,
    Sample,
    SliceSampler,
    WindowSampler,
)
from renalis.systems.augmentation import spatial_margin_mm
from renalis.systems.recipe_grids import AXIS, abnormal_labels, target_table

__all__ = ["CaseSampler", "register_sampler", "sampler_of"]

_Maker = TypeVar("_Maker", bound=Callable[..., Any])


class CaseSampler(Protocol):
    """What the samplers have in common here."""

    def order(self, rng: np.random.Generator) -> list[int]:
        """What an epoch shows, in order; in every epoch as many."""

    def take(self, number: int, rng: np.random.Generator) -> Sample:
        """One of these samples."""

    def negative(self) -> NDArray[np.bool_]:
        """Whether each sample, by its number, is without foreground."""


def sampler_of(
    stage: Stage,
    cases: Sequence[PreparedCase],
    regions: Sequence[NDArray[np.uint8]] | None,
    plan: fields.Augmentation | None,
) -> CaseSampler:
    """A stage's sampler on these cases.

    Parameters
    ----------
    stage : Stage
        From the recipe.
    cases : sequence of PreparedCase
        With labels.
    regions : sequence of ndarray (Z, Y, X), optional
        Input mask of each case, for a stage that has one.
    plan : Augmentation or None
        For the margin that its transforms need.
    """
    sampler = stage.sampler
    if isinstance(sampler, fields.SamplerOptions):
        return _other(stage, sampler, cases, regions)
    if isinstance(sampler, fields.Slices):
        return _Slices.of(stage, sampler, cases, regions)
    if isinstance(sampler, fields.Windows):
        return _windows(stage, sampler, cases, regions)
    assert isinstance(sampler, fields.Paired), (
        "patches have no list, see `renalis.systems.patch_batches`"
    )
    return _pairs(stage, sampler, cases, plan)


def register_sampler(
    name: str, *, options: type[fields.SamplerOptions]
) -> Callable[[_Maker], _Maker]:
    """Make a sampler known to recipes.

    Parameters
    ----------
    name : str
        What a recipe calls it, in the field ``kind``.
    options : type
        Its fields.

    Returns
    -------
    callable
        Decorates what makes a `CaseSampler`: a class or function that takes the options, the
        grids of the cases (`renalis.preparation.PreparedGrid`), the table from labels to the
        classes of the stage (256, uint8), and the input masks of the cases, or None.

    Raises
    ------
    ValueError
        If the name is taken.
    """

    def remember(make: _Maker) -> _Maker:
        SAMPLERS.add(Addition(name, make, options))
        return make

    return remember


def _other(
    stage: Stage,
    sampler: fields.SamplerOptions,
    cases: Sequence[PreparedCase],
    regions: Sequence[NDArray[np.uint8]] | None,
) -> CaseSampler:
    """Of another package."""
    grids = [case.grid(sampler.grid) for case in cases]
    made: CaseSampler = SAMPLERS.find(sampler.kind).make(
        sampler, grids, target_table(stage.target), regions
    )
    return _Checked(made, sampler, len(made.order(np.random.default_rng(0))))


def _windows(
    stage: Stage,
    sampler: fields.Windows,
    cases: Sequence[PreparedCase],
    regions: Sequence[NDArray[np.uint8]] | None,
) -> CaseSampler:
    windows = WindowSampler(
        [case.grid(sampler.grid) for case in cases],
        sampler.patch,
        sampler.stride,
        tumor=abnormal_labels(stage.target),
        repeat=sampler.tumor_repeat,
        table=target_table(stage.target),
        coverage=sampler.coverage,
        regions=regions,
    )
    numbered = sampler.hard_negatives is not None
    return _Windows(windows, sampler.cases_per_step, sampler.patches_per_case, numbered)


def _pairs(
    stage: Stage,
    sampler: fields.Paired,
    cases: Sequence[PreparedCase],
    plan: fields.Augmentation | None,
) -> CaseSampler:
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
            abnormal=abnormal_labels(stage.target),
            kinds=sampler.kinds,
            table=target_table(stage.target),
            low_table=target_table(sampler.low_target),
            margin_mm=margin,
        ),
        None if limit is None else limit * stage.optimisation.batch,
    )


@dataclass(frozen=True, eq=False)
class _Checked:
    """Another package's sampler, held to what the training relies on."""

    sampler: CaseSampler
    options: fields.SamplerOptions
    count: int

    def order(self, rng: np.random.Generator) -> list[int]:
        """As many as ever."""
        order = [int(number) for number in self.sampler.order(rng)]
        if len(order) != self.count:
            raise InputError(
                f"the sampler {self.options.kind} shows {len(order)} samples in one epoch and "
                f"{self.count} in another; mend it, all epochs are of one length"
            )
        return order

    def take(self, number: int, rng: np.random.Generator) -> Sample:
        """One of the size that the recipe says."""
        sample = self.sampler.take(number, rng)
        size = sample.inputs["image"].shape[1:]
        if size != self.options.patch:
            raise InputError(
                f"the sampler {self.options.kind} gives samples of {size}, where sampler.patch is "
                f"{self.options.patch}; set sampler.patch so"
            )
        return sample

    def negative(self) -> NDArray[np.bool_]:
        """See `CaseSampler`."""
        return self.sampler.negative()


@dataclass(frozen=True, eq=False)
class _Slices:
    """Slices of one or several planes, as one list."""

    samplers: tuple[SliceSampler, ...]
    shuffle: bool

    @classmethod
    def of(
        cls,
        stage: Stage,
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
                    table=target_table(stage.target),
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

    def negative(self) -> NDArray[np.bool_]:
        """Slices without a training label."""
        return ~np.concatenate([sampler.positive for sampler in self.samplers])


@dataclass(frozen=True, eq=False)
class _Windows:
    """Each case once an epoch, so many windows of it.

    ``numbered``: which windows they are is known when the epoch begins, not when they are taken.
    """

    sampler: WindowSampler
    cases_per_step: int
    patches_per_case: int
    numbered: bool

    def order(self, rng: np.random.Generator) -> list[int]:
        """Case numbers, or window numbers."""
        steps = self.sampler.epoch(rng, self.cases_per_step)
        cases = [case for step in steps for case in step for _ in range(self.patches_per_case)]
        return [self.sampler.number(rng, case) for case in cases] if self.numbered else cases

    def take(self, number: int, rng: np.random.Generator) -> Sample:
        """A window of that case, or that window."""
        return self.sampler[number] if self.numbered else self.sampler.draw(rng, number)

    def negative(self) -> NDArray[np.bool_]:
        """Windows without a training label."""
        return self.sampler.empty()


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

    def negative(self) -> NDArray[np.bool_]:
        """Pairs whose fine output holds no label."""
        flags = np.zeros(len(self.sampler), bool)
        flags[self.sampler.kinds[0]] = True
        return flags
