"""Measurements as JSON and as one CSV row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from renalis.measurement.results import CaseConfidence, Kidney, Lesion, Totals

__all__ = [
    "CSV_HEADER",
    "SCHEMA_NAME",
    "confidence_columns",
    "csv_columns",
    "schema",
    "to_json",
]

SCHEMA_NAME = "renalis-measurements-1"

UNITS = {
    "_mm": "millimeters; positions in patient coordinates, RAS+",
    "_ml": "milliliters",
    "_hu": "Hounsfield units",
    "_fraction": "0 to 1",
    "_probability": "0 to 1, not calibrated",
    "_confidence": "0 to 1, measured where the answers are known; no diagnosis",
    "_index": "array index of the scan's own grid, from 0",
}
"""What the endings of the names mean; written into every file."""

_DECIMALS = {
    "spacing_mm": 6,
    "_mm": 2,
    "_ml": 3,
    "_hu": 1,
    "_fraction": 3,
    "_probability": 3,
    "_confidence": 3,
    "_index": 2,
}

_PER_KIDNEY = (
    "ml",
    "with_lesions_ml",
    "tumor_ml",
    "cyst_ml",
    "length_mm",
    "hu_mean",
    "hu_sd",
    "cut",
    "is_kidney",
)

CSV_HEADER = (
    "case",
    *(f"kidney_{side}_{name}" for side in ("left", "right") for name in _PER_KIDNEY),
    "kidney_other_ml",
    "kidneys",
    "kidneys_doubtful",
    "kidney_ml",
    "tumor_ml",
    "cyst_ml",
    "lesions",
    "tumors",
    "cysts",
    "largest_lesion_mm",
    "largest_tumor_mm",
    "largest_tumor_axial_mm",
    "largest_tumor_side",
    "largest_tumor_renal",
    "case_confidence",
    "case_agreement",
    "largest_tumor_confidence",
    "least_lesion_confidence",
    "unusual",
    "notes",
)
"""Columns of the CSV, always all of them and in this order. ``kidney_left_ml`` is parenchyma;
``kidneys`` counts those that are or likely are kidneys, ``kidneys_doubtful`` the rest;
``largest_lesion_mm`` and ``largest_tumor_*`` belong to the largest by volume (``tumor-1``).
Those of confidence are empty where the model was not tested for them, and where nothing was found:
sorted by ``case_confidence``, empty cells first, the most doubtful cases come first."""


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) that `to_json` keeps to."""
    text = resources.files("renalis.measurement").joinpath("schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def to_json(fields: Mapping[str, Any]) -> str:
    """Measurements as JSON text: the fields' own order, units spelled out, rounded by unit."""
    content = {"schema": SCHEMA_NAME, "units": UNITS, **_plain(fields, "")}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any, name: str) -> Any:
    """Rounded, JSON-ready copy of a value; its name says how far to round."""
    if isinstance(value, Mapping):
        return {key: _plain(inner, key) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, name) for inner in value]
    if isinstance(value, float):
        decimals = next((n for ending, n in _DECIMALS.items() if name.endswith(ending)), 3)
        return round(value, decimals) + 0.0
    return value


def csv_columns(
    kidneys: Sequence[Kidney],
    lesions: Sequence[Lesion],
    totals: Totals,
    notes: Sequence[str],
    case: str,
) -> dict[str, str]:
    """One CSV row; what does not exist is an empty cell, never a zero."""
    row = dict.fromkeys(CSV_HEADER, "")
    row["case"] = case
    for side in ("left", "right"):
        kidney = next((one for one in kidneys if one.id == side), None)
        if kidney is not None:
            row |= {f"kidney_{side}_{key}": text for key, text in _kidney(kidney).items()}
    others = [kidney for kidney in kidneys if kidney.side == "other"]
    tumors = [lesion for lesion in lesions if lesion.kind == "tumor"]
    if others:
        row["kidney_other_ml"] = _number(sum(kidney.parenchyma_ml for kidney in others), 2)
    counted = sum(kidney.is_kidney.answer.counts for kidney in kidneys)
    row["kidneys"] = str(counted)
    row["kidneys_doubtful"] = str(len(kidneys) - counted)
    row["kidney_ml"] = _number(totals.kidney_ml, 2)
    row["tumor_ml"] = _number(totals.tumor_ml, 2)
    row["cyst_ml"] = _number(totals.cyst_ml, 2)
    row["lesions"] = str(len(lesions))
    row["tumors"] = str(len(tumors))
    row["cysts"] = str(len(lesions) - len(tumors))
    if lesions:
        largest = max(lesions, key=lambda lesion: lesion.volume_ml)
        row["largest_lesion_mm"] = _number(largest.diameter_mm, 1)
    if tumors:
        row |= _largest_tumor(tumors[0])
    row["notes"] = " | ".join(notes)
    return row


def confidence_columns(case: CaseConfidence | None, lesions: Sequence[Lesion]) -> dict[str, str]:
    """How sure the case and its lesions are; what is not known is an empty cell."""
    sure = {
        lesion.id: lesion.confidence.lesion_confidence
        for lesion in lesions
        if lesion.confidence is not None and lesion.confidence.lesion_confidence is not None
    }
    values = {
        "case_confidence": None if case is None else case.case_confidence,
        "case_agreement": None if case is None else case.agreement_fraction,
        "largest_tumor_confidence": sure.get("tumor-1"),
        "least_lesion_confidence": min(sure.values(), default=None),
    }
    return {name: "" if value is None else _number(value, 3) for name, value in values.items()}


def _kidney(kidney: Kidney) -> dict[str, str]:
    """The cells of one kidney."""
    cells = {
        "ml": _number(kidney.parenchyma_ml, 2),
        "with_lesions_ml": _number(kidney.volume_ml, 2),
        "tumor_ml": _number(kidney.tumor_ml, 2),
        "cyst_ml": _number(kidney.cyst_ml, 2),
        "length_mm": _number(kidney.length_mm, 1),
        "cut": "yes" if kidney.location.borders else "no",
        "is_kidney": str(kidney.is_kidney.answer),
    }
    if kidney.intensity is not None:
        cells["hu_mean"] = _number(kidney.intensity.mean_hu, 1)
        cells["hu_sd"] = _number(kidney.intensity.sd_hu, 1)
    return cells


def _largest_tumor(tumor: Lesion) -> dict[str, str]:
    """The cells of the largest tumor by volume, which is tumor-1."""
    total = tumor.nephrometry.total if tumor.nephrometry else None
    return {
        "largest_tumor_mm": _number(tumor.diameter_mm, 1),
        "largest_tumor_axial_mm": _number(tumor.axial_mm, 1),
        "largest_tumor_side": str(tumor.side),
        "largest_tumor_renal": "" if total is None else str(total),
    }


def _number(value: float, decimals: int) -> str:
    """Fixed decimals, so that columns line up and files compare; no negative zero."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}"
