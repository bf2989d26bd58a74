"""A cohort on a Ray cluster: cases on any node, done again where a node is lost.

Ray is an optional extra and passes Python objects between its own processes by pickle: its cluster
has to be one whose every member may run programs here. What renalis passes are JSON's types.
"""

from __future__ import annotations

import importlib
import os
import re
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any

import renalis.errors
from renalis.cohort.engine import EngineListener
from renalis.cohort.facts import utc_now
from renalis.cohort.lost import lost_attempt
from renalis.errors import OutputError, RenalisError, UsageError
from renalis.pipeline.failures import Cause
from renalis.pipeline.folder import PROVENANCE

__all__ = ["RayEngine", "RayWorker"]

Job = Mapping[str, Any]

_MOST_NODES_LOST = 5
"""By one case: a case that takes its node down each time is named and left."""
_MOST_CRASHES = 2
_IDLE_DEATHS = 5
_TICK_S = 1.0


class RayWorker:
    """What runs on the nodes: a process that opens the model once."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._work: Any = None

    def open(self) -> dict[str, str]:
        """Open the model; says where it runs, or why it cannot."""
        from renalis.cohort.case_job import open_work

        try:
            self._work = open_work(self._options)
        except RenalisError as error:
            return {"error": type(error).__name__, "sentence": str(error)}
        context = importlib.import_module("ray").get_runtime_context()
        return {"version": metadata.version("renalis"), "node": context.get_node_id()}

    def do(self, job: Job) -> dict[str, Any]:
        """Do one case; see `renalis.cohort.case_job.run_job`."""
        from renalis.cohort.case_job import run_job

        return {**run_job(self._work, job), "worker": os.getpid()}


@dataclass(eq=False)
class _Seat:
    """A worker, what it was asked, and the case it works on."""

    actor: Any
    answer: Any
    node: str = ""
    job: Job | None = None
    started: str = ""
    began: float = field(default_factory=time.monotonic)
    timed_out: bool = False


@dataclass(eq=False)
class RayEngine:
    """An `renalis.cohort.engine.Engine` of processes on the nodes of a Ray cluster.

    As many work as the cluster has room for, also when nodes come and go. A case whose node is
    lost is done again elsewhere; one whose process crashes on a node that lives, once more.

    Attributes
    ----------
    options : mapping
        From `renalis.cohort.options_json.options_to_json`, one worker's.
    address : str or None
        Of the cluster; None starts one on this machine for as long as the cohort takes.
    most : int or None
        Workers at the same time; None: as many as there is room for.
    longest_s : float
        Seconds after which a case counts as hanging.
    """

    options: Mapping[str, Any]
    address: str | None = None
    most: int | None = None
    longest_s: float = 1800.0
    _ray: Any = None
    _seats: list[_Seat] = field(default_factory=list)
    _back: deque[Job] = field(default_factory=deque)
    _losses: Counter[tuple[str, bool]] = field(default_factory=Counter)
    _idle_deaths: int = 0

    def run(self, jobs: Iterable[Job], listener: EngineListener) -> Iterator[dict[str, Any]]:
        """Do all jobs; see `renalis.cohort.engine.Engine`."""
        self._ray = ray = _ray()
        ours = not ray.is_initialized()
        if ours:
            self._connect()
        try:
            yield from self._all(iter(jobs), listener)
        finally:
            for seat in self._seats:
                ray.kill(seat.actor)
            self._seats.clear()
            if ours:
                ray.shutdown()

    def _connect(self) -> None:
        try:
            self._ray.init(
                address=self.address or "local",
                include_dashboard=None if self.address else False,
                log_to_driver=False,
                logging_level="ERROR",
            )
        except Exception as error:
            where = self.address or "this machine"
            raise UsageError(
                f"no Ray cluster answers at {where} ({type(error).__name__}); start one with "
                "`ray start --head`, or check --ray-address"
            ) from None

    def _all(self, jobs: Iterator[Job], listener: EngineListener) -> Iterator[dict[str, Any]]:
        more = True
        while True:
            more = self._hand_out(jobs, listener, more)
            busy = [seat for seat in self._seats if seat.answer is not None]
            if not more and not self._back and not any(seat.job for seat in busy):
                return
            answers = {seat.answer: seat for seat in busy}
            ready, _ = self._ray.wait(list(answers), timeout=_TICK_S) if answers else ([], [])
            for answer in ready:
                yield from self._answered(answers[answer])
            self._end_the_silent()

    def _hand_out(self, jobs: Iterator[Job], listener: EngineListener, more: bool) -> bool:
        """Give jobs to those who have none; False when there are no more."""
        for seat in self._seats:
            if seat.answer is not None:
                continue
            job = self._back.popleft() if self._back else next(jobs, None) if more else None
            if job is None:
                more = False
                continue
            seat.job, seat.started, seat.began = job, utc_now(), time.monotonic()
            listener.begun(str(job["source"]["case_id"]))
            seat.answer = seat.actor.do.remote(_absolute(job))
        room = self._room()
        while (more or self._back) and len(self._seats) < room:
            self._seats.append(self._new_seat())
        return more

    def _room(self) -> int:
        """How many workers the nodes that live have room for."""
        each = self._threads()
        nodes = (node["Resources"] for node in self._ray.nodes() if node["Alive"])
        room = sum(int(resources.get("CPU", 0) // each) for resources in nodes)
        return room if self.most is None else min(room, self.most)

    def _threads(self) -> int:
        return int(self.options.get("threads") or 1)

    def _new_seat(self) -> _Seat:
        options = {**self.options, "threads": self._threads()}
        if Path(options["model"]).exists():
            options["model"] = os.path.abspath(options["model"])
        options["members"] = [os.path.abspath(path) for path in options["members"]]
        environment = {"env_vars": {"OMP_NUM_THREADS": str(self._threads())}}
        remote = self._ray.remote(RayWorker).options(
            num_cpus=self._threads(), max_restarts=0, max_task_retries=0, runtime_env=environment
        )
        actor = remote.remote(options)
        return _Seat(actor, actor.open.remote())

    def _answered(self, seat: _Seat) -> Iterator[dict[str, Any]]:
        """A worker is ready, has done its case, or is gone."""
        answer, seat.answer = seat.answer, None
        try:
            found = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            self._seats.remove(seat)
            self._ray.kill(seat.actor)  # where it only seems to be gone, too
            yield from self._died(seat, error)
            return
        if seat.job is None:
            self._opened(seat, found)
            return
        job, seat.job = seat.job, None
        self._idle_deaths = 0
        _check_shared(job, found)
        yield found

    def _opened(self, seat: _Seat, found: Mapping[str, str]) -> None:
        if "error" in found:
            kind = getattr(renalis.errors, found["error"], RenalisError)
            raise kind(found["sentence"])
        here = metadata.version("renalis")
        if found["version"] != here:
            raise UsageError(
                f"a node of the cluster has renalis {found['version']} and this machine {here}; "
                "install the same everywhere"
            )
        seat.node = found["node"]

    def _died(self, seat: _Seat, error: Exception) -> Iterator[dict[str, Any]]:
        """Account for the case of a worker that is gone."""
        if seat.job is None:
            self._idle_deaths += 1
            if self._idle_deaths >= _IDLE_DEATHS:
                raise RenalisError(
                    f"workers end before they begin any case ({type(error).__name__}); "
                    "see with one scan and without --engine ray what is wrong"
                )
            return
        case = str(seat.job["source"]["case_id"])
        alive = any(n["NodeID"] == seat.node and n["Alive"] for n in self._ray.nodes())
        # A connection breaks before the cluster knows that the node is gone.
        lost = not seat.timed_out and (not alive or _of_node(error))
        self._losses[case, lost] += 1
        again = self._losses[case, lost] < (_MOST_NODES_LOST if lost else _MOST_CRASHES)
        cause = Cause.TIMED_OUT if seat.timed_out else Cause.KILLED if lost else Cause.CRASH
        why = "the process that worked on it ended without a word"
        if lost:
            why = "the node that worked on it was lost"
        elif seat.timed_out:
            why = f"it took longer than {self.longest_s / 60:.0f} minutes"
        begun = (seat.started, time.monotonic() - seat.began)
        if again:
            self._back.append({**seat.job, "attempt": int(seat.job.get("attempt", 1)) + 1})
        yield {**lost_attempt(seat.job, cause, why, "", begun, again), "worker": seat.node[:8]}

    def _end_the_silent(self) -> None:
        now = time.monotonic()
        for seat in self._seats:
            if seat.job is not None and not seat.timed_out and now - seat.began > self.longest_s:
                seat.timed_out = True
                self._ray.kill(seat.actor)


def _ray() -> Any:
    """Ray, with its reports about use switched off."""
    if util.find_spec("ray") is None:
        raise UsageError("--engine ray needs Ray, not installed here: pip install 'renalis[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    return importlib.import_module("ray")


def _of_node(error: Exception) -> bool:
    """Whether a worker is gone with its node, as far as Ray says."""
    said = re.search(r"node (has died|died|is dead)", str(error)) is not None
    return said or type(error).__name__ == "ActorUnavailableError"


def _absolute(job: Job) -> dict[str, Any]:
    """A job whose paths do not depend on the folder in which a process runs."""
    source = dict(job["source"])
    if "scan" not in job.get("stored", {}):
        source["path"] = os.path.abspath(source["path"])
    return {**job, "source": source, "output": os.path.abspath(job["output"])}


def _check_shared(job: Job, result: Mapping[str, Any]) -> None:
    """Refuse to go on where results lie on a drive of the node alone."""
    if "stored" in job or result["folder"] is None:
        return
    folder = Path(job["output"]) / str(result["folder"])
    if not (folder / PROVENANCE).is_file():
        raise OutputError(
            f"{folder} was written on another node and is not seen here; choose an output that "
            "all nodes share, or a URL such as s3://bucket/out"
        )
