"""Folds over the nodes of a Ray cluster, each going on from its checkpoint where a node is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

from renalis.cluster.connection import RayPlace
from renalis.cluster.ray_work import Answer, Loss, RayWork
from renalis.cluster.shared_folder import require_seen
from renalis.systems.job_json import job_to_json
from renalis.systems.run_folder import fold_folder
from renalis.systems.training_job import Job
from renalis.training.devices import Devices
from renalis.training.folds import refuse_failed

__all__ = ["lost_words", "train_on_ray"]


def train_on_ray(
    job: Job,
    folds: Sequence[int],
    devices: Devices,
    place: RayPlace,
    report: Callable[[str], None],
) -> None:
    """Train folds as `renalis.training.folds.run_folds` does, on a cluster.

    Parameters
    ----------
    job : Job
        Of a run whose recipe is stored; the folder is one that all nodes share.
    folds : sequence of int
        Their numbers.
    devices : Devices
        What each fold has on its node.
    place : RayPlace
        Which cluster.
    report : callable
        Takes progress lines of all folds.

    Raises
    ------
    InputError
        If a fold failed; the others are trained to their end first.
    OutputError
        If a node does not see the run's folder.
    UsageError
        If there is no cluster.
    """
    failed: dict[int, str] = {}
    settings = {"job": job_to_json(job), "devices": asdict(devices)}
    work = RayWork(
        "renalis.systems.fold_on_node:open_folds", settings, place, once=True, said=report
    )
    orders = ({"name": f"fold {fold}", "fold": fold, "attempt": 1} for fold in folds)

    def begun(order: Mapping[str, Any]) -> None:
        report(f"{order['name']} {'begins' if order['attempt'] == 1 else 'goes on'}")

    with closing(work.run(orders, begun)) as ends:
        for end in ends:
            fold, name = int(end.job["fold"]), str(end.job["name"])
            if isinstance(end, Answer):
                problem = end.result["problem"]
            else:
                report(f"{name}: {lost_words(end)}")
                problem = "" if end.again else f"{lost_words(end)}; resume to go on with it"
                if end.again:
                    continue
            if problem:
                failed[fold] = problem
            else:
                for stage in job.system.all_stages():
                    require_seen(fold_folder(job.run, fold) / f"{stage.name}.safetensors")
            report(f"{name} failed" if problem else f"{name} is done")
    refuse_failed(failed)


def lost_words(loss: Loss) -> str:
    """What became of a training whose process is gone."""
    what = {"node": "its node was lost", "time": "it took too long"}.get(
        loss.how, "its process ended without a word"
    )
    return f"{what}; it goes on from its last checkpoint elsewhere" if loss.again else what
