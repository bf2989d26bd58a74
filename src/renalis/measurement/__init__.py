"""Measuring: volumes, diameters, CT numbers, nephrometry, each with its unit and its rule."""

from renalis.measurement.export import CSV_HEADER, schema
from renalis.measurement.measure import measure
from renalis.measurement.measurements import Measurements
from renalis.measurement.results import (
    CaseConfidence,
    Confidence,
    Grid,
    Intensity,
    Kidney,
    Lesion,
    LesionKind,
    Location,
    Nephrometry,
    Pole,
    Score,
    Shape,
    Side,
    Totals,
)

__all__ = [
    "CSV_HEADER",
    "CaseConfidence",
    "Confidence",
    "Grid",
    "Intensity",
    "Kidney",
    "Lesion",
    "LesionKind",
    "Location",
    "Measurements",
    "Nephrometry",
    "Pole",
    "Score",
    "Shape",
    "Side",
    "Totals",
    "measure",
    "schema",
]
