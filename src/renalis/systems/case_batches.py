"""Micro-batches of a stage from cases: sampler, order of an epoch, augmentation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.preparation import GridSpec, PreparedCase
from renalis.recipes import sample_fields as fields
from renalis.recipes.system import Stage
from renalis.sampling import Sample, with_hard
from renalis.systems.augmentation import SampleTransform, sample_transform
from renalis.systems.recipe_grids import abnormal_labels, target_table
from renalis.systems.samplers import CaseSampler, sampler_of
from renalis.training.hard_samples import SAMPLE, HardSampleBatches, SampleLosses
from renalis.training.micro_batches import Arrays, BatchSource

__all__ = ["CaseBatches", "SyntheticCases", "case_batches", "masked_hu"]


@dataclass(frozen=True, eq=False)
class SyntheticCases:
    """Synthetic cases that join a stage's own.

    Attributes
    ----------
    cases : sequence of PreparedCase
        With labels.
    share : float
        The part of all samples that comes from them.
    regions : sequence of ndarray (Z, Y, X), optional
        Their input masks, for a stage that has one.
    """

    cases: Sequence[PreparedCase]
    share: float
    regions: Sequence[NDArray[np.uint8]] | None = None


@dataclass(frozen=True, eq=False)
class _Hard:
    """Which negatives are drawn again.

    Attributes
    ----------
    plan : HardNegatives
        From the recipe.
    negative : ndarray of bool
        Whether each sample is one, by its number.
    ascending : bool
        Samples stay in the order of their numbers.
    """

    plan: fields.HardNegatives
    negative: NDArray[np.bool_]
    ascending: bool

    def drawn(
        self, order: list[int], epoch: int, losses: SampleLosses, rng: np.random.Generator
    ) -> list[int]:
        """An epoch's order with the hardest negatives of the one before."""
        if epoch < self.plan.from_epoch:
            return order
        changed = with_hard(
            np.array(order), self.negative, losses.hardest(), self.plan.share, rng
        ).tolist()
        return sorted(changed) if self.ascending else changed


