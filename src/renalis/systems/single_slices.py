"""Whether a recipe can learn from single slices, which know nothing of their neighbors."""

from __future__ import annotations

from collections.abc import Sequence

from renalis.dataset.slices import SliceSet
from renalis.errors import InputError
from renalis.recipes.output_fields import SlicePrediction
from renalis.recipes.sample_fields import Patches, Slices
from renalis.recipes.system import Stage, System

__all__ = ["require_slices_fit", "slices_to_train_with"]


def require_slices_fit(system: System) -> None:
    """Refuse a recipe whose numbers single slices cannot give.

    Parameters
    ----------
    system : System
        That is to learn from a dataset of kind ``slices``.

    Raises
    ------
    InputError
        If it sees more than one axial slice, or asks how large a tumor or how far a kidney is.
    """
    for stage in system.all_stages():
        if not _sees_axial_slices(stage):
            raise InputError(
                f"{system.name} needs whole scans, and these are single axial slices; take a 2D "
                "recipe: simple-unet-2d, resnet34-2d or quicknat-2d"
            )
        for grid in stage.grids:
            if grid.drop_far_slices is not None:
                raise InputError(
                    f"grid {grid.name} of {system.name} leaves out slices by how far they are from "
                    "a kidney, which single slices do not tell; add "
                    f"--set {_place(system, stage)}grids.{grid.name}.drop_far_slices=null to learn "
                    "from all of them"
                )
    if system.dataset.tumor_ml_max is not None:
        raise InputError(
            f"{system.name} leaves out cases by the volume of their tumors, which single slices do "
            "not tell; add --set dataset.tumor_ml_max=null to learn from all of them"
        )


def slices_to_train_with(
    stage: Stage, sampler: Patches, files: Sequence[SliceSet]
) -> list[SliceSet]:
    """The slices that the sampler does not keep back, of a stage whose mix has some.

    Raises
    ------
    InputError
        If there are none.
    """
    every = sampler.slices_kept_back
    kept = [one.of_cases(lambda case: every is None or case % every != 0) for one in files]
    kept = [one for one in kept if len(one)]
    if not kept:
        raise InputError(f"stage {stage.name}: there are no slices to train with; give --slices")
    return kept


def _sees_axial_slices(stage: Stage) -> bool:
    return (
        isinstance(stage.sampler, Slices)
        and stage.sampler.planes == ("axial",)
        and isinstance(stage.prediction, SlicePrediction)
        and stage.prediction.planes == ("axial",)
        and all(grid.kind == "native2d" for grid in stage.grids)
    )


def _place(system: System, stage: Stage) -> str:
    """Where the stage's own grids are in the recipe."""
    own = any(one.name == stage.name and one.grids is not None for one in system.stages)
    return f"stages.{stage.name}." if own else ""
