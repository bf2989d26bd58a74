"""One case in a worker: what is read ahead is taken, and the next may be read meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from renalis.cohort.ahead import Ahead, NoRoomError
from renalis.cohort.case_job import job_work, read_hashed, run_job
from renalis.io import Scan, ScanSource
from renalis.pipeline.options import Listener
from renalis.pipeline.work import CaseWork

__all__ = ["work_on"]

Tell = Callable[..., None]


class Told(Listener):
    """Passes on how the work goes."""

    def __init__(self, tell: Tell, case: str, ahead: Ahead) -> None:
        self._tell, self._case, self._ahead = tell, case, ahead

    def note(self, text: str) -> None:
        """Something worth knowing about the case."""
        self._tell("note", case=self._case, text=text)

    def step(self, name: str, done: int, total: int) -> None:
        """A step goes on: a sign of life as well."""
        self._tell("step", case=self._case, name=name, done=done, total=total)

    def memory(self, expected_mb: float) -> None:
        """With the scan that is read ahead meanwhile."""
        ahead_mb = self._ahead.counted_mb()
        text = f"expected peak memory: {expected_mb + ahead_mb:.0f} MB"
        self.note(f"{text}, the next scan counted, which is read meanwhile" if ahead_mb else text)


def work_on(work: CaseWork, job: Mapping[str, Any], ahead: Ahead, tell: Tell) -> dict[str, Any]:
    """Do one case, as `renalis.cohort.case_job.run_job`; its scan may be in memory already."""
    case = str(job["source"]["case_id"])
    tell("begin", case=case)

    future = ahead.take(job)

    def read(source: ScanSource) -> tuple[Scan, str]:
        found = _read_ahead(future) or read_hashed(job_work(work, job), source)
        ahead.room(found[0])
        return found

    return run_job(work, job, Told(tell, case, ahead), read)


def _read_ahead(future: Future[tuple[Scan, str]] | None) -> tuple[Scan, str] | None:
    try:
        return None if future is None else future.result()
    except (NoRoomError, MemoryError):  # read while no other scan is in memory, it may have room
        return None
