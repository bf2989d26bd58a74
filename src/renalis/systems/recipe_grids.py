"""From a recipe's fields to grids and label tables."""

from __future__ import annotations

from renalis.conventions import REGIONS, Convention, Label, translation
from renalis.errors import InputError
from renalis.preparation import GridSpec
from renalis.recipes.data_fields import GridPlan, Target
from renalis.recipes.sample_fields import Plane
from renalis.sampling import IDENTITY, LabelTable, any_of, label_table

__all__ = ["AXIS", "abnormal_labels", "grid_spec", "target_table"]

AXIS: dict[Plane, int] = {"axial": 0, "coronal": 1, "sagittal": 2}
"""The array axis that slices of each plane are cut along."""

_ORDER = {"nearest": 0, "linear": 1, "cubic": 3, "average": 1}

_TARGETS: dict[str, LabelTable] = {
    "renal": any_of(*REGIONS["kidney"]),
    "kidney": any_of(Label.KIDNEY),
    "tumor": any_of(Label.TUMOR),
    "masses": any_of(*REGIONS["masses"]),
    "kidney_tumor": label_table(translation(Convention.KITS23, Convention.KITS19)),
    "parenchyma_abnormality": label_table(translation(Convention.KITS23, Convention.RADBOUD)),
    "labels": IDENTITY,
}


def target_table(target: Target) -> LabelTable:
    """The table from a dataset's labels to training labels, shape (256,)."""
    return _TARGETS[target]


def abnormal_labels(target: Target) -> tuple[int, ...]:
    """The dataset's labels that count as tumor for a target: for balance and classification."""
    return (2, 3) if target in ("parenchyma_abnormality", "masses") else (2,)


def grid_spec(plan: GridPlan, zscore: tuple[float, float] | None = None) -> GridSpec:
    """A recipe's grid in plain numbers.

    Parameters
    ----------
    plan : GridPlan
        From the recipe.
    zscore : tuple of float, optional
        Mean and standard deviation (HU) of the training cases, for ``training_zscore``.

    Raises
    ------
    InputError
        If the grid asks for what this program does not do.
    """
    if plan.fill == "zero" and plan.kind == "native2d":
        raise InputError(f"grid {plan.name}: fill=zero is for resampled grids")
    sub, div = (plan.sub, plan.div) if zscore is None else zscore
    return GridSpec(
        plan.name,
        kind=plan.kind,
        spacing_mm=plan.spacing_mm,
        order=_ORDER[plan.image],
        average=plan.image == "average",
        label_truncated=plan.label == "linear_truncated",
        low_pass=plan.low_pass,
        clip_hu=plan.clip_hu,
        sub=sub,
        div=div,
        crop_body=plan.crop_body,
        crop_end_dropped=plan.crop_end == "dropped",
        min_shape=plan.min_shape,
        fill=plan.fill,
        frame=plan.frame,
        slice_size=plan.slice_size,
        drop_far_slices=plan.drop_far_slices,
        weight_map=None if plan.weight_map is None else "foreground",
        weight_edge=2.0 if plan.weight_map is None else plan.weight_map.edge,
        weight_max=10.0 if plan.weight_map is None else plan.weight_map.clip,
        weight_floor=plan.weight_map is not None and plan.weight_map.division == "floor",
    )
