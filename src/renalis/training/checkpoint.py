"""Checkpoints of the engine: one safetensors file, whole or not at all, and the one before it.

Tensors are the network's weights and buffers, their moving average where there is one, and the
optimizer's moments; everything else is JSON in the file's header. One file, because two could be
from different moments. Random state is the numbers of the epoch and the micro-batch (see
`renalis.training.micro_batches`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from renalis.errors import InputError
from renalis.io.scan import shown
from renalis.training.hard_samples import SampleLosses
from renalis.training.history import History, history_from_json, history_to_json
from renalis.training.moving_average import Average
from renalis.training.tensor_files import (
    DamagedError,
    previous,
    read_tensor_file,
    write_tensor_file,
)

__all__ = [
    "Position",
    "is_begun",
    "load_checkpoint",
    "load_weights",
    "read_metadata",
    "read_weights",
    "save_checkpoint",
    "save_weights",
]


_FORMAT = 1
"""Raised when a checkpoint would be read otherwise."""


@dataclass(frozen=True)
class Position:
    """How far a training is.

    Parameters
    ----------
    history : History
        Finished epochs.
    batches : int
        Micro-batches of the unfinished epoch that are done.
    steps : int
        Optimizer steps since the beginning.
    sums : mapping of str to float
        Sums over these micro-batches of the loss and of each term.
    seconds : float
        Time that the unfinished epoch has taken.
    cpu_seconds : float
        Time that this process has computed for it.
    drawn_by : SampleLosses
        Means of the last finished epoch, which decide what the unfinished one draws; empty when
        hard samples are not sought.
    seen : SampleLosses
        Those of the unfinished epoch so far, of all processes.
    """

    history: History = ()
    batches: int = 0
    steps: int = 0
    sums: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    drawn_by: SampleLosses = field(default_factory=lambda: SampleLosses.of([]))
    seen: SampleLosses = field(default_factory=lambda: SampleLosses.of([]))


def save_checkpoint(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: Mapping[str, Any],
    position: Position,
    plan: Mapping[str, str],
    average: Average | None = None,
) -> None:
    """Write all that a later process needs to go on as if nothing had happened.

    The checkpoint that is there is kept as `previous`.

    Parameters
    ----------
    scaler : mapping
        State of the loss scaling of float16; empty otherwise.
    plan : mapping of str to str
        What the weights depend on; a training is resumed only with the same.
    average : dict of str to Tensor, optional
        Moving average of the weights.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    tensors = {f"weights.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in (average or {}).items()}
    for number, moments in optimizer.state_dict()["state"].items():
        for name, moment in moments.items():
            if isinstance(moment, Tensor):
                tensors[f"optimizer.{number}.{name}"] = moment
    for name, losses in (("drawn_by", position.drawn_by), ("seen", position.seen)):
        if len(losses):
            tensors[f"{name}.numbers"] = torch.from_numpy(losses.numbers)
            tensors[f"{name}.losses"] = torch.from_numpy(losses.losses)
    state = {
        "format": _FORMAT,
        "history": history_to_json(position.history),
        "batches": position.batches,
        "steps": position.steps,
        "sums": dict(position.sums),
        "seconds": position.seconds,
        "cpu_seconds": position.cpu_seconds,
        "scaler": dict(scaler),
        "plan": dict(plan),
    }
    write_tensor_file(path, tensors, {"state": json.dumps(state, allow_nan=False)}, keep=True)


def load_checkpoint(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    plan: Mapping[str, str],
    average: Average | None = None,
    report: Callable[[str], None] = print,
) -> tuple[Position, dict[str, Any]]:
    """Give network, optimizer and average their state back; the `previous` one's if need be.

    Parameters
    ----------
    report : callable
        Is told when the previous checkpoint has to do.

    Returns
    -------
    position : Position
    scaler : dict
        State of the loss scaling.

    Raises
    ------
    InputError
        If the checkpoint and the one before are damaged, or of another training.
    """
    path, tensors, state = _whole_one(path, report)
    for name in {**plan, **state["plan"]}:
        before, now = state["plan"].get(name), plan.get(name)
        if before != now:
            raise InputError(
                f"{path} was made with {name} {before}, now it is {now}; "
                "choose another run folder or the old settings"
            )
    _fill(path, network, _under(tensors, "weights."))
    for name, value in _under(tensors, "average.").items():
        assert average is not None, "the plan says whether there is an average"
        average[name].copy_(value)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _under(tensors, "optimizer.").items():
        number, key = name.split(".", 1)
        moments.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    position = Position(
        history=history_from_json(state["history"]),
        batches=state["batches"],
        steps=state["steps"],
        sums=state["sums"],
        seconds=state["seconds"],
        cpu_seconds=state.get("cpu_seconds", 0.0),
        drawn_by=_losses(tensors, "drawn_by."),
        seen=_losses(tensors, "seen."),
    )
    return position, state["scaler"]


def _whole_one(
    path: Path, report: Callable[[str], None]
) -> tuple[Path, dict[str, Tensor], dict[str, Any]]:
    """The checkpoint, or the one before if it is damaged; with its path, tensors and state."""
    try:
        return (path, *_content(path))
    except DamagedError as error:
        older = previous(path)
        try:
            tensors, state = _content(older)
        except InputError:
            raise InputError(
                f"{error}, and no earlier one is whole; delete {path.parent} to train it anew"
            ) from error
        epoch = len(state["history"]) + 1
        report(f"{error}; going on from {older.name}, in epoch {epoch}")
        return older, tensors, state


def _content(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.exists():
        # Killed between setting it aside and putting the next one in its place
        raise DamagedError(f"{path} is not there")
    tensors, header = read_tensor_file(path)
    if "state" not in header:
        raise DamagedError(f"{path} is not a checkpoint of a training")
    state: dict[str, Any] = json.loads(header["state"])
    if state.get("format", 1) != _FORMAT:
        raise InputError(
            f"{path} was written by another version of renalis; resume with that one, or choose "
            "another run folder"
        )
    return tensors, state


def is_begun(path: Path) -> bool:
    """Whether there is a checkpoint at this path, or one was set aside from it."""
    return path.exists() or previous(path).exists()


def save_weights(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write a network's weights and buffers alone, with ``metadata`` as JSON in the header.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_tensor_file(path, weights, {"about": json.dumps(dict(metadata), allow_nan=False)})


def load_weights(path: Path, network: nn.Module) -> dict[str, Any]:
    """Give the network the weights of a file; returns the file's metadata.

    Raises
    ------
    InputError
        If the file is damaged or of another network.
    """
    tensors, header = _weights(path)
    _fill(path, network, tensors)
    metadata: dict[str, Any] = json.loads(header.get("about", "{}"))
    return metadata


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of `save_weights`, by name.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    return _weights(path)[0]


def _weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        return read_tensor_file(path)
    except DamagedError as error:
        raise InputError(f"{error}; take a copy of it, or train it anew") from error


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a file of `save_weights`; no weights are read.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata: dict[str, Any] = json.loads((file.metadata() or {}).get("about", "{}"))
            return metadata
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a safetensors file: {shown(error)}") from error


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, by the rest of their names."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _fill(path: Path, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{path} holds the weights of another network; choose another file or network"
        ) from error


def _losses(tensors: Mapping[str, Tensor], prefix: str) -> SampleLosses:
    part = _under(tensors, prefix)
    if not part:
        return SampleLosses.of([])
    return SampleLosses(
        np.asarray(part["numbers"].numpy(), np.int64),
        np.asarray(part["losses"].numpy(), np.float64),
    )
