"""A recipe: one typed model for the shipped model and the published systems.

Sections stand at the top level. A system of several networks trained one after another has
``stages``, each of which may replace any section; what a stage does not say holds as written above.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from renalis.recipes.data_fields import DataPlan, GridPlan, Split, Target
from renalis.recipes.fields import Frozen, Seed, Share
from renalis.recipes.network_fields import Network
from renalis.recipes.output_fields import (
    CoarseToFine,
    Evaluation,
    Prediction,
    Published,
    Rule,
    TilePrediction,
)
from renalis.recipes.sample_fields import (
    Affine,
    Augmentation,
    Elastic,
    Paired,
    Patches,
    Sampler,
    Windows,
)
from renalis.recipes.synthetic_fields import Bodies
from renalis.recipes.train_fields import LossTerm, Optimisation
from renalis.thresholds import Thresholds

__all__ = ["InputMask", "Publication", "Stage", "StageChange", "Switches", "System"]

WRITTEN: dict[str, tuple[int, ...]] = {
    "renal": (1,),
    "kidney": (1,),
    "tumor": (2,),
    "masses": (2,),
    "kidney_tumor": (1, 2),
    "parenchyma_abnormality": (1, 2),
    "labels": (1, 2, 3),
}
"""Label values that the foreground classes of each target are written as."""

_GEOMETRY = ("kind", "spacing_mm", "frame", "slice_size", "crop_body", "crop_end", "min_shape")
"""What says where the voxels of a grid lie."""


class Publication(Frozen):
    """Where the system comes from, and the scores it gives for itself."""

    id: str
    authors: str
    about: str
    year: int | None = None
    link: str | None = None
    scores: tuple[Published, ...] = ()


class InputMask(Frozen):
    """A stage sees the scan multiplied with the mask that an earlier stage found.

    ``training`` is the mask in training: ``predicted`` by the earlier stage on cases it was
    trained on, ``out_of_fold`` or the ``truth``. Out of fold: the training cases are shared out,
    by patient, to so many ``folds``; the masks of each come from a network that was trained on the
    others alone, as the earlier stage is on all. ``fill`` is what lies outside: ``water`` (0 HU) or
    ``min`` (the lowest HU of the grid).
    """

    stage: str
    threshold: Share = 0.5
    training: Literal["predicted", "truth", "out_of_fold"] = "predicted"
    folds: Annotated[int, Field(ge=2)] = 5
    fill: Literal["water", "min"] = "water"


class StageChange(Frozen):
    """One network of several, and the sections in which it differs."""

    name: str
    input_mask: InputMask | None = None
    target: Target | None = None
    grids: tuple[GridPlan, ...] | None = None
    sampler: Sampler | None = None
    augmentation: Augmentation | None = None
    network: Network | None = None
    loss: tuple[LossTerm, ...] | None = None
    optimisation: Optimisation | None = None
    prediction: Prediction | None = None


class Stage(Frozen):
    """Everything about one network: what the engine trains and predicts with."""

    name: str
    input_mask: InputMask | None
    target: Target
    grids: tuple[GridPlan, ...]
    sampler: Sampler
    augmentation: Augmentation
    network: Network
    loss: tuple[LossTerm, ...]
    optimisation: Optimisation
    prediction: Prediction

    def grid(self, name: str) -> GridPlan:
        """The grid called ``name``."""
        for grid in self.grids:
            if grid.name == name:
                return grid
        raise KeyError(name)

    @property
    def written(self) -> tuple[int, ...]:
        """Label values of the foreground classes, first class first."""
        return WRITTEN[self.target][: max(1, self.network.out_channels - 1)]


class Switches(Frozen):
    """Turn parts off, for ablations; see ``renalis.recipes.switches``."""

    multires: bool = True
    augment: bool = True
    topk: bool = True
    spatial_dropout: bool = True
    postprocess: bool = True


class System(Frozen):
    """Everything that defines a training and what becomes of its networks.

    ``publication`` is None for the shipped model, ``copied_from`` the name of the recipe that
    ``renalis recipe copy`` made this one of: the publication's scores are not its own. ``bodies``
    are what synthetic patches are cut from, ``thresholds`` what a prediction ``coarse_to_fine``
    decides by. ``tiny``, ``fine_tuning`` and ``with_slices`` are changes, key to value, for a CPU's
    minutes, for ``--start-from`` and for ``--slices``.
    """

    name: str
    copied_from: str | None = None
    publication: Publication | None = None
    seed: Seed
    dataset: DataPlan
    split: Split
    bodies: Bodies | None = None
    target: Target
    grids: tuple[GridPlan, ...]
    sampler: Sampler
    augmentation: Augmentation
    network: Network
    loss: tuple[LossTerm, ...]
    optimisation: Optimisation
    prediction: Prediction
    stages: tuple[StageChange, ...] = ()
    thresholds: Thresholds | None = None
    postprocessing: tuple[Rule, ...] = ()
    evaluation: Evaluation = Evaluation()
    switches: Switches = Switches()
    tiny: dict[str, Any] = Field(default_factory=dict)
    fine_tuning: dict[str, Any] = Field(default_factory=dict)
    with_slices: dict[str, Any] = Field(default_factory=dict)

    @property
    def coarse_to_fine(self) -> bool:
        """Whether two networks predict together, as the shipped model's do."""
        return isinstance(self.prediction, CoarseToFine)

    @property
    def synthetic_alone(self) -> bool:
        """Whether no image of a real scan is learned from."""
        samplers = [stage.sampler for stage in self.all_stages()]
        return all(isinstance(one, Patches) and not one.mix.volumes for one in samplers)

    @property
    def learns_from_slices(self) -> bool:
        """Whether samples of single real slices are learned from."""
        samplers = [stage.sampler for stage in self.all_stages()]
        return any(isinstance(one, Patches) and one.mix.slices > 0 for one in samplers)

    def all_stages(self) -> tuple[Stage, ...]:
        """The stages in order of training, with all sections; one called ``main`` if none are."""
        return tuple(
            self._resolved(change) for change in self.stages or (StageChange(name="main"),)
        )

    def stage(self, name: str) -> Stage:
        """The stage called ``name``."""
        for stage in self.all_stages():
            if stage.name == name:
                return stage
        raise KeyError(name)

    def _resolved(self, change: StageChange) -> Stage:
        def section(name: str) -> Any:
            own = getattr(change, name)
            return getattr(self, name) if own is None else own

        shared = [n for n in Stage.model_fields if n not in ("name", "input_mask")]
        return Stage(
            name=change.name, input_mask=change.input_mask, **{n: section(n) for n in shared}
        )

    @model_validator(mode="after")
    def _names_exist(self) -> System:
        """Grids and stages that are referred to must be there."""
        earlier: dict[str, Stage] = {}
        for stage in self.all_stages():
            grids = {grid.name for grid in stage.grids}
            used: set[str | None] = {stage.prediction.grid}
            sampler = stage.sampler
            used |= (
                {sampler.fine, sampler.coarse} if isinstance(sampler, Paired) else {sampler.grid}
            )
            used.add(getattr(stage.prediction, "coarse", None))
            classes, values = stage.network.out_channels, len(WRITTEN[stage.target])
            if classes not in ((1, 2) if values == 1 else (values + 1,)):
                raise ValueError(
                    f"stage {stage.name!r} has the target {stage.target}, "
                    f"{1 + values} classes with background, but a network of {classes}"
                )
            missing = sorted(str(name) for name in used if name and name not in grids)
            if missing:
                raise ValueError(f"stage {stage.name!r} has no grid {missing[0]!r}")
            if isinstance(sampler, Patches):
                self._require_patches(stage, sampler)
            if stage.input_mask is not None:
                _require_mask(stage, stage.input_mask, earlier)
            _require_transforms(stage)
            near = stage.optimisation.validation_near_mm
            if near is not None and not isinstance(stage.prediction, TilePrediction):
                raise ValueError(
                    f"optimisation.validation_near_mm is for tiles, and stage {stage.name!r} "
                    "predicts none; set it to null"
                )
            if isinstance(sampler, Windows):
                drawn = sampler.cases_per_step * sampler.patches_per_case
                if drawn != stage.optimisation.batch:
                    raise ValueError(f"the sampler draws {drawn} patches a step, batch differs")
            if stage.name in earlier:
                raise ValueError(f"two stages are called {stage.name!r}")
            earlier[stage.name] = stage
        return self

    def _require_patches(self, stage: Stage, sampler: Patches) -> None:
        plan = stage.optimisation
        if sampler.other_patches and (plan.micro_batch or plan.batch) != 1:
            raise ValueError(
                f"patches of stage {stage.name!r} have several sizes, which cannot lie in one "
                "array; set optimisation.micro_batch to 1"
            )
        if sampler.mix.synthetic and self.bodies is None:
            raise ValueError("synthetic patches need the section bodies")
        if self.dataset.synthetic is not None:
            raise ValueError("of patches, sampler.mix says what is synthetic, not dataset")
        if stage.grid(sampler.grid).normalize != "affine":
            raise ValueError(f"patches of stage {stage.name!r} are normalized by sub and div alone")
        if stage.augmentation.copies or stage.input_mask is not None:
            raise ValueError(
                f"patches of stage {stage.name!r} have neither augmented copies nor an input mask"
            )

    @model_validator(mode="after")
    def _two_passes(self) -> System:
        """Two networks predict coarse to fine, and only these have thresholds."""
        stages = self.all_stages()
        kinds = {isinstance(stage.prediction, CoarseToFine) for stage in stages}
        if kinds == {True}:
            names = [stage.name for stage in stages]
            if names != ["coarse", "fine"] or self.target != "labels":
                raise ValueError(
                    "a prediction coarse_to_fine has the target labels and the stages coarse and "
                    "fine, in this order"
                )
        elif True in kinds:
            raise ValueError("either all stages predict coarse_to_fine, or none")
        elif self.thresholds is not None:
            raise ValueError("thresholds are for predictions coarse_to_fine")
        if len({stage.optimisation.precision for stage in stages}) > 1:
            raise ValueError("all stages compute in the same optimisation.precision")
        return self


