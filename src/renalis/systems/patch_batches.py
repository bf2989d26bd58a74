"""Micro-batches of the sampler ``patches``: from synthetic bodies, scans and single slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.dataset.slices import SliceSet
from renalis.errors import InputError
from renalis.preparation import GridSpec, PreparedCase
from renalis.recipes.sample_fields import Patches
from renalis.recipes.system import Stage
from renalis.sampling import ForegroundOversampling, ForegroundPatchSampler, LabelTable
from renalis.sampling.real_slices import RealSlices, SliceVariation
from renalis.synthesis.patches import Body, PatchPlan, draw_patch, load_body
from renalis.systems.augmentation import SampleTransform, sample_transform
from renalis.systems.recipe_grids import abnormal_labels, target_table
from renalis.systems.single_slices import slices_to_train_with
from renalis.systems.synthetic_bodies import bodies_folder
from renalis.training.micro_batches import Arrays

__all__ = ["PatchBatches", "load_bodies", "patch_batches"]


@dataclass(frozen=True, eq=False)
class PatchBatches:
    """Micro-batches of a stage; everything random follows from seed, stage and number of sample.

    Attributes
    ----------
    number, seed : int
        Of the stage in its recipe, and of the recipe.
    batches, micro_batch : int
        Micro-batches of an epoch, and samples of each.
    sizes : tuple of tuple of int
        Of a patch of a scan; every second one has the first.
    bodies : sequence of Body
        To cut synthetic patches from; may be empty.
    plan : PatchPlan or None
        How.
    volumes : ForegroundPatchSampler or None
        Scans.
    slices : RealSlices or None
        Single real slices.
    share, slice_share : float
        Of patches that come from scans, and from slices.
    slice_sizes : tuple of tuple of int
        Of samples of slices.
    transform : callable
        From a sample of a scan to network inputs.
    table : LabelTable
        From the bodies' labels to training labels.
    """

    number: int
    seed: int
    batches: int
    micro_batch: int
    sizes: tuple[tuple[int, int, int], ...]
    bodies: Sequence[Body]
    plan: PatchPlan | None
    volumes: ForegroundPatchSampler | None
    slices: RealSlices | None
    share: float
    slice_share: float
    slice_sizes: tuple[tuple[int, int], ...]
    transform: SampleTransform
    table: LabelTable

    @property
    def source(self) -> PatchBatches:
        """What the engine trains with."""
        return self

    def __call__(self, epoch: int, index: int, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """One micro-batch; see `renalis.training.micro_batches.BatchSource`."""
        del rng
        first = (epoch * self.batches + index) * self.micro_batch
        samples = [self.sample(first + item) for item in range(self.micro_batch)]
        inputs, targets = zip(*samples, strict=True)
        return {"image": np.stack(inputs)}, {"seg": np.stack(targets)}

    def sample(self, number: int, *more: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Image (1, Z, Y, X) and label map (Z, Y, X) of a training's sample of that number."""
        own = np.random.default_rng((self.seed, self.number, number, *more))
        if self.slices is not None and own.random() < self.slice_share:
            pixels = self.slice_sizes[int(own.integers(len(self.slice_sizes)))]
            image, label = self.slices.draw(pixels, own)
            return image[None], self.table[label]
        if self.volumes is not None and (self.plan is None or own.random() < self.share):
            size = self.sizes[0]
            if len(self.sizes) > 1 and own.random() < 0.5:
                size = self.sizes[1 + int(own.integers(len(self.sizes) - 1))]
            (shown,) = self.transform(self.volumes.draw(size, own), own)
            return shown.inputs["image"], shown.targets["seg"]
        assert self.plan is not None, "patches come from bodies or from scans"
        image, label = draw_patch(list(self.bodies), self.plan, own)
        return image[None], self.table[label]


def load_bodies(folder: Path, sampler: Patches) -> list[Body]:
    """The bodies that a sampler's synthetic patches are cut from; none if it has none.

    Raises
    ------
    InputError
        If there are no bodies.
    """
    if not sampler.mix.synthetic or sampler.rendering is None:
        return []
    place = bodies_folder(folder, sampler.rendering.bodies_mm)
    pool = [load_body(path) for path in sorted(place.glob("*.body"))]
    if not pool:
        raise InputError(f"{place} holds no bodies to train with")
    return pool


