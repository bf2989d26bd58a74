"""Parts of a recipe that say what becomes of a network's answer: prediction, rules, evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from renalis.choices import Region
from renalis.plugins import RULES
from renalis.recipes.by_name import ByName
from renalis.recipes.fields import Frozen, NonNegative, Positive, Share, Size3
from renalis.recipes.sample_fields import Plane

__all__ = [
    "Attached",
    "CoarseToFine",
    "Evaluation",
    "FillHoles",
    "Gate",
    "KeepIfMl",
    "MaskByLow",
    "MinFeret",
    "Morphology",
    "Prediction",
    "Published",
    "RestrictToRoi",
    "Rule",
    "RuleOptions",
    "SideLargest",
    "SlicePrediction",
    "TilePrediction",
    "WindowPrediction",
]


class _Prediction(Frozen):
    """``decision``: ``argmax`` over classes or ``threshold`` of each channel.

    ``restore``: how the answer comes back to the scan's grid. ``ensemble_folds``: average the
    probabilities of all folds of a run.
    """

    grid: str
    decision: Literal["argmax", "threshold"]
    threshold: Share = 0.5
    restore: Literal["prob_linear", "label_nearest"]
    ensemble_folds: bool = True


class SlicePrediction(_Prediction):
    """Slice by slice; the probabilities of several ``planes`` are averaged (a wish of R1)."""

    kind: Literal["slices"]
    planes: tuple[Plane, ...] = ("axial",)


class WindowPrediction(_Prediction):
    """Overlapping windows, averaged."""

    kind: Literal["windows"]
    tile: Size3
    stride: Size3
    weight: Literal["uniform", "gaussian"] = "uniform"


class Gate(Frozen):
    """Tiles that cannot meet the low-resolution mask, dilated, are left out.

    ``dilate`` counts voxels of the fine grid, 6 neighbors. With the rule ``mask_by_low`` of the
    same numbers the result is the same, only sooner. ``closed`` says what happens where the low
    resolution has nothing above the threshold anywhere: ``empty``, as published, or the fine
    network looks ``everywhere`` and ``mask_by_low`` rests.
    """

    threshold: Share
    dilate: NonNegativeInt
    closed: Literal["empty", "everywhere"] = "empty"


class TilePrediction(_Prediction):
    """Inputs of ``tile`` voxels, outputs of ``output`` voxels next to each other, no overlap."""

    kind: Literal["tiles"]
    coarse: str | None
    tile: PositiveInt
    output: PositiveInt
    gate: Gate | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_stride(cls, fields: Any) -> Any:
        """Recipes of earlier versions name a stride, which is as large as ``output``."""
        if not isinstance(fields, Mapping) or "stride" not in fields:
            return fields
        if fields["stride"] != fields.get("output"):
            raise ValueError(
                f"stride {fields['stride']} differs from output {fields.get('output')}, but tiles "
                "lie next to each other; leave stride out"
            )
        return {name: value for name, value in fields.items() if name != "stride"}


class CoarseToFine(_Prediction):
    """One of two networks: the first stage looks at the whole scan, the second at what it found.

    ``window`` is what the network sees at a time (Z, Y, X). Everything else is in the recipe's
    section ``thresholds``.
    """

    kind: Literal["coarse_to_fine"]
    window: Size3
    decision: Literal["argmax"] = "argmax"
    restore: Literal["prob_linear"] = "prob_linear"
    ensemble_folds: Literal[False] = False


Prediction = Annotated[
    SlicePrediction | WindowPrediction | TilePrediction | CoarseToFine, Field(discriminator="kind")
]


class RuleOptions(Frozen):
    """What every rule's fields begin with; those of other packages too."""

    rule: str


class RestrictToRoi(RuleOptions):
    """Remove ``region`` outside what an earlier stage found."""

    rule: Literal["restrict_to_roi"]
    region: Region
    stage: str


class SideLargest(RuleOptions):
    """On each side of the body keep the largest components of ``region``, if above ``min_ml``.

    Components that ``joined_by`` connects count as one, as a kidney does that a tumor splits.
    """

    rule: Literal["side_largest"]
    region: Region
    joined_by: Region | None = None
    per_side: PositiveInt = 1
    min_ml: NonNegative = 0.0
    split: Literal["body_centroid", "middle"] = "body_centroid"


class Attached(RuleOptions):
    """Keep components of ``region`` that touch ``to`` dilated by ``radius_mm``.

    ``neighbors`` decide what touches. Components above ``or_above_ml`` stay anyway.
    """

    rule: Literal["attached"]
    region: Region
    to: Region
    radius_mm: NonNegative = 0.0
    neighbors: Literal[6, 18, 26] = 26
    or_above_ml: Positive | None = None


class MinFeret(RuleOptions):
    """Drop components of ``region`` whose largest axial Feret diameter is below ``mm``."""

    rule: Literal["min_feret"]
    region: Region
    mm: Positive


class KeepIfMl(RuleOptions):
    """Keep components of ``region`` of at least ``ml``."""

    rule: Literal["keep_if_ml"]
    region: Region
    ml: Positive


class MaskByLow(RuleOptions):
    """Keep what lies in the low-resolution answer, thresholded and dilated on the fine grid."""

    rule: Literal["mask_by_low"]
    threshold: Share
    dilate: NonNegativeInt


class FillHoles(RuleOptions):
    """Holes of ``region`` of up to ``most_ml`` become what most of their border is."""

    rule: Literal["fill_holes"]
    region: Region
    most_ml: Positive | None = None


class Morphology(RuleOptions):
    """3D opening or closing of ``region`` with a ball (a wish of R2)."""

    rule: Literal["opening", "closing"]
    region: Region
    radius_mm: Positive


Rule = Annotated[
    RestrictToRoi
    | SideLargest
    | Attached
    | MinFeret
    | KeepIfMl
    | MaskByLow
    | FillHoles
    | Morphology
    | RuleOptions,
    ByName(RULES, "rule", RuleOptions),
]
"""One of renalis's own, or of an installed package."""


class Published(Frozen):
    """A score of the publication. ``spread`` is what it gives after the sign ±."""

    system: str
    region: str
    measured_on: str
    dice: Share
    spread: NonNegative | None = None


class Evaluation(Frozen):
    """How the publication scores: what validation in training notes in addition to ``val_dice``.

    ``renalis evaluate`` gives every convention of the data whole, smoothed Dice too, on the grid
    of the reference, whatever a recipe says here.

    Parameters
    ----------
    units : tuple of str
        With ``slice`` comes ``val_slice_dice``: a case's mean over its axial slices.
    slices : str
        Which of them count: all, or those with a label in the reference.
    smooth : float
        Above 0 comes ``val_smooth_dice``: (2 XY + smooth) / (X + Y + smooth) of a case.
    empty : str
        Dice of a slice when reference and prediction are empty: ``one``, ``zero``, or left out.
    """

    units: tuple[Literal["case", "slice"], ...] = ("case",)
    slices: Literal["all", "kidney"] = "all"
    smooth: NonNegative = 0.0
    empty: Literal["one", "zero", "left_out"] = "one"