def _require_transforms(stage: Stage) -> None:
    """Places are transformed once, so in three dimensions if anything is."""
    steps = stage.augmentation.transforms
    if not any(isinstance(step, Affine) and step.dimensions == 2 for step in steps):
        return
    together = not stage.augmentation.copies and any(isinstance(step, Elastic) for step in steps)
    if together or isinstance(stage.sampler, Paired):
        why = "together with elastic" if together else "of paired patches"
        raise ValueError(
            f"the affine transform {why} in stage {stage.name!r} is one of all three axes; set "
            "augmentation.transforms.affine.dimensions to 3"
        )


def _require_mask(stage: Stage, mask: InputMask, earlier: Mapping[str, Stage]) -> None:
    """The earlier stage must be one that can give this mask, and this one must look through it."""
    if mask.stage not in earlier:
        raise ValueError(f"there is no earlier stage {mask.stage!r}")
    before = earlier[mask.stage]
    if isinstance(before.prediction, TilePrediction):
        raise ValueError(f"stage {mask.stage!r} predicts tiles, which cannot mask another stage")
    if isinstance(stage.prediction, TilePrediction):
        raise ValueError(f"stage {stage.name!r} predicts tiles, for which there is no input mask")
    one, two = (each.grid(each.prediction.grid) for each in (before, stage))
    differing = [name for name in _GEOMETRY if getattr(one, name) != getattr(two, name)]
    if differing:
        raise ValueError(
            f"the input mask of stage {stage.name!r} is made on a grid of another "
            f"{' and '.join(differing)}; stages {mask.stage!r} and {stage.name!r} must agree in it"
        )
    if mask.training == "out_of_fold" and before.input_mask is not None:
        # Its own masks in training would come from a network that saw all cases.
        raise ValueError(
            f"masks out of fold are for a stage without an input mask, and {mask.stage!r} has one"
        )
