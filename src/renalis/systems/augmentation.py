"""The augmentation of a recipe as one function from a cut sample to network inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from renalis.augmentation import (
    BrightnessContrast,
    Compose,
    Flip,
    HuShift,
    MaskInput,
    Noise,
    Normalize,
    Presence,
    Sometimes,
    Spatial,
    Transform,
    expand,
)
from renalis.preparation import GridSpec
from renalis.recipes import sample_fields as fields
from renalis.sampling import Sample

__all__ = ["SampleTransform", "sample_transform", "spatial_margin_mm"]

SampleTransform = Callable[[Sample, np.random.Generator], list[Sample]]
"""From one sample in HU to one or more that the network sees."""

_AXES = {"z": -3, "y": -2, "x": -1}
_PLACES = (fields.Affine, fields.Elastic, fields.CropResize)


def sample_transform(
    plan: fields.Augmentation | None,
    spec: GridSpec,
    *,
    mask_fill: float | None = None,
    shapes: dict[str, tuple[int, ...]] | None = None,
    presence: Sequence[int] = (),
) -> SampleTransform:
    """Augment (or not), mask, normalize.

    Parameters
    ----------
    plan : Augmentation or None
        None for validation: nothing is changed.
    spec : GridSpec
        Intensities of the grid.
    mask_fill : float, optional
        HU outside the input mask ``"roi"``, when there is one.
    shapes : dict, optional
        Final size of each array when samples were cut with a margin.
    presence : sequence of int
        Training labels whose presence in ``"seg"`` is the target ``"cls"``; none for no such
        target.
    """
    last: list[Transform] = [Presence(values=tuple(presence))] if presence else []
    mask: list[Transform] = [] if mask_fill is None else [MaskInput(fill=mask_fill)]
    normal = Compose((*mask, Normalize(spec.clip_hu, spec.sub, spec.div), *last))
    transforms = () if plan is None else plan.transforms
    places = _spatial(transforms, shapes)
    if plan is not None and plan.copies:
        single = [_alone(step, normal, shapes) for step in transforms]
        copies = plan.copies

        def several(sample: Sample, rng: np.random.Generator) -> list[Sample]:
            first, *others = expand(sample, single, copies, rng)
            return [normal(first, rng), *others]

        return several
    before: list[Transform] = [] if places is None else [places]
    after: list[Transform] = []
    for step in transforms:
        if isinstance(step, fields.Flip):
            before.append(Flip(tuple(_AXES[axis] for axis in step.axes), step.p))
        elif isinstance(step, fields.HuShift):
            before.append(Sometimes(HuShift(step.hu), step.p))
        elif isinstance(step, fields.Noise):
            after.append(Sometimes(Noise(step.sigma), step.p))
        elif isinstance(step, fields.Intensity):
            after.append(Sometimes(BrightnessContrast(step.brightness, step.contrast), step.p))
    chain = Compose((*before, normal, *after))

    def one(sample: Sample, rng: np.random.Generator) -> list[Sample]:
        return [chain(sample, rng)]

    return one


def _alone(
    step: fields.Transform, normal: Transform, shapes: dict[str, tuple[int, ...]] | None
) -> Transform:
    """One transform with normalization at its right place."""
    if isinstance(step, _PLACES):
        places = _spatial((step,), shapes)
        assert places is not None
        return Compose((places, normal))
    if isinstance(step, fields.Flip):
        return Compose((Flip(tuple(_AXES[axis] for axis in step.axes), step.p), normal))
    if isinstance(step, fields.HuShift):
        return Compose((HuShift(step.hu), normal))
    if isinstance(step, fields.Noise):
        return Compose((normal, Noise(step.sigma)))
    return Compose((normal, BrightnessContrast(step.brightness, step.contrast)))


def _spatial(
    transforms: Sequence[fields.Transform], shapes: dict[str, tuple[int, ...]] | None
) -> Spatial | None:
    """All transforms of places as one, so that arrays are interpolated once."""
    numbers: dict[str, Any] = {"dims": 2}
    for step in transforms:
        if isinstance(step, fields.Affine):
            scale = None if step.scale == (1.0, 1.0) else step.scale
            numbers |= {"dims": step.dimensions, "angle_deg": step.rotation_deg, "scale": scale}
            numbers |= {"p_rotate": step.p, "p_scale": step.p}
        elif isinstance(step, fields.Elastic):
            numbers |= {"dims": 3, "elastic_mm": step.sigma_mm, "control": step.control_points}
            numbers["p_elastic"] = step.p
        elif isinstance(step, fields.CropResize):
            numbers |= {"crop": step.side, "p_crop": step.p}
    if len(numbers) == 1 and not shapes:
        return None
    if shapes:
        numbers |= {"shape": shapes, "dims": 3}
    return Spatial(**numbers)


def spatial_margin_mm(plan: fields.Augmentation, half_mm: float) -> float:
    """How far (mm) transforms may reach beyond a patch that ends ``half_mm`` from its center."""
    margin = 0.0
    for step in plan.transforms:
        if isinstance(step, fields.Affine):
            turn = 2 * np.sin(np.deg2rad(step.rotation_deg))
            margin += half_mm * (turn + 1 / min(step.scale[0], 1.0) - 1)
        elif isinstance(step, fields.Elastic):
            margin += 3 * step.sigma_mm[1]
    return float(margin)
