"""What about a scan lies beyond what the shipped model learned from, so that it may be wrong.

Each rule has a name and a threshold with its origin. None of them changes a label. What is said
elsewhere is not said again: no kidney, kidneys cut by the scan's border, one kidney, unequal ones,
a small child's body, a lost spacing, values that are no HU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import bounding_box
from renalis.measurement.contrast_phase import UNENHANCED_HU, ContrastPhase
from renalis.measurement.results import Kidney
from renalis.preparation.body import Body
from renalis.preparation.plausibility import NARROW_MM, extent_mm, is_cut
from renalis.volume import Volume

__all__ = ["Unusual", "unusual"]

THICK_MM = 7.5
"""The thickest slices that synthetic scans for training have (`renalis.synthesis.scanner`)."""
FEW_SLICES = 10
"""Kidneys are 9 to 13 cm long: as few slices show a part of one, or are very far apart."""
SMALL_MM, LARGE_MM = 240.0, 500.0
"""Bodies of synthetic scans are 270 to 480 mm wide (`renalis.synthesis.anatomy`)."""
SLIM_MM, SHORT_KIDNEY_MM = 290.0, 90.0
"""Narrower bodies with two whole kidneys that are both shorter are children's: an adult's kidneys
are 9 to 13 cm long, those of ten years 9 cm at most (Han and Babcock, AJR 1985;145:611)."""
NOISE_HU = 45.0
"""Synthetic scans have noise of up to 42 HU (`renalis.synthesis.scanner`)."""
_LAG_MM = 4.0
"""Noise is correlated over less than this."""
_TISSUE_HU = (-150, 200)
METAL_HU, METAL_ML = 2500, 0.3
"""Cortical bone stays below 2000 HU, stones below 1700. A surgical clip is smaller."""
_RIM_MM = 3.0
_SAME = 0.95
"""Share of the voxels outside the reconstruction circle that have one value: padding, not air."""


@dataclass(frozen=True)
class Unusual:
    """Something about a scan that its reader should know.

    Attributes
    ----------
    rule : str
        Its name, for machines.
    sentence : str
        What it is and what follows; begins in small letters.
    """

    rule: str
    sentence: str


def unusual(
    image: Volume,
    labels: Volume,
    body: Body,
    kidneys: Sequence[Kidney],
    phase: ContrastPhase | None = None,
) -> tuple[Unusual, ...]:
    """What is unusual about a scan.

    Parameters
    ----------
    image, labels : Volume
        HU and KiTS23 labels on one grid in canonical orientation.
    body : Body
        From `renalis.preparation.body.find_body`.
    kidneys : sequence of Kidney
        As measured.
    phase : ContrastPhase, optional
        As the kidneys tell it.
    """
    found = [*_found(image, labels, body, kidneys), *_phase(kidneys, phase)]
    return tuple(Unusual(*one) for one in found)


def _found(
    image: Volume, labels: Volume, body: Body, kidneys: Sequence[Kidney]
) -> Iterator[tuple[str, str]]:
    yield from _sampling(image)
    yield from _size(body, kidneys)
    noise = noise_hu(image)
    if noise is not None and noise > NOISE_HU:
        yield (
            "noise",
            f"the scan is very noisy ({noise:.0f} HU): small lesions may be missed or false",
        )
    box = bounding_box(labels.array)
    if box is None:
        return
    levels = image.array[box[0]]
    metal = np.count_nonzero(levels > METAL_HU) * image.voxel_ml
    if metal >= METAL_ML:
        yield (
            "metal",
            f"{metal:.1f} ml of metal lie at the height of the kidneys: its streaks may hide or "
            "feign lesions",
        )
    if _beside_padding(image, labels.array[box[0]] > 0, levels):
        yield (
            "cut_by_circle",
            "a kidney reaches the edge of the reconstructed field of view and may go on outside",
        )


def _sampling(image: Volume) -> Iterator[tuple[str, str]]:
    """Slices that are thick, or few."""
    thick, count = image.spacing[0], image.shape[0]
    if thick > THICK_MM:
        yield (
            "thick_slices",
            f"slices lie {thick:.1f} mm apart, more than in any scan that the model learned from: "
            "volumes are coarse and lesions below 2 cm may be missed",
        )
    if count < FEW_SLICES:
        yield (
            "few_slices",
            f"the scan has {count} slice{'' if count == 1 else 's'}: what lies above and below is "
            "not known",
        )


def _size(body: Body, kidneys: Sequence[Kidney]) -> Iterator[tuple[str, str]]:
    """Patients smaller or larger than those of training."""
    width = extent_mm(body, 2)
    if width is None or is_cut(body, 2):
        return
    if NARROW_MM <= width < SMALL_MM:
        yield (
            "small_body",
            f"the body is only {width / 10:.0f} cm wide, as a child's; the model learned from "
            "adults",
        )
    elif SMALL_MM <= width < SLIM_MM and _are_short(kidneys):
        yield (
            "small_body",
            f"the body is {width / 10:.0f} cm wide and both kidneys are shorter than "
            f"{SHORT_KIDNEY_MM / 10:.0f} cm, as a child's; the model learned from adults",
        )
    if width > LARGE_MM:
        yield (
            "large_body",
            f"the body is {width / 10:.0f} cm wide, or arms lie beside it: more than in the scans "
            "that the model learned from",
        )


def _are_short(kidneys: Sequence[Kidney]) -> bool:
    """Whether two kidneys or more are whole, and all of them short."""
    whole = [one for one in kidneys if one.is_kidney.answer.counts and not one.location.borders]
    return len(whole) > 1 and all(one.length_mm < SHORT_KIDNEY_MM for one in whole)


def noise_hu(image: Volume) -> float | None:
    """Standard deviation of the noise in fat and soft tissue, from differences of near voxels.

    Parameters
    ----------
    image : Volume
        HU, canonical orientation. Some 16 slices are looked at.

    Returns
    -------
    float or None
        HU; None with hardly any tissue.
    """
    every = max(1, image.shape[0] // 16)
    lag = max(1, round(_LAG_MM / image.spacing[2]))
    rows = image.array[::every, ::2]
    if rows.shape[2] <= lag:
        return None
    one, other = rows[:, :, :-lag:2], rows[:, :, lag::2]
    low, high = _TISSUE_HU
    both = (one > low) & (one < high) & (other > low) & (other < high)
    off = np.abs(one[both].astype(np.int32) - other[both])
    return float(np.median(off) / (0.6745 * np.sqrt(2))) if off.size > 1000 else None


def _beside_padding(image: Volume, renal: NDArray[np.bool_], levels: NDArray[np.generic]) -> bool:
    """Whether a kidney touches the circle inscribed in the slices, with padding outside."""
    sizes = [n * mm for n, mm in zip(image.shape[1:], image.spacing[1:], strict=True)]
    y, x = (
        (np.arange(n) - (n - 1) / 2) * mm
        for n, mm in zip(image.shape[1:], image.spacing[1:], strict=True)
    )
    away = np.hypot(y[:, None], x[None, :]) - min(sizes) / 2
    if not (renal.any(axis=0) & (away > -_RIM_MM)).any():
        return False
    outside = levels[:, away > _RIM_MM]
    return bool(outside.size and (outside == outside.min()).mean() >= _SAME)


def _phase(kidneys: Sequence[Kidney], phase: ContrastPhase | None) -> Iterator[tuple[str, str]]:
    """Phases in which lesions look unlike those of real scans that the model was measured on."""
    counted = [kidney for kidney in kidneys if kidney.is_kidney.answer.counts]
    known = [kidney.intensity.median_hu for kidney in counted if kidney.intensity is not None]
    if known and max(known) < UNENHANCED_HU:
        yield (
            "unenhanced",
            f"the kidneys have {max(known):.0f} HU, as without contrast medium: tumors of the "
            "same density do not show",
        )
    if phase is not None and phase.name == "excretory":
        yield (
            "excretory",
            "urine in the kidneys is opaque, as in the excretory phase: the model was tested on "
            "hardly any such real scan, and bright calyces may hide lesions",
        )
