"""What is measured: plain frozen records, with the unit in every name.

Names end in ``_mm``, ``_ml`` or ``_hu``; fractions run from 0 to 1. Positions are patient
coordinates in mm (RAS+), indices are array indices of the scan's own grid, in its own axis order.
A value that geometry cannot give is None, and the rule next to it says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from renalis.postprocessing.kidney_check import Verdict

__all__ = [
    "CaseConfidence",
    "Confidence",
    "Grid",
    "Intensity",
    "Kidney",
    "Lesion",
    "LesionKind",
    "Location",
    "Nephrometry",
    "Pole",
    "Score",
    "Shape",
    "Side",
    "Totals",
]


class Side(StrEnum):
    """The patient's own side."""

    LEFT = "left"
    RIGHT = "right"
    OTHER = "other"
    """On neither side alone (horseshoe, midline pelvic), or second on a side (transplant)."""


class LesionKind(StrEnum):
    """What a lesion is."""

    TUMOR = "tumor"
    CYST = "cyst"


class Pole(StrEnum):
    """Part of the kidney along its own long axis."""

    UPPER = "upper"
    INTERPOLAR = "interpolar"
    LOWER = "lower"


@dataclass(frozen=True)
class Location:
    """Where a structure lies.

    Attributes
    ----------
    centroid_mm : tuple of float
        Center of its voxels in patient mm (RAS+); of a bent structure it may lie outside.
    inside_mm : tuple of float
        Center of that voxel of the structure that is nearest to the centroid, in patient mm (RAS+).
    centroid_index : tuple of float
        The centroid as array indices of the scan's own grid.
    slice_index : int
        The axial slice nearest to the center: an index, from 0, along the scan's own slice axis.
    slices : tuple of int
        Lowest and highest index, from 0, along that axis that the structure occupies.
    borders : tuple of str
        Sides of the scan that it touches, of superior, inferior, anterior, posterior, left, right;
        a structure that touches a border may go on outside the scan.
    """

    centroid_mm: tuple[float, float, float]
    inside_mm: tuple[float, float, float]
    centroid_index: tuple[float, float, float]
    slice_index: int
    slices: tuple[int, int]
    borders: tuple[str, ...]


@dataclass(frozen=True)
class Intensity:
    """CT numbers over all voxels of a structure (population SD)."""

    mean_hu: float
    sd_hu: float
    median_hu: float


@dataclass(frozen=True)
class Confidence:
    """How sure the network was.

    Attributes
    ----------
    mean_probability : float
        Mean over the structure's voxels, 0 to 1. Not calibrated: a ranking, not a chance.
    low_ml, high_ml : float
        Volume where the probability is above 0.75 and above 0.25, within 6 mm of the structure,
        widened to contain the measured volume.
    agreement_fraction : float or None
        How much of what one look (mirrored look, fold or member) sees in and within 6 mm around the
        structure another one sees as well, on average over pairs; not calibrated; None where there
        was one look.
    lesion_confidence, kind_confidence : float or None
        Of a lesion: the share of findings like it that touched a lesion of the reference, and one
        of the same kind, where the model was tested (``docs/explanation/confidence.md``). None of
        kidneys, and where the model was not tested so.
    """

    mean_probability: float
    low_ml: float
    high_ml: float
    agreement_fraction: float | None = None
    lesion_confidence: float | None = None
    kind_confidence: float | None = None


@dataclass(frozen=True)
class CaseConfidence:
    """How sure a whole case is; no statement about the patient.

    Attributes
    ----------
    case_confidence : float or None
        Dice of everything renal to be expected, from scans where it was measured; None where
        the model was not tested so.
    mean_probability : float
        Of anything renal, over all kidneys; not calibrated.
    margin_fraction : float
        Their volume above a probability of 0.75 over that above 0.25: 1 where outlines are sharp.
    agreement_fraction : float or None
        Dice of one look with another, on average over pairs; not calibrated; None where there was
        one.
    agreement_among : str
        What these looks were: "4 mirrored looks", "5 folds" of a run, or "3 members" of an
        ensemble; empty without.
    basis : str
        What ``case_confidence`` was measured on, or that nothing was measured so.
    """

    case_confidence: float | None
    mean_probability: float
    margin_fraction: float
    agreement_fraction: float | None
    agreement_among: str
    basis: str


@dataclass(frozen=True)
class Score:
    """One letter of the R.E.N.A.L. score.

    Attributes
    ----------
    value : float or str or None
        What the letter is read from: mm, a fraction, or a word.
    points : int or None
        1 to 3; None for the letter A, which has no points, and where geometry cannot tell.
    rule : str
        How value and points were derived.
    """

    value: float | str | None
    points: int | None
    rule: str


