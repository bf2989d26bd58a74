"""What the page needs to know of one case, read from its folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from renalis.cohort.report.quantities import QUANTITIES, number
from renalis.pipeline.folder import MEASUREMENTS, PREVIEW, REPORT, missing, provenance

__all__ = ["MOST_BYTES", "CaseFacts", "case_notes", "read_case"]

MOST_BYTES = 1 << 24
"""Of a file of measurements; ours are a few kilobytes."""


@dataclass(frozen=True)
class CaseFacts:
    """One case.

    Attributes
    ----------
    name : str
        Of the case and its folder.
    values : mapping
        By key of `renalis.cohort.report.quantities.QUANTITIES`; NaN where there is none.
    confidence : float
        ``case_confidence`` of its row; NaN without one.
    agreement : float
        ``case_agreement`` of its row, which is not calibrated; NaN without one.
    kidneys, doubtful : int
        That are or likely are kidneys, and others.
    notes : int
        Sentences for its reader.
    lesion_mm : tuple of float
        Largest diameter of each lesion.
    measured : bool
        Whether there are measurements.
    missing : tuple of str
        Files that could not be made.
    report, preview : bool
        Whether there are these files.
    seconds : mapping
        By step.
    peak_mb : float
        NaN where it is not known.
    versions : mapping
        What made the results.
    """

    name: str
    values: Mapping[str, float] = field(default_factory=dict)
    confidence: float = math.nan
    agreement: float = math.nan
    kidneys: int = 0
    doubtful: int = 0
    notes: int = 0
    lesion_mm: tuple[float, ...] = ()
    measured: bool = False
    missing: tuple[str, ...] = ()
    report: bool = False
    preview: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_mb: float = math.nan
    versions: Mapping[str, str] = field(default_factory=dict)


def read_case(output: Path, name: str) -> CaseFacts | None:
    """What is known of a case with results; None without any.

    Parameters
    ----------
    output : Path
        The cohort's folder.
    name : str
        Of the case; one that leads elsewhere has no results.
    """
    if name != Path(name).name or name.startswith("."):
        return None
    folder = output / name
    known = provenance(folder)
    if known is None:
        return None
    row = known.get("row")
    measured = _measurements(folder / MEASUREMENTS) if isinstance(row, dict) else None
    case = CaseFacts(
        name,
        missing=tuple(missing(folder, known)),
        report=(folder / REPORT).is_file(),
        preview=(folder / PREVIEW).is_file(),
        seconds=_numbers(known.get("seconds")),
        peak_mb=number(known, "peak_mb"),
        versions=_versions(known),
    )
    if measured is None or not isinstance(row, dict):
        return case
    grid = measured.get("grid")
    return replace(
        case,
        values={one.key: one.of(row, grid if isinstance(grid, dict) else {}) for one in QUANTITIES},
        confidence=number(row, "case_confidence"),
        agreement=number(row, "case_agreement"),
        kidneys=_count(row, "kidneys"),
        doubtful=_count(row, "kidneys_doubtful"),
        notes=len(case_notes(known)),
        lesion_mm=_diameters(measured.get("lesions")),
        measured=True,
    )


def case_notes(known: Mapping[str, Any]) -> list[str]:
    """Sentences for a case's reader: of its scan, its prediction and its measurements.

    Parameters
    ----------
    known : mapping
        Content of its ``provenance.json``.
    """
    row, notes = known.get("row"), known.get("notes")
    said = [str(note) for note in notes] if isinstance(notes, list) else []
    text = str(row.get("notes", "")) if isinstance(row, dict) else ""
    return list(dict.fromkeys([*said, *filter(None, text.split(" | "))]))


def _measurements(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _numbers(content: Any) -> dict[str, float]:
    if not isinstance(content, dict):
        return {}
    found = {str(name): number(content, name) for name in content}
    return {name: value for name, value in found.items() if value >= 0}


def _versions(known: Mapping[str, Any]) -> dict[str, str]:
    model = known.get("model")
    model = model if isinstance(model, dict) else {}
    found = {
        "renalis": str(known.get("renalis", "")),
        "model": " ".join(str(model[name]) for name in ("name", "version") if name in model),
        "model's SHA-256": str(model.get("sha256", ""))[:12],
        "runtime": str(known.get("runtime", "")),
    }
    return {name: value for name, value in found.items() if value}


def _count(row: Mapping[str, Any], name: str) -> int:
    value = number(row, name)
    return int(value) if value >= 0 else 0


def _diameters(lesions: Any) -> tuple[float, ...]:
    if not isinstance(lesions, list):
        return ()
    found = (number(one, "diameter_mm") for one in lesions if isinstance(one, dict))
    return tuple(value for value in found if value > 0)
