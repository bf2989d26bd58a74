"""The interface of all segmenters: a scan in; labels, probabilities and notes out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from renalis.calibration import Fits
from renalis.io import Scan, ScanSource
from renalis.known_cases import KnownModel
from renalis.look_spread import LookSpread
from renalis.postprocessing import RuleChange
from renalis.preparation.body import Body
from renalis.volume import Volume

if TYPE_CHECKING:
    from renalis.report import ModelFacts

__all__ = ["Clock", "Segmented", "Segmenter", "StepListener"]


class StepListener:
    """Is called with the progress of a scan; this one prints nothing."""

    def note(self, text: str) -> None:
        """Something worth knowing about the current case."""

    def step(self, name: str, done: int, total: int) -> None:
        """``done`` of ``total`` parts of a step of the current case are finished."""

    def memory(self, expected_mb: float) -> None:
        """The most memory that the current case will take, in MB; said before it is taken."""
        self.note(f"expected peak memory: {expected_mb:.0f} MB")


@dataclass(eq=False)
class Clock:
    """Times a case's steps and reports them to a listener.

    Attributes
    ----------
    listener : StepListener
        Gets the steps.
    seconds : dict
        Wall time of each step so far.
    """

    listener: StepListener = field(default_factory=StepListener)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """A step of the current case."""
        self.listener.step(step, 0, 1)
        began = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - began
        self.listener.step(step, 1, 1)


@dataclass(frozen=True, eq=False)
class Segmented:
    """A scan's labels and how they came about.

    Attributes
    ----------
    labels : Volume
        uint8, exactly on the scan's grid, final; KiTS23 labels, or a system's own (said in a note).
    kidney, lesion : Volume or None
        uint8 0 to 255: probability of anything renal, and of tumor or cyst, on grids of their own.
    notes : tuple of str
        What the reader of the result should know about the prediction.
    changes : tuple of RuleChange
        What tidying did.
    seconds : mapping
        Wall time of the prediction's steps.
    runtime : str
        What computed the networks; empty where there is no choice.
    provenance : mapping
        For ``provenance.json``: how the labels were made.
    body : Body, optional
        The body in the scan, where it was looked for already.
    spread : LookSpread, optional
        How much several looks at the scan differed, where there were several.
    fits : Fits, optional
        What confidences were measured for such a prediction, where any were.
    """

    labels: Volume
    kidney: Volume | None
    lesion: Volume | None
    notes: tuple[str, ...]
    changes: tuple[RuleChange, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)
    runtime: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    body: Body | None = None
    spread: LookSpread | None = None
    fits: Fits | None = None


class Segmenter(Protocol):
    """Networks with their way of predicting and tidying, ready for any number of scans.

    `renalis.systems.segmenter_kinds.open_segmenter` makes one of what ``--model`` names.
    """

    @property
    def kind(self) -> str:
        """``coarse_to_fine``, ``windows``, ``slices``, ``tiles`` or ``ensemble``."""

    @property
    def by_case_name(self) -> bool:
        """Whether something is looked up by the cases' names, which then may not be hidden."""

    @property
    def known(self) -> tuple[KnownModel, ...]:
        """Each model that predicts, with what is known about its training."""

    def facts(self) -> ModelFacts:
        """What a reader of a report should know about the networks."""

    def key(self, source: ScanSource) -> Mapping[str, object]:
        """All but the scan that changes the result: networks, options, other files (for JSON)."""

    def expected_mb(self, scan: Scan) -> float | None:
        """Most memory in MB that the process will take for a scan; None where nobody knows."""

    def segment(self, scan: Scan, clock: Clock | None = None) -> Segmented:
        """Predict and tidy.

        Parameters
        ----------
        scan : Scan
            In any orientation.
        clock : Clock, optional
            Times the steps and reports them to a listener.

        Raises
        ------
        RenalisError
            If the scan cannot be segmented.
        """
