"""Parts of a recipe that say what a training step sees: samplers and augmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from renalis.plugins import SAMPLERS
from renalis.recipes.by_name import ByName
from renalis.recipes.data_fields import Target
from renalis.recipes.fields import Count, Frozen, NonNegative, Range, Share, Size3
from renalis.recipes.synthetic_fields import Rendering

__all__ = [
    "Affine",
    "Augmentation",
    "CropResize",
    "Elastic",
    "Flip",
    "HardNegatives",
    "HuShift",
    "Intensity",
    "Mix",
    "Noise",
    "Paired",
    "Patches",
    "Plane",
    "Sampler",
    "SamplerOptions",
    "Slices",
    "Transform",
    "Windows",
]

Plane = Literal["axial", "coronal", "sagittal"]


class HardNegatives(Frozen):
    """Samples without foreground that the network got most wrong are drawn again (wish of R3).

    From ``from_epoch`` on, ``share`` of the negatives of an epoch are those that had the highest
    loss in the epoch before, as it was in the training steps. The rest is drawn as without this,
    so that an epoch stays as long and as balanced as it is. Epochs count from 0 in each round; the
    first one, which has none before, is always drawn as without.
    """

    share: Share
    from_epoch: NonNegativeInt


class Slices(Frozen):
    """2D slices of one grid.

    ``keep``: ``all`` slices; ``mask``: those where the input mask (without one: the kidney) is not
    empty; ``balanced``: all with foreground and ``negatives_per_positive`` times as many others.
    """

    kind: Literal["slices"]
    grid: str
    keep: Literal["all", "mask", "balanced"] = "all"
    negatives_per_positive: NonNegative = 1.0
    planes: tuple[Plane, ...] = ("axial",)
    shuffle: bool = True
    hard_negatives: HardNegatives | None = None


class Windows(Frozen):
    """Patches from a strided list of windows; those with tumor are listed ``tumor_repeat`` times.

    A step draws ``cases_per_step`` cases and ``patches_per_case`` patches of each. An epoch passes
    once over the cases. ``coverage: code`` is the published rule of R3, which leaves holes.
    """

    kind: Literal["windows"]
    grid: str
    patch: Size3
    stride: Size3
    tumor_repeat: PositiveInt
    cases_per_step: PositiveInt
    patches_per_case: PositiveInt
    coverage: Literal["full", "code"] = "full"
    hard_negatives: HardNegatives | None = None


class Paired(Frozen):
    """Patches of two grids around one center, for networks with valid convolutions.

    ``patch`` and ``output`` are sides in voxels of the networks' inputs and outputs; ``stride`` is
    the distance of neighboring outputs in voxels of the fine grid, rounded to the coarse one. What
    an output holds decides its kind, and kinds are drawn equally often: 2 kinds are background and
    foreground, 3 are background, foreground without tumor, tumor. ``low_target`` is the target of
    the low-resolution output; that of a classification is whether the fine output holds tumor.
    ``steps_per_epoch`` caps an epoch.
    """

    kind: Literal["paired"]
    fine: str
    coarse: str
    patch: PositiveInt
    output: PositiveInt
    stride: PositiveInt
    kinds: Literal[2, 3]
    low_target: Target = "renal"
    steps_per_epoch: PositiveInt | None = None
    hard_negatives: HardNegatives | None = None


class Mix(Frozen):
    """Which share of the patches comes from where; the shares add to 1.

    ``synthetic``: CT that is rendered anew for every patch, around label maps. ``volumes``: scans
    with label maps. ``slices``: single real slices with label maps (``renalis.dataset.slices``),
    taken to go on unchanged along the body.
    """

    synthetic: Share = 0.0
    volumes: Share = 0.0
    slices: Share = 0.0

    @model_validator(mode="after")
    def _adds_to_one(self) -> Mix:
        if abs(self.synthetic + self.volumes + self.slices - 1) > 1e-6:
            raise ValueError("the shares must add to 1")
        return self


class Patches(Frozen):
    """Patches that are drawn anew for every step, near kidneys more often than elsewhere.

    Parameters
    ----------
    grid : str
        The grid they are cut from.
    patch : tuple of int
        Voxels (Z, Y, X).
    other_patches : tuple of tuple of int
        Sizes that every second patch is drawn from instead.
    mix : Mix
        Where patches come from.
    near : float
        Share of patches with a renal voxel near their center.
    lesion : float
        Share of those that have a voxel of a lesion there, if there is one.
    jitter : float
        How far, in patch sizes, the center may lie from that voxel.
    rendering : Rendering or None
        How synthetic patches are made, where there are some.
    slice_sizes : tuple of tuple of int
        Pixels (Y, X) of samples of single slices, one of which is drawn for each.
    slices_kept_back : int or None
        Slices of patients whose number this divides are not learned from.
    steps_per_epoch : int
        Optimizer steps from one checkpoint and validation to the next: there is no list of
        patches to pass through.
    """

    kind: Literal["patches"]
    grid: str
    patch: Size3
    other_patches: tuple[Size3, ...] = ()
    mix: Mix
    near: Share
    lesion: Share
    jitter: NonNegative
    rendering: Rendering | None = None
    slice_sizes: tuple[tuple[Count, Count], ...] = ()
    slices_kept_back: PositiveInt | None = None
    steps_per_epoch: PositiveInt = 50

    @model_validator(mode="after")
    def _can_render(self) -> Patches:
        if self.mix.synthetic and self.rendering is None:
            raise ValueError("synthetic patches need the section rendering")
        if self.mix.slices and not self.slice_sizes:
            raise ValueError("samples of single slices need slice_sizes")
        return self


class SamplerOptions(Frozen):
    """What the fields of another package's sampler begin with: samples of one grid.

    ``patch`` are the pixels (Y, X) or voxels (Z, Y, X) of a sample.
    """

    kind: str
    grid: str
    patch: tuple[Count, Count] | Size3
    hard_negatives: HardNegatives | None = None


Sampler = Annotated[
    Slices | Windows | Paired | Patches | SamplerOptions,
    ByName(SAMPLERS, "kind", SamplerOptions),
]
"""One of renalis's own, or of an installed package."""


