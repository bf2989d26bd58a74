"""The published systems' own post-processing: an ordered list of named steps.

The shipped model has its rules in `renalis.postprocessing.rules`. Each publication cleans up in
its own way and order; a recipe lists these steps by name with their numbers, and every step says
how much it changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.boxes import Box, bounding_box, grown
from renalis.choices import Region
from renalis.postprocessing.component_filters import Neighbors, detached, shorter_than, smaller_than
from renalis.postprocessing.components import find_components
from renalis.postprocessing.context import Context, Step
from renalis.postprocessing.make_steps import make_step, register_step
from renalis.postprocessing.morphology import closed, dilated, filled, opened
from renalis.postprocessing.sides import Split, middle_x_mm, smaller_on_each_side
from renalis.postprocessing.tidy import RuleChange, Tidied
from renalis.preparation.alignment import nearest_values
from renalis.volume import Volume

__all__ = [
    "Attached",
    "Closing",
    "Context",
    "FillHoles",
    "KeepIfMl",
    "MaskByLow",
    "MinFeret",
    "Opening",
    "RestrictToRoi",
    "SideLargest",
    "Step",
    "make_step",
    "register_step",
    "run_steps",
]

Into = Literal["around", "background"]
"""What becomes of a dropped lesion: the label around it, so that a speck in a kidney does not
become a hole; or background, as the published code has it."""


@register_step()
@dataclass(frozen=True)
class SideLargest:
    """On each side of the body only the largest components of a region stay.

    From Humpire-Mamani et al. 2019: left and right are parted at the middle of the body, and the
    largest component on each side is the kidney. See `renalis.postprocessing.sides`.

    Attributes
    ----------
    region : {"kidney", "tumor", "renal"}
        What components are made of, and what is dropped of the others. "renal" drops lesions too:
        whatever lies apart from the largest component, however near or large.
    joined_by : {"kidney", "tumor", "renal"}, optional
        Components that this connects count as one: a kidney that a tumor splits stays whole.
    per_side : int
        Components to keep on each side.
    min_ml : float
        Least volume (ml) of a component that stays.
    split : {"body_centroid", "middle"}
        Where the sides part: at the centroid of the body's mask, or in the middle of the grid.
    neighbors : {6, 18, 26}
        What belongs to one component: the neighborhood.
    """

    rule: ClassVar[str] = "side_largest"
    done: ClassVar[str] = "in components that are not the largest on their side was dropped"
    region: Region = "kidney"
    per_side: int = 1
    min_ml: float = 0.0
    split: Split = "body_centroid"
    neighbors: Neighbors = 26
    joined_by: Region | None = None

    def apply(self, labels: Volume, context: Context) -> None:
        """Change the labels in place."""
        dropped = smaller_on_each_side(
            context.region(labels, self.region),
            middle_x_mm(context.whole or labels, context.image, self.split),
            per_side=self.per_side,
            min_ml=self.min_ml,
            neighbors=self.neighbors,
            joined_by=None if self.joined_by is None else context.region(labels, self.joined_by),
        )
        labels.array[dropped] = 0


@register_step()
@dataclass(frozen=True)
class Attached:
    """Components of a region stay when they belong to another region.

    From Humpire-Mamani et al. 2019 (tumors that touch the kidney) and the same group's later
    program (within 4 mm, or above 100 ml). See `renalis.postprocessing.component_filters.detached`.
    """

    rule: ClassVar[str] = "attached"
    done: ClassVar[str] = "in components that belong to nothing was dropped"
    region: Region = "tumor"
    to: Region = "kidney"
    radius_mm: float = 0.0
    neighbors: Neighbors = 26
    or_above_ml: float | None = None

    def apply(self, labels: Volume, context: Context) -> None:
        """Change the labels in place."""
        dropped = detached(
            context.region(labels, self.region),
            context.region(labels, self.to),
            radius_mm=self.radius_mm,
            neighbors=self.neighbors,
            or_above_ml=self.or_above_ml,
        )
        labels.array[dropped] = 0


@register_step()
@dataclass(frozen=True)
class MinFeret:
    """Components of a region stay when their largest axial diameter is at least ``mm``."""

    rule: ClassVar[str] = "min_feret"
    done: ClassVar[str] = "in components of too small a diameter was dropped"
    region: Region = "tumor"
    mm: float = 3.0
    into: Into = "around"

    def apply(self, labels: Volume, context: Context) -> None:
        """Change the labels in place."""
        _erase(labels, shorter_than(context.region(labels, self.region), self.mm), self.into)


@register_step()
@dataclass(frozen=True)
class KeepIfMl:
    """Components of a region stay when they have at least ``ml`` milliliters."""

    rule: ClassVar[str] = "keep_if_ml"
    done: ClassVar[str] = "in components of too small a volume was dropped"
    region: Region = "tumor"
    ml: float = 0.1
    into: Into = "around"

    def apply(self, labels: Volume, context: Context) -> None:
        """Change the labels in place."""
        _erase(labels, smaller_than(context.region(labels, self.region), self.ml), self.into)


@register_step()
@dataclass(frozen=True)
class MaskByLow:
    """Labels stay where the low-resolution prediction, dilated, has something renal.

    From Humpire-Mamani et al. 2019: threshold 0.5, 10 dilations of the fine grid's 1 mm voxels
    with 6 neighbors. On labels of another grid, give ``Context.fine``.
    """

    rule: ClassVar[str] = "mask_by_low"
    done: ClassVar[str] = "far from what the low resolution shows was dropped"
    threshold: float = 0.5
    dilate: int = 10

    def apply(self, labels: Volume, context: Context) -> None:
        """Change the labels in place."""
        if context.low is None:
            raise ValueError("mask_by_low needs the low-resolution probabilities")
        # Ten voxels of a scan with 5 mm slices would be 50 mm.
        grid = context.fine or context.whole or labels
        near = nearest_values(context.low.array, context.low.affine, grid) > self.threshold
        mask = nearest_values(dilated(near, self.dilate), grid.affine, labels)
        labels.array[~mask] = 0


@register_step()
@dataclass(frozen=True)
class RestrictToRoi:
    """A region stays where an earlier stage found something (Beheshtifard et al. 2023)."""

    rule: ClassVar[str] = "restrict_to_roi"
    done: ClassVar[str] = "outside the earlier stage's mask was dropped"
    region: Region = "tumor"
    stage: str = "kidney"

    def apply(self, labels: Volume, context: Context) -> None:
        """Change the labels in place."""
        if self.stage not in context.rois:
            raise ValueError(f"restrict_to_roi needs the mask of the stage {self.stage!r}")
        roi = context.rois[self.stage]
        if not roi.same_grid(labels):
            raise ValueError(f"the mask of the stage {self.stage!r} lies on another grid")
        labels.array[(context.region(labels, self.region).array > 0) & ~(roi.array > 0)] = 0


@register_step()
@dataclass(frozen=True)
class Opening:
    """What is thinner than a ball goes (Halili's wish for 3D clean-up after 2D prediction)."""

    rule: ClassVar[str] = "opening"
    done: ClassVar[str] = "in thin parts was dropped"
    region: Region = "renal"
    radius_mm: float = 1.0

    def apply(self, labels: Volume, context: Context) -> None:
        """Change the labels in place."""
        mask = context.region(labels, self.region).array
        labels.array[mask & ~opened(mask, self.radius_mm, labels.spacing)] = 0


@register_step()
@dataclass(frozen=True)
class Closing:
    """Gaps that a ball does not get into are closed; each gets the nearest label of the region."""

    rule: ClassVar[str] = "closing"
    done: ClassVar[str] = "in narrow gaps was added"
    region: Region = "renal"
    radius_mm: float = 1.0

    def apply(self, labels: Volume, context: Context) -> None:
        """Change the labels in place."""
        mask = context.region(labels, self.region).array
        # What is already another label stays: closing kidneys must not eat tumors.
        gaps = closed(mask, self.radius_mm, labels.spacing) & (labels.array == 0)
        _nearest_label(labels, mask, gaps)


@register_step()
@dataclass(frozen=True)
class FillHoles:
    """Closed cavities of a region become what most of their border is.

    The core of a tumor is tumor, not kidney. ``most_ml`` leaves larger ones open: a kidney's sinus,
    which is not kidney, often is one of several ml.
    """

    rule: ClassVar[str] = "fill_holes"
    done: ClassVar[str] = "in closed cavities was filled"
    region: Region = "renal"
    planes: Literal["3d", "axial"] = "3d"
    most_ml: float | None = None

    def apply(self, labels: Volume, context: Context) -> None:
        """Change the labels in place."""
        canonical = labels.reoriented()
        mask = context.region(canonical, self.region).array
        holes = filled(mask, self.planes) & (canonical.array == 0)
        most = np.inf if self.most_ml is None else self.most_ml * (1 + 1e-9)
        _surrounded(canonical, holes, most / labels.voxel_ml)


def run_steps(labels: Volume, steps: Sequence[Step], context: Context | None = None) -> Tidied:
    """Apply steps to a label map, one after the other.

    Parameters
    ----------
    labels : Volume
        uint8, any orientation.
    steps : sequence of Step
        From `make_step`, in the order in which they run. A step may come twice.
    context : Context, optional
        What steps need in addition to the labels.

    Returns
    -------
    Tidied
        New labels on the same grid, and what each step changed.

    Raises
    ------
    ValueError
        If a step needs something that ``context`` does not have.
    """
    context = context or Context()
    whole = labels.unlabeled()
    # No step adds labels beyond the box of those there are, so only a bounding box is used.
    box = bounding_box(labels.array)
    part = whole
    if box is not None:
        reach = grown(box, whole.shape)
        part = whole.cropped(reach)
        part.array[...] = labels.array[reach]
    context = replace(context, whole=whole, rois=_boxed(context.rois, whole, box))
    changes = []
    for step in steps:
        before = part.array.copy(order="K")
        step.apply(part, context)
        voxels = int(np.count_nonzero(before != part.array))
        changes.append(_change(step, voxels, labels.voxel_ml))
    return Tidied(whole, tuple(changes))


def _boxed(rois: Mapping[str, Volume], whole: Volume, box: Box | None) -> dict[str, Volume]:
    """The masks of earlier stages on the box; one on another grid stays, for its step to refuse."""
    if box is None:
        return dict(rois)
    reach = grown(box, whole.shape)
    return {name: r.cropped(reach) if r.same_grid(whole) else r for name, r in rois.items()}


def _change(step: Step, voxels: int, voxel_ml: float) -> RuleChange:
    """The change with its sentence."""
    rule, ml = step.rule, voxels * voxel_ml
    title = rule.replace("_", " ").capitalize()
    if not voxels:
        return RuleChange(rule, 0, 0.0, f"{title}: nothing to change.")
    return RuleChange(rule, voxels, ml, f"{title}: {ml:.2f} ml ({voxels} voxels) {step.done}.")


def _erase(labels: Volume, dropped: NDArray[np.bool_], into: Into) -> None:
    """Drop components; those inside something else become what is around them."""
    labels.array[dropped] = 0
    if into == "around":
        _surrounded(labels, dropped)


def _surrounded(labels: Volume, places: NDArray[np.bool_], most_voxels: float = np.inf) -> None:
    """Give each component of places without a label the one that most of what touches it has."""
    box = bounding_box(places)
    if box is None:
        return
    reach = grown(box, labels.shape)
    part = labels.array[reach]
    found = find_components(places[reach])
    for component in found.each:
        if component.voxels > most_voxels:
            continue
        near = grown(component.box, part.shape)
        own = found.array[near] == component.number
        border = ndimage.binary_dilation(own, np.ones((3, 3, 3), bool)) & ~own
        counts = np.bincount(part[near][border], minlength=2)
        counts[0] = 0
        if counts.any():
            part[near][own] = counts.argmax()


def _nearest_label(labels: Volume, mask: NDArray[np.bool_], gaps: NDArray[np.bool_]) -> None:
    """Give gaps the label of the nearest voxel of a mask (mm along the array's axes), in place."""
    box = bounding_box(gaps | mask)
    if box is None or not gaps.any():
        return
    part, missing = labels.array[box], gaps[box]
    index = ndimage.distance_transform_edt(
        ~mask[box], sampling=labels.spacing, return_distances=False, return_indices=True
    )
    part[missing] = part[tuple(axis[missing] for axis in index)]
