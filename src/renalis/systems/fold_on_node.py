"""A fold's training on a node of a cluster."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from renalis.cluster.node_process import Do, Say
from renalis.cluster.shared_folder import require_seen
from renalis.errors import RenalisError
from renalis.recipes import stored_system
from renalis.systems.job_json import job_from_json
from renalis.systems.starting_model import open_starting_model
from renalis.systems.train import train_fold
from renalis.training.devices import Devices, open_fabric

__all__ = ["open_folds"]


def open_folds(settings: Mapping[str, Any], say: Say) -> Do:
    """What trains folds.

    Parameters
    ----------
    settings : mapping
        ``job`` (from `renalis.systems.job_json.job_to_json`) and ``devices``, the fields of
        `renalis.training.devices.Devices`.
    say : callable
        Takes progress lines.

    Raises
    ------
    RenalisError
        If the run's folder is not seen here, or its recipe cannot be used.
    """
    run = Path(settings["job"]["run"])
    require_seen(run / "recipe.json")
    job = job_from_json(settings["job"], stored_system(run))
    devices = Devices(**settings["devices"])

    def do(order: Mapping[str, Any]) -> dict[str, Any]:
        """Train the fold ``fold``; ``problem`` is what went wrong."""
        fold = int(order["fold"])
        resumed = replace(job, resume=job.resume or int(order["attempt"]) > 1)

        def report(line: str) -> None:
            say(f"fold {fold}: {line}")

        try:
            start = None
            if job.start_from is not None:
                start = open_starting_model(job.start_from, job.system)
            train_fold(resumed, fold, open_fabric(devices), report, start=start)
        except RenalisError as error:
            return {"problem": str(error)}
        except Exception as error:
            for line in traceback.format_exc().splitlines():
                report(line)
            return {"problem": f"{type(error).__name__}: {error}"}
        return {"problem": ""}

    return do
