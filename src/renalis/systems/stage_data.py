"""Training and validation data of one stage, for every kind of sampler."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from renalis.dataset import Case
from renalis.dataset.slices import SliceSet
from renalis.errors import InputError
from renalis.io import write_text
from renalis.preparation import GridSpec, PreparedCase
from renalis.recipes.output_fields import Evaluation
from renalis.recipes.sample_fields import Patches
from renalis.recipes.system import Stage, System
from renalis.systems.case_batches import CaseBatches, SyntheticCases, case_batches
from renalis.systems.input_masks import Masks
from renalis.systems.patch_batches import PatchBatches, load_bodies, patch_batches
from renalis.systems.patch_validation import PatchValidation
from renalis.systems.recipe_cases import grid_specs, prepared, training_statistics, with_specs
from renalis.systems.split_check import SplitCases
from renalis.systems.validation import StageValidation
from renalis.training.engine import Validation
from renalis.training.hard_samples import HardSampleBatches
from renalis.training.losses import LossTerm
from renalis.training.micro_batches import Arrays, BatchSource

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["CaseData", "PatchData", "StageData", "case_data", "patch_data"]


class StageData(Protocol):
    """A stage's micro-batches and its validation."""

    @property
    def batches(self) -> int:
        """Micro-batches of an epoch."""

    def source(self, coarse: bool) -> BatchSource | HardSampleBatches:
        """What the engine trains with; ``coarse``: for the coarse half of a cascade alone."""

    def validation(self, scores: Collection[str], terms: Sequence[LossTerm]) -> Validation:
        """What gives these scores."""


@dataclass(frozen=True, eq=False)
class CaseData:
    """Of a sampler that passes through cases."""

    stage: Stage
    training_batches: CaseBatches
    val: Sequence[PreparedCase]
    specs: Mapping[str, GridSpec]
    regions: Masks | None
    evaluation: Evaluation | None = None
    names: tuple[str, ...] = ()
    report: Callable[[str], None] | None = None

    @property
    def batches(self) -> int:
        """See `StageData`."""
        return self.training_batches.batches

    def source(self, coarse: bool) -> BatchSource | HardSampleBatches:
        """See `StageData`."""
        return _coarse_only(self.training_batches) if coarse else self.training_batches.source

    def validation(self, scores: Collection[str], terms: Sequence[LossTerm]) -> StageValidation:
        """See `StageData`."""
        validation_batches = None
        if "val_loss" in scores:
            validation_batches = case_batches(
                self.stage,
                self.val,
                seed=0,
                specs=self.specs,
                regions=self.regions,
                augment=False,
            )
        return StageValidation(
            self.stage,
            self.val,
            self.specs,
            self.regions,
            scores,
            validation_batches,
            terms,
            self.evaluation,
            self.report,
        )


@dataclass(frozen=True, eq=False)
class PatchData:
    """Of a sampler that draws patches."""

    training_batches: PatchBatches
    validation_batches: PatchBatches

    @property
    def batches(self) -> int:
        """See `StageData`."""
        return self.training_batches.batches

    def source(self, coarse: bool) -> BatchSource:
        """See `StageData`."""
        assert not coarse, "networks of two grids have paired patches"
        return self.training_batches

    def validation(self, scores: Collection[str], terms: Sequence[LossTerm]) -> Validation:
        """See `StageData`."""
        return PatchValidation(self.validation_batches, scores, terms)