@dataclass(frozen=True, eq=False)
class CaseBatches:
    """Micro-batches of a stage.

    Attributes
    ----------
    cut : object
        Gives an epoch's order and its samples.
    transform : callable
        From a sample to network inputs.
    micro_batch : int
        Samples of a micro-batch, before augmented copies.
    seed : int
        Of the order.
    extra, share : object, float
        Synthetic samples, and the part of all that is drawn from them.
    hard : object, optional
        Which negatives are drawn again. Targets then say which samples they are, see
        `renalis.training.hard_samples`.
    losses : SampleLosses
        Of the epoch before.
    orders : dict
        The order of the epoch at work, by its number.
    """

    cut: CaseSampler
    transform: SampleTransform
    micro_batch: int
    seed: int
    extra: CaseSampler | None = None
    share: float = 0.0
    hard: _Hard | None = None
    losses: SampleLosses = field(default_factory=lambda: SampleLosses.of([]))
    orders: dict[int, list[int]] = field(default_factory=dict)

    @property
    def batches(self) -> int:
        """Micro-batches of an epoch."""
        return math.ceil(len(self._order(0)) / self.micro_batch)

    def after(self, losses: SampleLosses) -> CaseBatches:
        """The same for the epoch after one with these losses."""
        return replace(self, losses=losses, orders={})

    @property
    def source(self) -> BatchSource | HardSampleBatches:
        """What the engine trains with."""
        return self if self.hard is None else HardSampleBatches(self.after)

    def __call__(self, epoch: int, index: int, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """One micro-batch; see `renalis.training.micro_batches.BatchSource`."""
        first = index * self.micro_batch
        numbers = self._order(epoch)[first : first + self.micro_batch]
        samples: list[Sample] = []
        shown: list[int] = []
        for number in numbers:
            known = number
            if self.extra is not None and rng.random() < self.share:
                other = self.extra.order(rng)
                sample, known = self.extra.take(other[0], rng), -1
            else:
                sample = self.cut.take(number, rng)
            finished = self.transform(sample, rng)
            samples += finished
            shown += [known] * len(finished)
        inputs, targets = ([getattr(s, side) for s in samples] for side in ("inputs", "targets"))
        if self.hard is None:
            return _stacked(inputs), _stacked(targets)
        ranked = [n if n >= 0 and self.hard.negative[n] else -1 for n in shown]
        return _stacked(inputs), {**_stacked(targets), SAMPLE: np.array(ranked, np.int64)}

    def _order(self, epoch: int) -> list[int]:
        # Kept from one micro-batch to the next: an epoch may have hundreds of thousands of samples.
        if epoch not in self.orders:
            self.orders.clear()
            rng = np.random.default_rng((self.seed, epoch))
            order = self.cut.order(rng)
            if self.hard is not None:
                order = self.hard.drawn(order, epoch, self.losses, rng)
            self.orders[epoch] = order
        return self.orders[epoch]


def case_batches(
    stage: Stage,
    cases: Sequence[PreparedCase],
    *,
    seed: int,
    specs: Mapping[str, GridSpec],
    regions: Sequence[NDArray[np.uint8]] | None = None,
    synthetic: SyntheticCases | None = None,
    augment: bool = True,
) -> CaseBatches:
    """The micro-batches of a stage.

    Parameters
    ----------
    stage : Stage
        From the recipe.
    cases : sequence of PreparedCase
        With labels.
    seed : int
        Everything random follows from it.
    specs : mapping of str to GridSpec
        The stage's grids by name, with their final intensities.
    regions : sequence of ndarray (Z, Y, X), optional
        Input mask of each case on the sampler's grid, for a stage that has one.
    synthetic : SyntheticCases, optional
        Synthetic cases.
    augment : bool
        False for validation: the samples as they are, none of them again.

    Raises
    ------
    InputError
        If the recipe wants hard negatives and there are no negatives, or synthetic cases that give
        no sample.
    """
    sampler = stage.sampler
    plan = stage.augmentation if augment else None
    mask = stage.input_mask
    fill = None if mask is None else masked_hu(mask.fill, specs[_grid(sampler)])
    shapes: dict[str, tuple[int, ...]] | None = None
    presence: tuple[int, ...] = ()
    if isinstance(sampler, fields.Paired):
        side, out = (sampler.patch,) * 3, (sampler.output,) * 3
        shapes = {"image": side, "low_image": side, "seg": out, "low": out}
        wanted = target_table(stage.target)[list(abnormal_labels(stage.target))]
        presence = tuple(sorted({int(v) for v in wanted}))
    transform = sample_transform(
        plan, specs[_grid(sampler)], mask_fill=fill, shapes=shapes, presence=presence
    )
    micro = stage.optimisation.micro_batch or stage.optimisation.batch
    own = sampler_of(stage, cases, regions, plan)
    result = CaseBatches(own, transform, micro, seed, hard=_hard(stage, own) if augment else None)
    if synthetic is None or not synthetic.share:
        return result
    extra = sampler_of(stage, synthetic.cases, synthetic.regions, plan)
    if not extra.order(np.random.default_rng(seed)):
        raise InputError(
            f"stage {stage.name}: the synthetic cases give no training sample; the stage "
            "before found nothing in them, train it longer or leave dataset.synthetic out"
            if mask is not None
            else f"stage {stage.name}: the synthetic cases give no training sample; take "
            "others, or leave dataset.synthetic out"
        )
    return replace(result, extra=extra, share=synthetic.share)


def masked_hu(fill: str, spec: GridSpec) -> float:
    """HU outside an input mask: those of water, or the lowest of the grid."""
    return 0.0 if fill == "water" else spec.lowest_hu


def _grid(sampler: fields.Sampler) -> str:
    return sampler.fine if isinstance(sampler, fields.Paired) else sampler.grid


def _hard(stage: Stage, own: CaseSampler) -> _Hard | None:
    sampler = stage.sampler
    if isinstance(sampler, fields.Patches) or sampler.hard_negatives is None:
        return None
    negative = own.negative()
    if not negative.any():
        raise InputError(
            f"stage {stage.name}: every sample has foreground, so there are no hard negatives to "
            "draw again; leave sampler.hard_negatives out, or take smaller samples"
        )
    ascending = isinstance(sampler, fields.Slices) and not sampler.shuffle
    return _Hard(sampler.hard_negatives, negative, ascending)


def _stacked(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}
