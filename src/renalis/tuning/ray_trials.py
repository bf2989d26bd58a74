"""Trials on the nodes of a Ray cluster, each going on from its checkpoint where a node is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from renalis.cluster.connection import RayPlace
from renalis.cluster.node_process import Do, Say
from renalis.cluster.ray_work import Answer, RayWork
from renalis.cluster.shared_folder import require_seen
from renalis.errors import OutputError
from renalis.recipes import load_system
from renalis.systems.job_json import job_from_json, job_to_json
from renalis.systems.ray_folds import lost_words
from renalis.training.devices import Devices
from renalis.tuning.search import Search
from renalis.tuning.trial_table import trial_name
from renalis.tuning.trials import Outcome, TrialOrder, TrialSetup, run_trial

__all__ = ["open_trials", "trials_on_ray"]


def trials_on_ray(
    setup: TrialSetup,
    orders: Iterator[TrialOrder],
    place: RayPlace,
    report: Callable[[str], None],
    deadline: float | None,
) -> Iterator[tuple[TrialOrder, Outcome]]:
    """Work on trials; how they ended, as they do.

    Parameters
    ----------
    setup : TrialSetup
    orders : iterator of TrialOrder
        Taken when there is somebody to work on them.
    place : RayPlace
        Which cluster.
    report : callable
        Takes progress lines.
    deadline : float or None
        When to stop, by `time.monotonic`.

    Raises
    ------
    OutputError
        If something cannot be written, or a node does not see the search's folder.
    """
    settings = {
        "search": setup.search.to_json(),
        "folder": os.path.abspath(setup.folder),
        "job": job_to_json(setup.job),
        "fold": setup.fold,
        "devices": asdict(setup.device),
    }
    work = RayWork(f"{__name__}:open_trials", settings, place, once=True, said=report)
    known: dict[str, TrialOrder] = {}

    def jobs() -> Iterator[dict[str, Any]]:
        for order in orders:
            name = f"trial {order.number}"
            known[name] = order
            others = [list(by_epoch.items()) for by_epoch in order.others]
            yield {
                "name": name, "number": order.number, "params": dict(order.params),
                "others": others,
            }  # fmt: skip

    def begun(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"seconds": None if deadline is None else deadline - time.monotonic()}

    with closing(work.run(jobs(), begun)) as ends:
        for end in ends:
            name = str(end.job["name"])
            if not isinstance(end, Answer):
                report(f"{name}: {lost_words(end)}")
                if not end.again:
                    yield known[name], Outcome("failed", note=lost_words(end))
                continue
            found = dict(end.result)
            if found.get("output"):
                raise OutputError(found["output"])
            by_epoch = {int(epoch): float(value) for epoch, value in found["by_epoch"]}
            if by_epoch:
                require_seen(setup.folder / trial_name(known[name].number) / "recipe.yaml")
            yield (
                known[name],
                Outcome(found["state"], found["value"], found["note"], found["seconds"], by_epoch),
            )


def open_trials(settings: Mapping[str, Any], say: Say) -> Do:
    """What works on trials on a node; see `renalis.cluster.node_process.NodeProcess`."""
    folder = Path(settings["folder"])
    require_seen(folder / "recipe.yaml")
    setup = TrialSetup(
        Search.model_validate(settings["search"]),
        folder,
        job_from_json(settings["job"], load_system(str(folder / "recipe.yaml"))),
        settings["fold"],
        Devices(**settings["devices"]),
    )

    def do(job: Mapping[str, Any]) -> dict[str, Any]:
        others = [dict(pairs) for pairs in job["others"]]
        left = job["seconds"]
        deadline = None if left is None else time.monotonic() + left
        order = TrialOrder(int(job["number"]), job["params"], others)
        try:
            found = run_trial(setup, order, say, deadline)
        except OutputError as error:
            return {"output": str(error)}
        return {**asdict(found), "by_epoch": list(found.by_epoch.items())}

    return do
