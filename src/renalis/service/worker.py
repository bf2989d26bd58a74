"""The one who segments: takes jobs by turns, as ``renalis segment`` would, with one open model."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from renalis.errors import RenalisError
from renalis.pipeline import CaseResult, SegmentOptions, Status
from renalis.pipeline.cases import run_cases
from renalis.pipeline.failures import traceback_of
from renalis.pipeline.folder import CORRECTIONS
from renalis.pipeline.work import CaseWork, open_work
from renalis.service.deliveries import add_deliveries
from renalis.service.jobs import Job, JobState, begin_next, end_job, find_job, give_back
from renalis.service.metrics import Counters
from renalis.service.progress import Progress, Stopped, Telling
from renalis.service.store import Store

__all__ = ["Worker", "open_worker", "plain_sentence"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Worker:
    """Does one job after another.

    Attributes
    ----------
    store : Store
        Whose jobs.
    work : CaseWork
        The way through a case, with the open model.
    send_to : mapping of str to sequence of str
        Destinations of the results, by the job's origin.
    progress : Progress
        Is told how far the job is.
    counters : Counters
        Count jobs and their seconds.
    stopping : Event
        Set when the service ends.
    """

    store: Store
    work: CaseWork
    send_to: Mapping[str, Sequence[str]]
    progress: Progress
    counters: Counters
    stopping: threading.Event

    def one(self) -> bool:
        """Do the job whose turn it is; False when there is none.

        Raises
        ------
        Stopped
            If the service ends meanwhile; the job waits for the next start.
        """
        job = begin_next(self.store.database, self.store.clock.now())
        if job is None:
            return False
        _LOG.info("job=%s begins, attempt %d", job.id, job.attempts)
        began = time.monotonic()
        try:
            state, problem, notes = self._outcome(job)
        except Stopped:
            give_back(self.store.database, job.id)
            _LOG.info("job=%s stopped, and waits for the next start", job.id)
            raise
        finally:
            self.progress.forget(job.id)
        self._end(job, state, problem, notes)
        seconds = time.monotonic() - began
        self.counters.add("renalis_job_seconds_total", seconds)
        _LOG.info("job=%s %s after %.1f s", job.id, state, seconds)
        return True

    def _outcome(self, job: Job) -> tuple[JobState, str, tuple[str, ...]]:
        """State, sentence and notes; results of an earlier attempt are made anew.

        Those that somebody has corrected are not: what is missing there is added.
        """
        result = self.store.result(job.id)
        if not any(result.glob(f"*/{CORRECTIONS}")):
            shutil.rmtree(result, ignore_errors=True)
        inputs = sorted((self.store.job(job.id) / "input").iterdir())
        try:
            ended = run_cases(
                inputs, result, self.work, Telling(job.id, self.progress, self.stopping)
            )
        except RenalisError as error:
            return JobState.FAILED, plain_sentence(self.store, error), job.notes
        except Exception as error:
            _LOG.error("job=%s ended with a defect\n%s", job.id, traceback_of(error))
            return JobState.FAILED, f"internal error ({type(error).__name__})", job.notes
        for one in ended:
            if one.traceback and one.internal:
                _LOG.error("job=%s met a defect\n%s", job.id, one.traceback)
        problem = "; ".join(plain_sentence(self.store, r.problem) for r in ended if r.problem)
        notes = dict.fromkeys(note for one in ended for note in one.notes)
        return _state(ended), problem, (*job.notes, *notes)

    def _end(self, job: Job, state: JobState, problem: str, notes: Sequence[str]) -> None:
        """Note the outcome and what is to be sent, both or neither."""
        now = self.store.clock.now()
        result = self.store.result(job.id)
        with self.store.database.transaction():
            end_job(self.store.database, job.id, state, problem, notes, now)
            ended = find_job(self.store.database, job.id)
            if ended is not None and ended.state in (JobState.DONE, JobState.INCOMPLETE):
                objects = sorted(p.relative_to(result).as_posix() for p in result.glob("*/*.dcm"))
                targets = self.send_to.get(job.origin, ())
                add_deliveries(self.store.database, job.id, objects, targets, now)
        self.counters.add("renalis_jobs_ended_total", 1, state=str(state))


def _state(ended: Sequence[CaseResult]) -> JobState:
    if all(one.status == Status.FAILED for one in ended):
        return JobState.FAILED
    return JobState.INCOMPLETE if any(one.problem for one in ended) else JobState.DONE


def plain_sentence(store: Store, said: object) -> str:
    """A sentence without where the service keeps its files."""
    return str(said).replace(f"{store.folder}/jobs/", "").replace(f"{store.folder}/", "")


def open_worker(
    store: Store,
    options: SegmentOptions,
    send_to: Mapping[str, Sequence[str]],
    progress: Progress,
    counters: Counters,
    stopping: threading.Event,
) -> Worker:
    """Open the model once for all jobs.

    Raises
    ------
    RenalisError
        If there is no such model, or options do not fit it.
    """
    options.check()
    work = open_work(options)
    _LOG.info("the model is open")
    return Worker(store, work, send_to, progress, counters, stopping)
