"""Processes on this machine: each works on one case at a time, and may die without the others."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import renalis.errors
from renalis.cohort.engine import EngineListener
from renalis.cohort.facts import utc_now
from renalis.cohort.lost import lost_attempt
from renalis.cohort.worker_process import COMMAND, Messages, WorkerProcess, ending
from renalis.errors import RenalisError
from renalis.pipeline.failures import Cause

__all__ = ["LocalEngine"]

Job = Mapping[str, Any]

_IDLE_DEATHS = 3
"""Workers in a row that ended before they began any case: nothing will come of a next one."""

_TICK_S = 1.0


@dataclass(eq=False)
class _WorkerState:
    """A worker and what it has been given."""

    process: WorkerProcess
    ready: bool = False
    jobs: deque[Job] = field(default_factory=deque)
    begun: bool = False
    ahead: bool = False
    sign: float = field(default_factory=time.monotonic)
    started: str = ""
    began: float = 0.0
    timed_out: bool = False


@dataclass(eq=False)
class LocalEngine:
    """An `renalis.cohort.engine.Engine` of processes on this machine.

    A case whose worker dies is tried once more when all others are done, by a worker alone on the
    machine. The first worker measures what computes fastest before others start.

    Attributes
    ----------
    options : mapping
        From `renalis.cohort.options_json.options_to_json`; threads and memory are one worker's.
    workers : int
        At the same time.
    silence_s : float
        Seconds without a sign of life after which a case counts as hanging.
    kept, command
        See `WorkerProcess`.
    """

    options: Mapping[str, Any]
    workers: int = 1
    silence_s: float = 1800.0
    kept: Sequence[int] = ()
    command: Sequence[str] = COMMAND
    _messages: Messages = field(default_factory=queue.Queue)
    _states: dict[WorkerProcess, _WorkerState] = field(default_factory=dict)
    _suspects: deque[Job] = field(default_factory=deque)
    _back: deque[Job] = field(default_factory=deque)
    _remarks: set[str] = field(default_factory=set)
    _idle_deaths: int = 0

    def run(self, jobs: Iterable[Job], listener: EngineListener) -> Iterator[dict[str, Any]]:
        """Do all jobs; see `renalis.cohort.engine.Engine`."""
        try:
            yield from self._all(iter(jobs), listener)
            self._suspects, suspects = deque(), self._suspects
            if suspects:
                self._dismiss()
            for job in suspects:
                yield from self._all(iter([job]), listener, alone=True)
        finally:
            self._stop()

    def _all(
        self, jobs: Iterator[Job], listener: EngineListener, alone: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Do jobs with as many workers as there are, or with one that never reads ahead."""
        depth, many = (1, 1) if alone else (2, 1)
        more = True
        while True:
            more = self._hand_out(jobs, depth, many) if more or self._back else False
            if not more and not self._back and not any(s.jobs for s in self._states.values()):
                return
            try:
                process, message = self._messages.get(timeout=_TICK_S)
            except queue.Empty:
                self._end_the_silent()
                continue
            state = self._states.get(process)
            if state is None:
                continue
            if message is None:
                yield from self._died(state, alone)
                continue
            state.sign = time.monotonic()
            if self._heard(state, message, listener) and not alone:
                many = self.workers
            if message["kind"] == "result":
                state.jobs.popleft()
                state.begun = state.ahead = False
                yield {**message["result"], "worker": state.process.number}
            if self._messages.empty():  # else somebody may have spoken since
                self._end_the_silent()

    def _hand_out(self, jobs: Iterator[Job], depth: int, many: int) -> bool:
        """Give jobs to those who have too few; False when there are no more."""
        for level in range(1, depth + 1):
            while True:
                state = self._place(level, many)
                if state is None:
                    break
                job = self._back.popleft() if self._back else next(jobs, None)
                if job is None:
                    return False
                if state == "new":
                    self._back.appendleft(job)
                    shared = {**self.options, "workers": self.workers}
                    process = WorkerProcess(shared, self._messages, self.kept, self.command)
                    self._states[process] = _WorkerState(process)
                    continue
                assert isinstance(state, _WorkerState)
                state.jobs.append(job)
                state.sign = time.monotonic()
                state.process.send(job)
        return True

    def _place(self, level: int, many: int) -> _WorkerState | str | None:
        """Who takes the next job: somebody with fewer than ``level``, or a new worker."""
        states = self._states.values()
        if level == 1 and len(self._states) < many and all(s.ready for s in states):
            return next((s for s in states if not s.jobs), "new")
        # A second job goes to those whose first has begun: it is read ahead.
        free = (s for s in states if s.ready and len(s.jobs) < level and (level == 1 or s.begun))
        return next(free, None)

    def _heard(
        self, state: _WorkerState, message: Mapping[str, Any], listener: EngineListener
    ) -> bool:
        """Pass a message on; True when further workers may start."""
        kind, case = message["kind"], str(message.get("case", ""))
        if kind == "refused":
            raise _error(message)
        if kind == "ready":
            state.ready = True
        elif kind == "begin":
            state.begun, state.ahead, self._idle_deaths = True, False, 0
            state.started, state.began = utc_now(), time.monotonic()
            listener.begun(case)
        elif kind == "ahead":
            state.ahead = True
        elif kind == "remark":
            if message["text"] not in self._remarks:  # each worker makes it
                self._remarks.add(message["text"])
                listener.remark(message["text"])
        elif kind == "note":
            listener.note(case, message["text"])
        elif kind == "step":
            done, total = int(message["done"]), int(message["total"])
            listener.step(case, message["name"], done, total)
            return bool(message["name"] == "networks" and done == total)
        elif kind == "result":
            return bool(message["result"]["status"] != "skipped")
        return False

    def _died(self, state: _WorkerState, alone: bool) -> Iterator[dict[str, Any]]:
        """Account for the cases of a worker that ended by itself."""
        cause, why = ending(state.process.wait())
        del self._states[state.process]
        if state.timed_out:
            minutes = self.silence_s / 60
            cause, why = Cause.TIMED_OUT, f"it showed no progress for {minutes:.0f} minutes"
        left = list(state.jobs)
        if not state.begun:
            self._idle_deaths += 1
            if self._idle_deaths >= _IDLE_DEATHS:
                raise RenalisError(
                    f"workers end before they begin any case ({why.replace(' on it', '')}); "
                    "free memory, or see with one scan and without --jobs what is wrong"
                )
            self._back.extendleft(reversed(left))
            return
        job, rest = left[0], left[1:]
        if state.ahead:  # its reading may have been what killed them
            self._suspects += rest
        else:
            self._back.extendleft(reversed(rest))
        if not alone:
            self._suspects.append({**job, "attempt": int(job.get("attempt", 1)) + 1})
        begun = (state.started, time.monotonic() - state.began)
        lost = lost_attempt(job, cause, why, state.process.last_words(), begun, not alone)
        yield {**lost, "worker": state.process.number}

    def _end_the_silent(self) -> None:
        now = time.monotonic()
        for state in self._states.values():
            if state.jobs and not state.timed_out and now - state.sign > self.silence_s:
                state.timed_out = True
                state.process.kill()

    def _dismiss(self) -> None:
        """End all workers, which have nothing to do."""
        for process in self._states:
            process.send(None)
        for process in self._states:
            process.wait()
        self._states.clear()

    def _stop(self) -> None:
        """End all workers whatever they do; what they were writing is taken away."""
        for process, state in self._states.items():
            if state.jobs:
                process.interrupt()
            else:
                process.send(None)
        for process in self._states:
            process.wait()
        self._states.clear()


def _error(message: Mapping[str, Any]) -> RenalisError:
    """The error that a worker met when it opened the model."""
    kind = getattr(renalis.errors, str(message["error"]), RenalisError)
    return kind(message["sentence"])
