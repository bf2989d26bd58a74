"""How to score, and what comes out: plain values without any computing."""

from __future__ import annotations

from dataclasses import dataclass, field

from renalis.choices import EmptyRule
from renalis.conventions import Convention
from renalis.evaluation.grids import Grid
from renalis.evaluation.lesions import Detection, LesionRule

__all__ = ["CaseScore", "Options", "RegionScore"]


@dataclass(frozen=True)
class Options:
    """How to score.

    Parameters
    ----------
    labels : Convention
        Convention that is scored.
    reference_labels, prediction_labels : Convention or None
        Convention each map was written in. None reads ``radboud`` when that is scored, else
        ``kits23``, which reads KiTS19 files as well: they lack label 3 and nothing else.
    grid : Grid
        What to do when the grids differ.
    empty : EmptyRule
        What an empty reference or prediction counts.
    lesion : LesionRule
        When a lesion counts as found.
    """

    labels: Convention = Convention.KITS23
    reference_labels: Convention | None = None
    prediction_labels: Convention | None = None
    grid: Grid = Grid.SAME
    empty: EmptyRule = EmptyRule.KITS
    lesion: LesionRule = field(default_factory=LesionRule)

    def written(self, given: Convention | None) -> Convention:
        """Convention of a file that was given as ``given``."""
        if given is not None:
            return given
        radboud = self.labels is Convention.RADBOUD
        return Convention.RADBOUD if radboud else Convention.KITS23


@dataclass(frozen=True)
class RegionScore:
    """Scores of one region. NaN: has no value or does not count in this case.

    Parameters
    ----------
    name : str
        Region.
    dice, surface_dice : float
        Dice coefficient, and surface Dice at the region's tolerance.
    hd95_mm, mean_surface_mm : float
        Robust Hausdorff distance and mean surface distance; NaN when a mask is empty.
    reference_ml, prediction_ml : float
        Volumes.
    volume_error_ml, volume_error_percent : float
        Prediction minus reference, and in percent of the reference.
    false_positive_ml : float
        Predicted volume where the reference is empty; NaN where it is not.
    smooth_dice : float
        Dice with 1 added above and below.
    slice_dice, slice_dice_all : float
        Mean Dice of the axial slices in which the reference shows kidney, and of all.
    detection : Detection or None
        The region's lesions.
    """

    name: str
    dice: float
    surface_dice: float
    hd95_mm: float
    mean_surface_mm: float
    reference_ml: float
    prediction_ml: float
    volume_error_ml: float
    volume_error_percent: float
    false_positive_ml: float
    smooth_dice: float
    slice_dice: float
    slice_dice_all: float
    detection: Detection | None = None


@dataclass(frozen=True)
class CaseScore:
    """Scores of one case.

    Parameters
    ----------
    regions : dict of str to RegionScore
        By name, in the order of the convention. Regions that one of the maps cannot express are
        missing.
    spacing : tuple of float
        Voxel spacing of the reference along its axes, mm.
    slice_thickness_mm : float
        Distance between the slices across the axis nearest to head-foot, mm: at right angles, also
        where the gantry was tilted.
    worst_slice : int
        Index along that axis of the slice in which most voxels differ.
    notes : tuple of str
        What was done to make the maps comparable, in sentences.
    """

    regions: dict[str, RegionScore]
    spacing: tuple[float, float, float]
    slice_thickness_mm: float
    worst_slice: int
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> RegionScore:
        return self.regions[name]