class Flip(Frozen):
    """Mirror along each of ``axes`` with chance ``p``."""

    name: Literal["flip"]
    axes: tuple[Literal["z", "y", "x"], ...]
    p: Share = 1.0


class Affine(Frozen):
    """Rotation up to ±``rotation_deg`` and scaling, in mm.

    ``dimensions`` 2: in the slice plane, one draw for all slices; 3: about every axis.
    """

    name: Literal["affine"]
    dimensions: Literal[2, 3]
    rotation_deg: NonNegative
    scale: Range = (1.0, 1.0)
    p: Share = 1.0


class Elastic(Frozen):
    """B-spline deformation by ``control_points`` along each axis.

    ``sigma_mm`` is the range of the standard deviation of their displacement.
    """

    name: Literal["elastic"]
    control_points: PositiveInt
    sigma_mm: Range
    p: Share = 1.0


class CropResize(Frozen):
    """A square of ``side`` times the slice's side, resized back."""

    name: Literal["crop_resize"]
    side: Range
    p: Share = 1.0


class Intensity(Frozen):
    """Patch to [0, 1] by its minimum and maximum, brightness, contrast, and back."""

    name: Literal["intensity"]
    brightness: Range
    contrast: Range
    p: Share = 1.0


class HuShift(Frozen):
    """One number up to ±``hu`` added to the whole patch, before clipping."""

    name: Literal["hu_shift"]
    hu: NonNegative
    p: Share = 1.0


class Noise(Frozen):
    """Gaussian noise; ``sigma`` in normalized units."""

    name: Literal["noise"]
    sigma: Range
    p: Share = 1.0


Transform = Annotated[
    Flip | Affine | Elastic | CropResize | Intensity | HuShift | Noise, Field(discriminator="name")
]


class Augmentation(Frozen):
    """Transforms of training samples; synthetic patches vary by themselves and are left alone.

    ``copies`` 0: every transform is tried on every sample with its own chance. ``copies`` n: the
    step sees each sample and n changed copies, each changed by one transform, all different.
    """

    copies: NonNegativeInt = 0
    transforms: tuple[Transform, ...] = ()
