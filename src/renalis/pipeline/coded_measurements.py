"""Measurements that have codes, for a structured report: which number is called what, in what unit.

What has no code of its own (R.E.N.A.L. letters, probabilities) stays in ``measurements.json``.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from renalis.io.segments.facts import SegmentFacts
from renalis.io.segments.sr_out import MeasuredSegment, Quantity
from renalis.measurement import Kidney, Lesion, Measurements
from renalis.measurement.results import Intensity

__all__ = ["coded_measurements"]

_ML = Code("ml", "UCUM", "milliliter")
_MM, _HU = codes.UCUM.Millimeter, codes.UCUM.HounsfieldUnit
_VOLUME, _LENGTH, _DIAMETER = codes.SCT.Volume, codes.SCT.Length, codes.SCT.Diameter
_LONG, _SHORT = codes.SCT.LongAxis, codes.SCT.ShortAxis
_ATTENUATION = codes.DCM.AttenuationCoefficient
_MAXIMUM = codes.SCT.Maximum
_DECIMALS = 3


def coded_measurements(
    measured: Measurements, facts: Sequence[SegmentFacts]
) -> list[MeasuredSegment]:
    """The numbers of each structure that is a segment, in the order of the segments.

    Parameters
    ----------
    measured : Measurements
        Of the same labels.
    facts : sequence of SegmentFacts
        Segments, with the measurements' ids.

    Returns
    -------
    list of MeasuredSegment
        Kidneys: volume, length and HU of the parenchyma, which is what their segments hold.
        Lesions: volume, largest axial diameter and the width across it, largest diameter in any
        direction, HU.
    """
    numbers = {one.id: number for number, one in enumerate(facts, 1)}
    # Slices are counted along the patient; a scan's images lie along its last axis.
    along = measured.grid.slice_axis == 2
    found = [
        MeasuredSegment(
            numbers[kidney.id], _of_kidney(kidney), kidney.location.slice_index if along else None
        )
        for kidney in measured.kidneys
        if kidney.id in numbers
    ]
    found += [
        MeasuredSegment(
            numbers[lesion.id], _of_lesion(lesion), lesion.axial_slice if along else None
        )
        for lesion in measured.lesions
        if lesion.id in numbers
    ]
    return sorted(found, key=lambda one: one.number)


def _of_kidney(kidney: Kidney) -> tuple[Quantity, ...]:
    return (
        _quantity(_VOLUME, _ML, kidney.parenchyma_ml),
        _quantity(_LENGTH, _MM, kidney.length_mm),
        *_attenuation(kidney.intensity),
    )


def _of_lesion(lesion: Lesion) -> tuple[Quantity, ...]:
    return (
        _quantity(_VOLUME, _ML, lesion.volume_ml),
        _quantity(_LONG, _MM, lesion.axial_mm),
        _quantity(_SHORT, _MM, lesion.axial_short_mm),
        _quantity(_DIAMETER, _MM, lesion.diameter_mm, _MAXIMUM),
        *_attenuation(lesion.intensity),
    )


def _attenuation(intensity: Intensity | None) -> tuple[Quantity, ...]:
    if intensity is None:
        return ()
    return (
        _quantity(_ATTENUATION, _HU, intensity.mean_hu, codes.SCT.Mean),
        _quantity(_ATTENUATION, _HU, intensity.sd_hu, codes.SCT.StandardDeviation),
        _quantity(_ATTENUATION, _HU, intensity.median_hu, codes.SCT.Median),
    )


def _quantity(what: Code, unit: Code, value: float, derivation: Code | None = None) -> Quantity:
    return Quantity(what, unit, round(float(value), _DECIMALS) + 0.0, derivation)