def patch_batches(
    stage: Stage,
    number: int,
    seed: int,
    cases: Sequence[PreparedCase],
    specs: Mapping[str, GridSpec],
    bodies: Sequence[Body],
    augment: bool = True,
    slices: Sequence[SliceSet] = (),
) -> PatchBatches:
    """The micro-batches of a stage whose sampler is ``patches``.

    Parameters
    ----------
    stage : Stage
        From the recipe.
    number : int
        Of the stage, from 0 on.
    seed : int
        Of the recipe.
    cases : sequence of PreparedCase
        Scans with labels; may be empty.
    specs : mapping of str to GridSpec
        The stage's grids by name.
    bodies : sequence of Body
        From `load_bodies`.
    augment : bool
        False for validation: scans as they are, one size, and no slices.
    slices : sequence of SliceSet
        Single real slices to train with.

    Raises
    ------
    InputError
        If the grid does not fit the bodies.
    """
    sampler, plan = stage.sampler, stage.optimisation
    assert isinstance(sampler, Patches)
    spec, micro = specs[sampler.grid], plan.micro_batch or plan.batch
    volumes = None
    if cases:
        volumes = ForegroundPatchSampler(
            [case.grid(sampler.grid) for case in cases],
            ForegroundOversampling(sampler.near, sampler.lesion, sampler.jitter),
            (*abnormal_labels(stage.target), 3),
            target_table(stage.target),
        )
    return PatchBatches(
        number,
        seed,
        sampler.steps_per_epoch * (plan.batch // micro),
        micro,
        (sampler.patch, *(sampler.other_patches if augment else ())),
        bodies,
        _patch_plan(stage, sampler, bodies[0], augment) if bodies else None,
        volumes,
        _real_slices(stage, sampler, slices) if augment else None,
        sampler.mix.volumes / max(1 - sampler.mix.slices, 1e-9),
        sampler.mix.slices,
        sampler.slice_sizes,
        sample_transform(stage.augmentation if augment else None, spec),
        target_table(stage.target),
    )


def _real_slices(stage: Stage, sampler: Patches, files: Sequence[SliceSet]) -> RealSlices | None:
    """What draws samples of slices, if the mix has some.

    Raises
    ------
    InputError
        If there are none to train with.
    """
    if not sampler.mix.slices:
        return None
    kept = slices_to_train_with(stage, sampler, files)
    grid = stage.grid(sampler.grid)
    if grid.spacing_mm is None or grid.clip_hu is None:
        raise InputError(f"stage {stage.name}: slices need a grid of spacing_mm and of clip_hu")
    return RealSlices(kept, grid.spacing_mm[2], grid.clip_hu, SliceVariation())


def _patch_plan(stage: Stage, sampler: Patches, body: Body, augment: bool) -> PatchPlan:
    """How synthetic patches are made, in plain numbers."""
    grid, rendering = stage.grid(sampler.grid), sampler.rendering
    assert rendering is not None
    if grid.spacing_mm is None or len(set(grid.spacing_mm)) > 1 or grid.clip_hu is None:
        raise InputError(
            f"stage {stage.name}: synthetic patches need a grid of one spacing_mm along all axes "
            "and of clip_hu"
        )
    low, high = grid.clip_hu
    if (grid.sub, grid.div) != ((low + high) / 2, (high - low) / 2):
        raise InputError(
            f"stage {stage.name}: in synthetic patches clip_hu become -1 and 1; set sub to "
            f"{(low + high) / 2:g} and div to {(high - low) / 2:g}"
        )
    reduction = grid.spacing_mm[0] / body.spacing
    if abs(reduction - round(reduction)) > 1e-6 or reduction < 1:
        raise InputError(
            f"stage {stage.name}: {grid.spacing_mm[0]} mm is no whole multiple of the bodies' "
            f"{body.spacing} mm"
        )
    return PatchPlan(
        sampler.patch,
        round(reduction),
        grid.clip_hu,
        sampler.near,
        sampler.lesion,
        sampler.jitter,
        rendering.flip,
        rendering.added_lesions,
        rendering.large_mass,
        rendering.wide_pelvis,
        rendering.new_inside,
        rendering.mottled,
        rendering.shoulders,
        sampler.other_patches if augment else (),
        rendering.phases,
    )
