"""How far the running job is; known to this process alone, and gone with it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from renalis.pipeline import Listener
from renalis.pipeline.steps import STEP_WORDS, share_done

__all__ = ["Progress", "Step", "Stopped", "Telling"]


class Stopped(BaseException):
    """The service ends, so the work on a case does, in good order."""


@dataclass(frozen=True)
class Step:
    """Where a job is: a few words, and about which share of it is done."""

    words: str = ""
    share: float = 0.0


class Progress:
    """The running jobs' steps."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}
        self._lock = threading.Lock()

    def of(self, job_id: str) -> Step:
        """A job's step; nothing is known about those that do not run."""
        with self._lock:
            return self._steps.get(job_id, Step())

    def note(self, job_id: str, step: Step) -> None:
        """A job is so far."""
        with self._lock:
            self._steps[job_id] = step

    def forget(self, job_id: str) -> None:
        """A job has ended."""
        with self._lock:
            self._steps.pop(job_id, None)


class Telling(Listener):
    """Notes how far a job is, and stops it between two steps when the service ends."""

    def __init__(self, job_id: str, progress: Progress, stopping: threading.Event) -> None:
        self._job, self._progress, self._stopping = job_id, progress, stopping
        self._cases, self._case, self._done = 1, 0, 0.0

    def cases(self, total: int) -> None:
        """So many scans were found."""
        self._cases = max(1, total)

    def case(self, case_id: str, number: int) -> None:
        """Work on a case begins."""
        self._case, self._done = number, 0.0

    def step(self, name: str, done: int, total: int) -> None:
        """So much of a step is done.

        Raises
        ------
        Stopped
            If the service ends.
        """
        if self._stopping.is_set():
            raise Stopped
        self._done = max(self._done, share_done(name, done, total))
        share = (self._case + self._done) / self._cases
        self._progress.note(self._job, Step(STEP_WORDS.get(name, name), round(share, 3)))