@dataclass(frozen=True)
class Nephrometry:
    """The R.E.N.A.L. score of a tumor (Kutikov & Uzzo, J Urol 2009;182:844-53).

    Attributes
    ----------
    radius, exophytic, nearness, face, location : Score
        The letters R, E, N, A, L.
    total : int or None
        R + E + N + L, 4 to 12; None when a letter is missing.
    complexity : str or None
        low (4 to 6), moderate (7 to 9), high (10 to 12).
    """

    radius: Score
    exophytic: Score
    nearness: Score
    face: Score
    location: Score
    total: int | None
    complexity: str | None


@dataclass(frozen=True)
class Shape:
    """How a lesion sits in its kidney; every value may be None, ``rule`` then says why.

    Attributes
    ----------
    pole : Pole or None
        Part of the kidney in which the lesion's center lies.
    exophytic_fraction : float or None
        Share of the lesion outside the kidney's own restored contour.
    sinus_mm : float or None
        Shortest distance from the lesion to the renal sinus; 0 when they touch.
    pole_rule, exophytic_rule, sinus_rule : str
        How the values were derived.
    """

    pole: Pole | None
    exophytic_fraction: float | None
    sinus_mm: float | None
    pole_rule: str
    exophytic_rule: str
    sinus_rule: str


@dataclass(frozen=True)
class Lesion:
    """One tumor or cyst.

    Attributes
    ----------
    id : str
        ``tumor-1`` is the largest tumor by volume, and so on.
    kind : LesionKind
        Tumor or cyst.
    kidney : str or None
        Id of the kidney it belongs to.
    side : Side
        Side of that kidney, or of the lesion itself when it has none.
    volume_ml : float
        Voxels times voxel volume.
    axial_mm, axial_short_mm : float
        Largest diameter in any axial slice (exact Feret), and the width across it.
    axial_slice : int
        The slice of that diameter: an index, from 0, along the scan's own slice axis.
    diameter_mm : float
        Largest diameter in any direction.
    location : Location
        Where it lies.
    intensity : Intensity or None
        CT numbers; None when nothing finite lies in it.
    enhancement_hu : None
        Always None: enhancement is the difference between two phases, and one scan has one phase.
    shape : Shape
        How it sits in its kidney.
    nephrometry : Nephrometry or None
        For tumors; cysts are not scored.
    confidence : Confidence or None
        None without probabilities.
    """

    id: str
    kind: LesionKind
    kidney: str | None
    side: Side
    volume_ml: float
    axial_mm: float
    axial_short_mm: float
    axial_slice: int
    diameter_mm: float
    location: Location
    intensity: Intensity | None
    enhancement_hu: None
    shape: Shape
    nephrometry: Nephrometry | None
    confidence: Confidence | None


@dataclass(frozen=True)
class Kidney:
    """One kidney with its lesions.

    Attributes
    ----------
    id : str
        ``left``, ``right``, ``other-1``, ...
    side : Side
        By the affine and the body's midline.
    volume_ml : float
        Parenchyma and lesions together.
    parenchyma_ml, tumor_ml, cyst_ml : float
        Its parts; they add up to ``volume_ml``.
    length_mm : float
        Largest diameter of the parenchyma in any direction.
    length_with_lesions_mm : float
        The same with lesions.
    offset_mm : float
        Distance of the center from the midline, positive on the patient's right.
    location : Location
        Where it lies.
    intensity : Intensity or None
        CT numbers of the parenchyma.
    lesions : tuple of str
        Ids of its lesions.
    confidence : Confidence or None
        None without probabilities.
    is_kidney : Verdict
        How sure it is that this is a kidney, and what speaks against it.
    notes : tuple of str
        What a reader should know about this kidney.
    """

    id: str
    side: Side
    volume_ml: float
    parenchyma_ml: float
    tumor_ml: float
    cyst_ml: float
    length_mm: float
    length_with_lesions_mm: float
    offset_mm: float
    location: Location
    intensity: Intensity | None
    lesions: tuple[str, ...]
    confidence: Confidence | None
    is_kidney: Verdict
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Totals:
    """Sums over the whole scan, every labeled voxel counted once."""

    kidney_ml: float
    tumor_ml: float
    cyst_ml: float
    unassigned_ml: float
    """Parenchyma in specks that belong to no kidney; part of ``kidney_ml``."""


@dataclass(frozen=True)
class Grid:
    """The scan's own grid.

    Attributes
    ----------
    shape : tuple of int
        Voxels along each array axis.
    spacing_mm : tuple of float
        Distance between voxels along each array axis.
    orientation : str
        Direction in which each array axis runs.
    slice_axis : int
        The array axis that runs along the patient; slice indices count along it.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    orientation: str
    slice_axis: int
