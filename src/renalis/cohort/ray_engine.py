"""A cohort on a Ray cluster: cases on any node, done again where a node is lost."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from renalis.cluster.connection import RayPlace
from renalis.cluster.node_process import Do, Say
from renalis.cluster.ray_work import Answer, Loss, RayWork
from renalis.cluster.shared_folder import require_seen
from renalis.cohort.engine import EngineListener
from renalis.cohort.facts import utc_now
from renalis.cohort.lost import lost_attempt
from renalis.pipeline.failures import Cause
from renalis.pipeline.folder import PROVENANCE

__all__ = ["RayEngine", "open_cases"]

Job = Mapping[str, Any]


def open_cases(options: Mapping[str, Any], say: Say) -> Do:
    """What does cases on a node; opens the model once."""
    from renalis.cohort.case_job import open_work, run_job

    work = open_work(options)
    return lambda job: run_job(work, job)


@dataclass(eq=False)
class RayEngine:
    """An `renalis.cohort.engine.Engine` of processes on the nodes of a Ray cluster.

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
    _started: dict[str, str] = field(default_factory=dict)

    def run(self, jobs: Iterable[Job], listener: EngineListener) -> Iterator[dict[str, Any]]:
        """Do all jobs; see `renalis.cohort.engine.Engine`."""
        threads = int(self.options.get("threads") or 1)
        place = RayPlace(self.address, threads, self.options.get("device") or "cpu", self.most)
        settings = _absolute_model({**self.options, "threads": threads})
        work = RayWork(f"{__name__}:open_cases", settings, place, self.longest_s)

        def begun(job: Job) -> None:
            self._started[str(job["name"])] = utc_now()
            listener.begun(str(job["name"]))

        with closing(work.run(map(_absolute, jobs), begun)) as ends:
            for end in ends:
                if isinstance(end, Answer):
                    _check_shared(end.job, end.result)
                    yield end.result
                else:
                    yield self._lost(end)

    def _lost(self, loss: Loss) -> dict[str, Any]:
        cause, why = {
            "node": (Cause.KILLED, "the node that worked on it was lost"),
            "process": (Cause.CRASH, "the process that worked on it ended without a word"),
            "time": (Cause.TIMED_OUT, f"it took longer than {self.longest_s / 60:.0f} minutes"),
        }[loss.how]
        begun = (self._started[str(loss.job["name"])], loss.seconds)
        lost = lost_attempt(loss.job, cause, why, "", begun, loss.again)
        return {**lost, "worker": loss.node[:8]}


def _absolute_model(options: Mapping[str, Any]) -> dict[str, Any]:
    model = options["model"]
    if Path(model).exists():
        model = os.path.abspath(model)
    members = [os.path.abspath(path) for path in options["members"]]
    return {**options, "model": model, "members": members}


def _absolute(job: Job) -> dict[str, Any]:
    """A job whose paths do not depend on the folder in which a process runs, with its name."""
    source = dict(job["source"])
    if "scan" not in job.get("stored", {}):
        source["path"] = os.path.abspath(source["path"])
    output = os.path.abspath(job["output"])
    return {**job, "name": source["case_id"], "source": source, "output": output}


def _check_shared(job: Job, result: Mapping[str, Any]) -> None:
    """Refuse to go on where results lie on a drive of the node alone."""
    if "stored" in job or result["folder"] is None:
        return
    folder = Path(job["output"]) / str(result["folder"])
    require_seen(folder / PROVENANCE, ", or a URL such as s3://bucket/out")
