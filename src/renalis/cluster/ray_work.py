"""Jobs done by processes on the nodes of a Ray cluster, in any order, each until it has ended."""

from __future__ import annotations

import importlib
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Literal

import renalis.errors
from renalis.cluster.connection import RayPlace, connected
from renalis.cluster.node_process import Lines, NodeProcess, Say
from renalis.errors import RenalisError, UsageError

__all__ = ["Answer", "Loss", "RayWork"]

Job = Mapping[str, Any]
Begun = Callable[[Job], Job | None]

_MOST_NODES_LOST = 5
"""By one job: one that takes its node down each time is left."""
_MOST_CRASHES = 2
_IDLE_DEATHS = 5
_TICK_S = 1.0


@dataclass(frozen=True)
class Answer:
    """A job that was done, and what its process returned."""

    job: Job
    result: dict[str, Any]


@dataclass(frozen=True)
class Loss:
    """A job whose process ended before it did.

    Attributes
    ----------
    job : mapping
    how : {"node", "process", "time"}
        The node was lost; the process ended on a node that lives; it took too long.
    seconds : float
        How long it was worked on.
    node : str
        Ray's name of the node.
    again : bool
        Whether it is done again.
    """

    job: Job
    how: Literal["node", "process", "time"]
    seconds: float
    node: str
    again: bool


@dataclass(eq=False)
class _ActorState:
    """A process, what it was asked, and the job it works on."""

    actor: Any
    answer: Any
    node: str = ""
    job: Job | None = None
    began: float = field(default_factory=time.monotonic)
    timed_out: bool = False


