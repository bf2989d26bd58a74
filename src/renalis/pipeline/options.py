"""What can be chosen about a run, and what comes out for each case."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from renalis.model import DEFAULT_MODEL
from renalis.postprocessing.rules import DEFAULT, Rules
from renalis.prediction.options import PredictionOptions

__all__ = ["CaseResult", "Clock", "Listener", "SegmentOptions", "Status"]


@dataclass(frozen=True)
class SegmentOptions:
    """How to segment.

    Attributes
    ----------
    model : str or Path
        Name of a shipped model or a model file.
    prediction : PredictionOptions
        How to predict.
    rules : Rules
        How to tidy.
    series : str or None
        DICOM series to read instead of the one chosen.
    report : bool
        Whether to write ``preview.png`` and ``report.html``.
    overwrite : bool
        Whether to replace results that are already there.
    anonymous : bool
        Whether nothing that is written may identify the patient: no path, UIDs, descriptions, and
        no case named after a file or folder.
    require_commercial : bool
        Refuse models whose licence does not allow commercial use.
    trust_place : bool
        Whether scans are segmented whose header cannot be right
        (`renalis.preparation.plausibility`).
    """

    model: str | Path = DEFAULT_MODEL
    prediction: PredictionOptions = field(default_factory=PredictionOptions)
    rules: Rules = DEFAULT
    series: str | None = None
    report: bool = True
    overwrite: bool = False
    anonymous: bool = False
    require_commercial: bool = False
    trust_place: bool = False


class Status(StrEnum):
    """How a case ended."""

    DONE = "done"
    SKIPPED = "skipped"
    """The same result was already there."""
    INCOMPLETE = "incomplete"
    """Labels are there; a later step failed. The same command makes what is missing."""
    FAILED = "failed"


@dataclass(frozen=True)
class CaseResult:
    """How one case ended.

    Attributes
    ----------
    case_id : str
        Name of the case and of its folder.
    status : Status
        How it ended.
    folder : Path or None
        The case's results; None if it failed.
    problem : str
        One sentence, if it failed or is incomplete.
    internal : bool
        Whether it failed by a defect of the program instead of by its input.
    traceback : str
        Where it failed, in several lines without anything that names the patient.
    notes : tuple of str
        What the reader of the result should know.
    row : mapping
        The case's row of ``measurements.csv``.
    seconds : mapping
        Wall time of each step.
    peak_mb : float or None
        Largest memory of the process so far.
    """

    case_id: str
    status: Status
    folder: Path | None = None
    problem: str = ""
    internal: bool = False
    traceback: str = ""
    notes: tuple[str, ...] = ()
    row: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_mb: float | None = None


class Listener:
    """Is told how the work goes; this one keeps silent."""

    def remark(self, text: str) -> None:
        """Something worth knowing about the input as a whole, said before the first case."""

    def cases(self, total: int) -> None:
        """So many scans were found."""

    def case(self, case_id: str, number: int) -> None:
        """Work on a case begins; ``number`` counts from 0."""

    def said(self, text: str) -> None:
        """Something worth knowing about the current case."""

    def step(self, name: str, done: int, total: int) -> None:
        """``done`` of ``total`` parts of a step of the current case are finished."""

    def ended(self, result: CaseResult) -> None:
        """A case has ended."""


@dataclass(eq=False)
class Clock:
    """Tells a listener about a case's steps and keeps their time.

    Attributes
    ----------
    listener : Listener
        Is told.
    seconds : dict
        Wall time of each step so far.
    """

    listener: Listener
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """A step of the current case."""
        self.listener.step(step, 0, 1)
        began = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - began
        self.listener.step(step, 1, 1)
