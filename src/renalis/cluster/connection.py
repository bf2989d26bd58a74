"""A Ray cluster, found or started; Ray is an optional extra.

Ray passes Python objects between its own processes by pickle: its cluster has to be one whose every
member may run programs here. What renalis passes are JSON's types.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import util
from typing import Any

from renalis.compute_device import DeviceChoice
from renalis.errors import UsageError

__all__ = ["RayPlace", "connected"]


@dataclass(frozen=True)
class RayPlace:
    """Which cluster, and what each process takes of it.

    Attributes
    ----------
    address : str or None
        Of the cluster; None starts one on this machine for as long as the work takes.
    cores : int
        Of each process.
    device : {"auto", "cpu", "cuda"}
        ``cuda``: each process has a GPU as well; ``auto``: if the cluster has any.
    most : int or None
        Processes at the same time; None: as many as there is room for.
    """

    address: str | None = None
    cores: int = 1
    device: DeviceChoice = "cpu"
    most: int | None = None

    def gpus(self, ray: Any) -> int:
        """How many GPUs each process takes."""
        if self.device == "auto":
            return int(any(node["Resources"].get("GPU", 0) for node in ray.nodes()))
        return int(self.device == "cuda")

    def room(self, ray: Any) -> int:
        """How many processes the nodes that live have room for."""
        gpus, room = self.gpus(ray), 0
        for node in ray.nodes():
            if node["Alive"]:
                there = node["Resources"]
                fit = int(there.get("CPU", 0) // self.cores)
                room += min(fit, int(there.get("GPU", 0) // gpus)) if gpus else fit
        return room if self.most is None else min(room, self.most)


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected to a cluster while the block runs.

    Where this process is connected already, it stays so.

    Raises
    ------
    UsageError
        If Ray is not installed, or no cluster answers.
    """
    ray = _ray()
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except Exception as error:
        where = address or "this machine"
        raise UsageError(
            f"no Ray cluster answers at {where} ({type(error).__name__}); start one with "
            "`ray start --head`, or check --ray-address"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _ray() -> Any:
    """Ray, with its reports about use switched off."""
    if util.find_spec("ray") is None:
        raise UsageError("--engine ray needs Ray, not installed here: pip install 'renalis[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    return importlib.import_module("ray")
