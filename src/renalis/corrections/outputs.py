"""The files of a correction that the model's result has as well: report, DICOM objects, surfaces.

They say that a person corrected the labels. None of them can cost the correction itself: what
fails becomes a sentence.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from renalis.corrections.results import Result
from renalis.io import Scan
from renalis.io.segments.facts import NoStudyError
from renalis.measurement import Measurements
from renalis.pipeline.failures import reason
from renalis.pipeline.folder import PREVIEW, REPORT
from renalis.pipeline.formats import to_write
from renalis.pipeline.outputs import FinishedCase, NothingFoundError, write_output
from renalis.report import ModelFacts, ReportContent, gather, write_preview, write_report
from renalis.volume import Volume

__all__ = ["write_outputs"]


def write_outputs(
    folder: Path, result: Result, scan: Scan, labels: Volume, measured: Measurements, who: str
) -> list[str]:
    """Write what the model's result has, and what was asked for it, of corrected labels.

    Parameters
    ----------
    folder : Path
        Of the correction.
    result : Result
        The model's; its files and formats are those that are written.
    scan : Scan
        As it was read.
    labels : Volume
        KiTS23 labels on the scan's grid.
    measured : Measurements
        Made from both.
    who : str
        Named in the report.

    Returns
    -------
    list of str
        One sentence for each file that could not be written.
    """

    def content() -> ReportContent:
        made = gather(
            scan, labels, measured, model=_model(result), version=metadata.version("renalis")
        )
        return replace(made, notes=(*made.notes, f"Corrected by hand ({who})."))

    case = FinishedCase(scan, labels, None, measured, _named(result), content, corrected=True)
    problems: list[str] = []
    drawn = {PREVIEW: write_preview, REPORT: write_report}
    for name in (name for name in drawn if name in result.made["files"]):
        try:
            drawn[name](folder / name, case.content)
        except Exception as error:
            problems.append(f"{name} could not be made: {reason(error)}")
    for name in to_write(tuple(result.made.get("formats") or ()), anonymous=_nameless(result)):
        try:
            write_output(folder, case, name)
        except NothingFoundError:
            continue
        except NoStudyError as error:
            problems.append(f"{name} was not written: {error}")
        except Exception as error:
            problems.append(f"{name} could not be made: {reason(error)}")
    return problems


def _nameless(result: Result) -> bool:
    """Whether nothing of the result may name the patient: then it does not know its scan."""
    return "scan" not in result.made


def _named(result: Result) -> str:
    """Name and version of the model, from ``provenance.json``."""
    for kind in ("model", "system"):
        facts: Any = result.made.get(kind)
        if isinstance(facts, dict) and facts.get("name"):
            return " ".join(str(facts[key]) for key in ("name", "version") if facts.get(key))
    return "unknown model"


def _model(result: Result) -> ModelFacts:
    facts: Any = result.made.get("model")
    licence = facts.get("licence", "") if isinstance(facts, dict) else ""
    return ModelFacts(f"{_named(result)}, corrected by hand", str(licence))
