"""Checkpoints: weights, their moving average, optimizer moments in one safetensors file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from renalis.errors import InputError

__all__ = ["load_average", "resume", "save", "start_from", "under"]


def load_average(path: Path) -> tuple[int, dict[str, Tensor]]:
    """Step number and averaged weights of a checkpoint.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    step, tensors = _read(path, "average.")
    return step, under(tensors, "average.")


@torch.no_grad()
def start_from(path: Path, network: nn.Module) -> None:
    """Give a new network the averaged weights of a trained one of the same shape.

    Raises
    ------
    InputError
        If there is no such checkpoint or its network has another shape.
    """
    if not path.exists():
        raise InputError(f"{path} is not there; the stage to start from has to be trained first")
    weights = load_average(path)[1]
    own = network.state_dict()
    for name, value in own.items():
        given = weights.get(name)
        if given is None or given.shape != value.shape:
            raise InputError(f"{path} holds another network ({name}); leave start_from out")
        value.copy_(given)


def save(
    path: Path,
    step: int,
    network: nn.Module,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write the checkpoint beside the old one, then put it in its place."""
    tensors = {f"weights.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    for number, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer.{number}.{name}"] = value
    partial = path.with_suffix(".partial")
    save_file(
        {name: value.contiguous() for name, value in tensors.items()}, partial, {"step": str(step)}
    )
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def _read(path: Path, prefix: str = "") -> tuple[int, dict[str, Tensor]]:
    """Step and those tensors whose names begin with ``prefix``."""
    try:
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            tensors = {name: file.get_tensor(name) for name in names}
            return int((file.metadata() or {})["step"]), tensors
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} is no checkpoint, or a damaged one ({error}); delete it to train this stage "
            "again"
        ) from error


def resume(
    path: Path,
    network: nn.Module,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> int:
    """Give network, average and optimizer their state back; returns the step.

    Raises
    ------
    InputError
        If the file is damaged or of another network.
    """
    step, tensors = _read(path)
    try:
        network.load_state_dict(under(tensors, "weights."))
    except RuntimeError as error:
        raise InputError(
            f"{path} was made with another network; choose another run folder"
        ) from error
    for name, value in under(tensors, "average.").items():
        average[name].copy_(value)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in under(tensors, "optimizer.").items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return step


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, by the rest of their names."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
