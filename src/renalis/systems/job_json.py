"""The settings of a training as JSON, for the nodes of a cluster that train."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from renalis.recipes.system import System
from renalis.systems.training_job import Job

__all__ = ["job_from_json", "job_to_json"]


def job_to_json(job: Job) -> dict[str, Any]:
    """All but the recipe, which lies in the run's folder; paths depend on no working folder."""
    start = job.start_from
    return {
        "data": os.path.abspath(job.data),
        "run": os.path.abspath(job.run),
        "kind": job.kind,
        "split": None if job.split is None else os.path.abspath(job.split),
        "cache": None if job.cache is None else os.path.abspath(job.cache),
        "resume": job.resume,
        "workers": job.workers,
        "scores": sorted(job.scores),
        "start_from": os.path.abspath(start) if start and Path(start).exists() else start,
        "slices": [os.path.abspath(path) for path in job.slices],
        "tensorboard": job.tensorboard,
        "cache_bytes": job.cache_bytes,
    }


def job_from_json(content: Mapping[str, Any], system: System) -> Job:
    """What `job_to_json` wrote, with its recipe."""
    paths = {name: Path(content[name]) for name in ("data", "run")}
    for name in ("split", "cache"):
        if content[name] is not None:
            paths[name] = Path(content[name])
    found = {
        **content,
        **paths,
        "scores": frozenset(content["scores"]),
        "slices": tuple(Path(path) for path in content["slices"]),
    }
    return Job(system, **found)