@dataclass(eq=False)
class RayWork:
    """Jobs on a cluster: as many processes as there is room for, also when nodes come and go.

    A job whose node is lost is done again elsewhere; one whose process ends on a node that lives,
    once more. A job is a mapping of JSON's types with a ``name`` of its own; what is done again has
    an ``attempt`` one higher.

    Attributes
    ----------
    opener : str
        See `renalis.cluster.node_process.NodeProcess`.
    settings : mapping
        The same for all jobs.
    place : RayPlace
    longest_s : float or None
        Seconds after which a job counts as hanging.
    once : bool
        A process does one job and ends.
    said : callable, optional
        Takes the lines that processes say.
    """

    opener: str
    settings: Mapping[str, Any]
    place: RayPlace
    longest_s: float | None = None
    once: bool = False
    said: Say | None = None
    _ray: Any = None
    _lines: Any = None
    _states: list[_ActorState] = field(default_factory=list)
    _back: deque[Job] = field(default_factory=deque)
    _losses: Counter[tuple[str, bool]] = field(default_factory=Counter)
    _idle_deaths: int = 0

    def run(
        self, jobs: Iterable[Job], begun: Begun | None = None
    ) -> Generator[Answer | Loss, None, None]:
        """Do all jobs; when the generator is closed, work stops.

        Parameters
        ----------
        jobs : iterable of mapping
            Taken only when there is somebody to do them.
        begun : callable, optional
            Called with each job that is handed out; a mapping that it returns is added to the job.

        Raises
        ------
        UsageError
            If there is no cluster, or nodes have another version of renalis.
        RenalisError
            If processes cannot be opened.
        """
        with connected(self.place.address) as ray:
            self._ray = ray
            self._lines = None if self.said is None else _lines_here(ray)
            try:
                yield from self._all(iter(jobs), begun or _nobody)
            finally:
                for actor in [*(state.actor for state in self._states), self._lines]:
                    if actor is not None:
                        ray.kill(actor)
                self._states.clear()

    def _all(self, jobs: Iterator[Job], begun: Begun) -> Iterator[Answer | Loss]:
        more = True
        while True:
            more = self._hand_out(jobs, begun, more)
            busy = [state for state in self._states if state.answer is not None]
            if not more and not self._back and not any(state.job for state in busy):
                self._pass_on()
                return
            answers = {state.answer: state for state in busy}
            ready, _ = self._ray.wait(list(answers), timeout=_TICK_S) if answers else ([], [])
            self._pass_on()
            for answer in ready:
                yield from self._answered(answers[answer])
            self._end_the_silent()

    def _hand_out(self, jobs: Iterator[Job], begun: Begun, more: bool) -> bool:
        """Give jobs to those who have none; False when there are no more."""
        for state in self._states:
            if state.answer is not None:
                continue
            job = self._back.popleft() if self._back else next(jobs, None) if more else None
            if job is None:
                more = False
                continue
            state.job, state.began = job, time.monotonic()
            state.answer = state.actor.do.remote({**job, **(begun(job) or {})})
        room = self.place.room(self._ray)
        while (more or self._back) and len(self._states) < room:
            self._states.append(self._new_actor())
        return more

    def _new_actor(self) -> _ActorState:
        cores = self.place.cores
        environment = {"env_vars": {"OMP_NUM_THREADS": str(cores)}}
        remote = self._ray.remote(NodeProcess).options(
            num_cpus=cores,
            num_gpus=self.place.gpus(self._ray),
            max_restarts=0,
            max_task_retries=0,
            runtime_env=environment,
        )
        actor = remote.remote(self.opener, self.settings, self._lines)
        return _ActorState(actor, actor.open.remote())

    def _answered(self, state: _ActorState) -> Iterator[Answer | Loss]:
        """A process is ready, has done its job, or is gone."""
        answer, state.answer = state.answer, None
        try:
            found = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            self._leave(state)  # where it only seems to be gone, too
            yield from self._died(state, error)
            return
        if state.job is None:
            self._opened(state, found)
            return
        job, state.job = state.job, None
        self._idle_deaths = 0
        if self.once:
            self._leave(state)
        yield Answer(job, found)

    def _leave(self, state: _ActorState) -> None:
        self._states.remove(state)
        self._ray.kill(state.actor)

    def _opened(self, state: _ActorState, found: Mapping[str, str]) -> None:
        if "error" in found:
            kind = getattr(renalis.errors, found["error"], RenalisError)
            raise kind(found["sentence"])
        here = metadata.version("renalis")
        if found["version"] != here:
            raise UsageError(
                f"a node of the cluster has renalis {found['version']} and this machine {here}; "
                "install the same everywhere"
            )
        state.node = found["node"]

    def _died(self, state: _ActorState, error: Exception) -> Iterator[Loss]:
        """Account for the job of a process that is gone."""
        if state.job is None:
            self._idle_deaths += 1
            if self._idle_deaths >= _IDLE_DEATHS:
                raise RenalisError(
                    f"processes end before they begin any work ({type(error).__name__}); see "
                    "with one and without --engine ray what is wrong"
                )
            return
        alive = any(n["NodeID"] == state.node and n["Alive"] for n in self._ray.nodes())
        # A connection breaks before the cluster knows that the node is gone.
        lost = not state.timed_out and (not alive or _of_node(error))
        counted = str(state.job["name"]), lost
        self._losses[counted] += 1
        again = self._losses[counted] < (_MOST_NODES_LOST if lost else _MOST_CRASHES)
        if again:
            self._back.append({**state.job, "attempt": int(state.job.get("attempt", 1)) + 1})
        how: Literal["node", "process", "time"] = "node" if lost else "process"
        if state.timed_out:
            how = "time"
        yield Loss(state.job, how, time.monotonic() - state.began, state.node, again)

    def _end_the_silent(self) -> None:
        if self.longest_s is None:
            return
        now = time.monotonic()
        for state in self._states:
            if state.job is not None and not state.timed_out and now - state.began > self.longest_s:
                state.timed_out = True
                self._ray.kill(state.actor)

    def _pass_on(self) -> None:
        """Pass on what processes have said since."""
        if self._lines is None or self.said is None:
            return
        with suppress(self._ray.exceptions.RayError):
            for line in self._ray.get(self._lines.take.remote(), timeout=10 * _TICK_S):
                self.said(line)


def _nobody(_: Job) -> None:
    pass


def _lines_here(ray: Any) -> Any:
    """A process for lines, on the node of the command: that one is not lost without it."""
    strategies = importlib.import_module("ray.util.scheduling_strategies")
    here = ray.get_runtime_context().get_node_id()
    strategy = strategies.NodeAffinitySchedulingStrategy(here, soft=False)
    return ray.remote(Lines).options(num_cpus=0, scheduling_strategy=strategy).remote()


def _of_node(error: Exception) -> bool:
    """Whether a process is gone with its node, as far as Ray says."""
    said = re.search(r"node (has died|died|is dead)", str(error)) is not None
    return said or type(error).__name__ == "ActorUnavailableError"
