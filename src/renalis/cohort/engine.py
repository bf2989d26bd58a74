"""What does the cases of a cohort: the interface that every engine has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

__all__ = ["Engine", "EngineListener"]


class EngineListener:
    """Is told how the work goes; this one keeps silent."""

    def remark(self, text: str) -> None:
        """Something worth knowing about all cases."""

    def begun(self, case: str) -> None:
        """Work on a case begins."""

    def note(self, case: str, text: str) -> None:
        """Something worth knowing about a case."""

    def step(self, case: str, name: str, done: int, total: int) -> None:
        """``done`` of ``total`` parts of a case's step are finished."""


class Engine(Protocol):
    """Does cases somewhere, in any order."""

    def run(
        self, jobs: Iterable[Mapping[str, Any]], listener: EngineListener
    ) -> Iterator[dict[str, Any]]:
        """Do all jobs.

        Parameters
        ----------
        jobs : iterable of mapping
            Arguments of `renalis.cohort.case_job.run_job`, taken only when there is somebody to
            do them. When the iterator of results is closed, work stops.
        listener : EngineListener
            Is told how the work goes.

        Yields
        ------
        dict
            What `renalis.cohort.case_job.run_job` returns, with ``worker`` added; and in its place
            for each attempt that was lost with its worker the same keys, with ``again`` true if
            the case is tried once more.

        Raises
        ------
        RenalisError
            If there is no such model, options do not fit it, or nothing can be done here at all.
        """
