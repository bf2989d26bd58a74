"""What can be chosen about a run, and what comes out for each case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from renalis.model import DEFAULT_MODEL
from renalis.pipeline.formats import NIFTI, check_formats
from renalis.systems.segmenter import StepListener
from renalis.systems.segmenter_options import SegmenterOptions

__all__ = ["CaseResult", "Listener", "SegmentOptions", "Status"]


@dataclass(frozen=True, kw_only=True)
class SegmentOptions(SegmenterOptions):
    """How to segment, and what to do with the cases.

    Attributes
    ----------
    model : str or Path
        Name of a shipped model, a model file, or the folder of a training.
    series : str or None
        DICOM series to read instead of the one chosen.
    report : bool
        Whether to write ``preview.png`` and ``report.html``.
    overwrite : bool
        Whether to replace results that are already there.
    anonymous : bool
        Whether nothing that is written may identify the patient: no path, UIDs, descriptions, and
        no case named after a file or folder.
    write : tuple of str
        Formats of the result, of `renalis.pipeline.formats.FORMATS`; ``"nifti"`` always.
    confidence : Path or None
        What ``renalis model calibrate`` wrote of just these networks and options.
    trust_place : bool
        Whether scans are segmented whose header cannot be right
        (`renalis.preparation.plausibility`).
    """

    model: str | Path = DEFAULT_MODEL
    series: str | None = None
    report: bool = True
    overwrite: bool = False
    anonymous: bool = False
    write: tuple[str, ...] = (NIFTI,)
    confidence: Path | None = None
    trust_place: bool = False

    def check(self) -> None:
        """Refuse what cannot be written, before any work begins.

        Raises
        ------
        UsageError
            If a format is not known, not installed, or names what ``anonymous`` takes away.
        """
        check_formats(self.write, self.anonymous)


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
    cause : str
        One of `renalis.pipeline.failures.Cause`, if it failed or is incomplete.
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
    cause: str = ""


class Listener(StepListener):
    """Is told how the work goes; this one keeps silent."""

    def remark(self, text: str) -> None:
        """Something worth knowing about the input as a whole, said before the first case."""

    def cases(self, total: int) -> None:
        """So many scans were found."""

    def case(self, case_id: str, number: int) -> None:
        """Work on a case begins; ``number`` counts from 0."""

    def ended(self, result: CaseResult) -> None:
        """A case has ended."""
