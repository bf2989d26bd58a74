"""Where a training runs: one device, several, several computers; all through Lightning Fabric."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from renalis.child_processes import end_with_launcher
from renalis.compute_device import DeviceChoice, choose_device
from renalis.errors import InputError, UsageError

# Imported where a training begins: it takes seconds, and predictions need none of it.
if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

__all__ = ["Devices", "ProcessRank", "devices_for_folds", "devices_here", "open_fabric"]

_PRECISION: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
    "float16": "16-mixed",
}


@dataclass(frozen=True)
class Devices:
    """What one training uses.

    Parameters
    ----------
    accelerator : {"auto", "cpu", "cuda"}
        ``auto``: a GPU where there is one.
    count : int or tuple of int
        Processes on this computer, one per GPU; or the numbers of the GPUs.
    nodes : int
        Computers. The same command is started on each by ``torchrun`` or a cluster's scheduler.
    precision : {"float32", "bfloat16", "float16"}
        Weights stay float32; the others are the numbers that convolutions compute with. float16
        needs a GPU; its losses are scaled so that small gradients survive.
    threads : int, optional
        CPU threads of each process; torch's choice when not given.
    """

    accelerator: DeviceChoice = "auto"
    count: int | tuple[int, ...] = 1
    nodes: int = 1
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    threads: int | None = None

    @property
    def processes(self) -> int:
        """How many train together."""
        local = self.count if isinstance(self.count, int) else len(self.count)
        return local * self.nodes


@dataclass(frozen=True)
class ProcessRank:
    """One process's rank among all that train together."""

    rank: int
    count: int
    device: torch.device


def open_fabric(devices: Devices) -> Fabric:
    """Start the processes of a training and connect them.

    With more than one process this starts the program's own command again for each further
    process on this computer (`lightning_fabric` does); all come back from here.

    Raises
    ------
    InputError
        If there is no such device here, or it cannot compute in that precision.
    """
    from lightning_fabric import Fabric

    if "LOCAL_RANK" in os.environ:  # so the launchers of several processes number them
        end_with_launcher()
    accelerator = choose_device(devices.accelerator)
    if accelerator == "cpu" and devices.precision == "float16":
        raise InputError("a CPU cannot train in float16; choose bfloat16 or float32")
    if accelerator == "cuda":
        _check_numbers(devices.count, torch.cuda.device_count())
    if devices.threads is not None:
        torch.set_num_threads(devices.threads)
    fabric = Fabric(
        accelerator=accelerator,
        devices=list(devices.count) if isinstance(devices.count, tuple) else devices.count,
        num_nodes=devices.nodes,
        strategy=_strategy() if devices.processes > 1 else "auto",
        precision=_PRECISION[devices.precision],
    )
    fabric.launch()
    return fabric


def devices_here(precision: Literal["float32", "bfloat16", "float16"] = "float32") -> list[Devices]:
    """One entry per training that can run at the same time: each GPU, or the CPU."""
    if torch.cuda.is_available():
        return [Devices("cuda", (n,), 1, precision) for n in range(torch.cuda.device_count())]
    return [Devices("cpu", 1, 1, precision)]


def devices_for_folds(
    devices: Devices, precision: Literal["float32", "bfloat16", "float16"] = "float32"
) -> list[Devices]:
    """What folds are spread over: one entry per fold at a time.

    Raises
    ------
    UsageError
        If one fold should have several devices or computers.
    InputError
        If there is no such device here.
    """
    if devices.count != 1 or devices.nodes != 1:
        raise UsageError(
            "several folds are trained one per device; leave --devices and --nodes out, or train "
            "one --fold at a time"
        )
    if choose_device(devices.accelerator) == "cpu":
        return [Devices("cpu", 1, 1, precision, devices.threads)]
    return devices_here(precision)


def _strategy() -> DDPStrategy:
    from lightning_fabric.strategies.ddp import DDPStrategy
    from torch.nn.parallel import DistributedDataParallel

    # Published networks have parameters that no output depends on. Batch statistics are averaged
    # over the processes by the engine instead of taken from the first one at every step; torch
    # has renamed the option for that.
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {"find_unused_parameters": True, name: False}
    return DDPStrategy(**options)


def _check_numbers(count: int | tuple[int, ...], there: int) -> None:
    wanted = count if isinstance(count, int) else max(count) + 1
    if wanted > there:
        raise InputError(f"{there} CUDA devices are here, but {wanted} are needed")
