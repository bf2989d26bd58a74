"""Parts of a recipe that say which scans, how they are split, and on which grids they lie."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from renalis.choices import DatasetKind
from renalis.conventions import ScoredName
from renalis.recipes.fields import Frozen, NonNegative, Positive, Range, Seed, Share, Size3, Triple

__all__ = [
    "DataPlan",
    "GridPlan",
    "Holdout",
    "KFold",
    "Nested",
    "Split",
    "Synthetic",
    "Target",
    "WeightMap",
]

Target = Literal[
    "renal", "kidney", "tumor", "masses", "kidney_tumor", "parenchyma_abnormality", "labels"
]
"""Named function from a dataset's labels to training labels.

``renal``: kidney, tumor and cyst become 1. ``kidney``: label 1 alone becomes 1. ``tumor``: label 2
alone becomes 1. ``masses``: tumor and cyst become 1. ``kidney_tumor``: kidney and cyst 1, tumor 2
(the labels of KiTS19). ``parenchyma_abnormality``: kidney 1, tumor and cyst 2 (the labels of the
Radboud data, where label 2 counts as tumor). ``labels``: as they are.
"""


class Synthetic(Frozen):
    """Synthetic scans that join the training cases (a wish of publication R1).

    ``folder`` holds what ``renalis synthesize`` wrote; ``share`` is the part of the samples drawn
    from it.
    """

    folder: str
    share: Share


class DataPlan(Frozen):
    """Which dataset a recipe was written for and which of its cases it uses.

    ``tumor_ml_max`` drops cases with more tumor; ``tumor_free`` says whether scans without a tumor
    are used.
    """

    kind: DatasetKind
    labels: ScoredName
    exclude: tuple[str, ...] = ()
    tumor_ml_max: Positive | None = None
    tumor_free: Literal["keep", "drop"] = "keep"
    synthetic: Synthetic | None = None


class Holdout(Frozen):
    """One division of the patients, shuffled with ``seed``; shares of the whole, adding to 1.

    ``stratify`` keeps the share of patients with and without masses equal in all parts.
    """

    kind: Literal["holdout"]
    train: Share
    val: Share
    test: Share
    seed: Seed
    stratify: bool = False

    @model_validator(mode="after")
    def _adds_to_one(self) -> Holdout:
        if abs(self.train + self.val + self.test - 1) > 1e-6:
            raise ValueError("train, val and test must add to 1")
        return self


class Nested(Frozen):
    """First ``test`` is split off, then ``val`` from what is left; each rounded."""

    kind: Literal["nested"]
    test: Share
    val: Share
    seed: Seed
    stratify: bool = False


class KFold(Frozen):
    """``sklearn.model_selection.KFold(k, shuffle=True, random_state=seed)`` over the patients.

    ``fold`` is the one used when the command line names none.
    """

    kind: Literal["kfold"]
    k: Annotated[int, Field(ge=2)]
    seed: Seed
    fold: NonNegativeInt = 0

    @model_validator(mode="after")
    def _fold_exists(self) -> KFold:
        if self.fold >= self.k:
            raise ValueError(f"fold must be below {self.k}")
        return self


Split = Annotated[Holdout | Nested | KFold, Field(discriminator="kind")]


class WeightMap(Frozen):
    """A weight per pixel: median class frequency over the class's own, plus ``edge`` at borders.

    ``division: floor`` is what the published code does: background weights then become 0.
    """

    edge: NonNegative
    clip: Positive
    division: Literal["exact", "floor"] = "exact"


class GridPlan(Frozen):
    """A grid that scans are brought to before training, and the intensities on it.

    Parameters
    ----------
    name : str
        How samplers and predictions refer to the grid.
    kind : str
        ``native2d``: the slices of the scan, each put into a square and resized; ``resample``: a
        3D grid of ``spacing_mm``. The corners of the first voxels of scan and grid coincide, so
        that a 4 mm voxel covers four 1 mm voxels.
    spacing_mm : tuple of float or None
        (Z, Y, X) in mm.
    frame : int or None
        Side in pixels of the square that each slice is padded or cropped to before resizing; None:
        its longer side.
    slice_size : int or None
        Side in pixels of the square that it is resized to; None: not resized.
    image, label : str
        Interpolation; ``average`` is linear too, and averages voxels where it reduces.
        ``linear_truncated`` is the published code of R3: linear interpolation of
        the integers, cut off, which shrinks every mask.
    low_pass : float
        Gaussian before resampling, its sigma in units of the factor between the grids; 0 is off.
    clip_hu : tuple of float or None
        Lowest and highest HU kept.
    normalize : str
        ``affine``: (HU - ``sub``) / ``div``; ``training_zscore``: mean and standard deviation of
        the training cases, computed once and stored in the plan.
    zscore_voxels : str
        What mean and standard deviation are computed over: ``all`` or ``mask`` (what the input
        mask keeps).
    crop_body : bool
        Crop to the box of the body.
    crop_end : str
        ``kept``; ``dropped`` is the published code of R3, which loses the last plane of each axis.
    min_shape : tuple of int or None
        Padded at the end of each axis to at least this many voxels (Z, Y, X).
    fill : str
        ``lower_bound``: the normalized value of the lowest HU, which is air; ``zero``: 0 after
        normalization, whatever tissue that is.
    drop_far_slices : int or None
        In training and validation, drop slices more than so many slices from any kidney.
    weight_map : WeightMap or None
        A third volume in addition to image and label.
    """

    name: str
    kind: Literal["native2d", "resample"]
    spacing_mm: Triple | None = None
    frame: PositiveInt | None = None
    slice_size: PositiveInt | None = None
    image: Literal["nearest", "linear", "cubic", "average"] = "linear"
    label: Literal["nearest", "linear_truncated"] = "nearest"
    low_pass: NonNegative = 0.0
    clip_hu: Range | None = None
    normalize: Literal["affine", "training_zscore"] = "affine"
    sub: float = 0.0
    div: Positive = 1.0
    zscore_voxels: Literal["all", "mask"] = "all"
    crop_body: bool = False
    crop_end: Literal["kept", "dropped"] = "kept"
    min_shape: Size3 | None = None
    fill: Literal["lower_bound", "zero"] = "lower_bound"
    drop_far_slices: NonNegativeInt | None = None
    weight_map: WeightMap | None = None

    @model_validator(mode="after")
    def _kind_fits(self) -> GridPlan:
        if (self.kind == "resample") != (self.spacing_mm is not None):
            raise ValueError("spacing_mm belongs to kind resample, and to no other")
        if self.kind == "resample" and (self.slice_size or self.frame):
            raise ValueError("slice_size and frame belong to kind native2d")
        if self.image == "average" and (self.kind != "resample" or self.low_pass):
            raise ValueError("image average is for kind resample without low_pass")
        if self.clip_hu is not None and self.clip_hu[0] >= self.clip_hu[1]:
            raise ValueError("clip_hu must rise")
        return self