def patch_data(
    system: System,
    stage: Stage,
    cases: SplitCases,
    folder: Path,
    cache: Path,
    fabric: Fabric,
    slices: Sequence[SliceSet] = (),
) -> PatchData:
    """The data of a stage whose sampler is ``patches``.

    Parameters
    ----------
    system, stage
        The recipe and the stage.
    cases : SplitCases
        Training and validation scans; not used if the sampler takes none.
    folder : Path
        The fold's; its bodies are there.
    cache : Path
        Folder of prepared cases.
    fabric : Fabric
        The first process notes the stage's plan.
    slices : sequence of SliceSet
        Single real slices, for training only.

    Raises
    ------
    InputError
        If there are no bodies, slices or scans where the sampler wants some.
    """
    sampler = stage.sampler
    assert isinstance(sampler, Patches)
    specs = grid_specs(stage)
    train: list[PreparedCase] = []
    val: list[PreparedCase] = []
    if sampler.mix.volumes:
        train, val = (
            prepared(some, list(specs.values()), cache) for some in (cases.train, cases.val)
        )
        if not train:
            raise InputError(f"stage {stage.name}: there are no training scans")
    note_plan(folder, stage, {}, fabric)
    number = [one.name for one in system.all_stages()].index(stage.name)
    bodies = load_bodies(folder, sampler)
    learning = patch_batches(stage, number, system.seed, train, specs, bodies, slices=slices)
    # Scans that are not learned from where there are some, otherwise the same bodies anew.
    watched = [] if val else bodies
    validation_batches = patch_batches(
        stage, number, system.seed, val or train, specs, watched, augment=False
    )
    return PatchData(learning, validation_batches)


def case_data(
    stage: Stage,
    train: Sequence[PreparedCase],
    watched: Sequence[Case],
    cache: Path,
    masks: tuple[Masks | None, Masks | None],
    synthetic: Callable[[dict[str, GridSpec]], SyntheticCases | None],
    folder: Path,
    seed: int,
    fabric: Fabric,
    evaluation: Evaluation | None = None,
    report: Callable[[str], None] | None = None,
) -> CaseData:
    """The data of a stage whose sampler passes through cases.

    Parameters
    ----------
    stage : Stage
    train : sequence of PreparedCase
        Training cases.
    watched : sequence of Case
        Validation cases.
    cache : Path
        Folder of prepared cases.
    masks : tuple of Masks or None
        Input masks of both, for a stage that has them.
    synthetic : callable
        From the grids with their final intensities to synthetic cases.
    folder : Path
        The fold's; gets the stage's plan.
    seed : int
        Of the recipe.
    fabric : Fabric
        The first process notes the stage's plan.
    evaluation : Evaluation, optional
        How the publication scores.
    report : callable, optional
        Takes progress lines of validation.
    """
    val = prepared(watched, list(grid_specs(stage).values()), cache)
    regions, val_regions = masks
    statistics = training_statistics(stage, train, regions)
    note_plan(folder, stage, statistics, fabric)
    specs = grid_specs(stage, statistics)
    train, val = with_specs(train, specs), with_specs(val, specs)
    more = synthetic(specs)
    source = case_batches(stage, train, seed=seed, specs=specs, regions=regions, synthetic=more)
    names = tuple(case.id for case in watched)
    return CaseData(stage, source, val, specs, val_regions, evaluation, names, report)


def note_plan(
    folder: Path, stage: Stage, statistics: Mapping[str, tuple[float, float]], fabric: Fabric
) -> None:
    """Store what was computed from the training cases, which predictions need too."""
    if fabric.global_rank == 0:
        plan = {"stage": stage.name, "statistics": statistics}
        write_text(folder / f"{stage.name}.plan.json", json.dumps(plan, indent=1))
    fabric.barrier()


def _coarse_only(batch: CaseBatches) -> BatchSource | HardSampleBatches:
    if batch.hard is None:
        return _CoarseOnly(batch)
    return HardSampleBatches(lambda losses: _CoarseOnly(batch.after(losses)))


@dataclass(frozen=True, eq=False)
class _CoarseOnly:
    """Micro-batches without the fine patch: the network then computes its coarse half alone."""

    whole: BatchSource

    def __call__(self, epoch: int, index: int, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        inputs, targets = self.whole(epoch, index, rng)
        return {"low_image": inputs["low_image"]}, targets
