"""A model's networks as graphs of other runtimes, made once per model and kept in the user's cache.

Making a graph needs torch, whose import alone takes longer than the networks do for one scan;
reading one back does not.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from renalis.model import Model
from renalis.model_header import Stage
from renalis.prediction.runtimes.machine import cache_folder

__all__ = ["exported_graph", "exported_onnx"]

_OPENVINO = ("graph.xml", "graph.bin")
_ONNX = ("graph.onnx",)
_INDEX = "checksums.json"


def exported_graph(model: Model, stage: Stage) -> Any:
    """A stage's network, with a softmax at its end, as an OpenVINO graph in float32.

    Parameters
    ----------
    model : Model
        Known by the checksum of its weights; a model without one is not kept.
    stage : Stage
        One of its stages.

    Returns
    -------
    openvino.Model
        From the cache folder if it is there and its checksum is right, else made anew.

    Raises
    ------
    UnsupportedNetwork
        If the network contains an operation that cannot be translated.
    """
    from renalis.prediction.runtimes.quiet_openvino import core, ov

    folder = _folder(model, stage, "openvino", "merged")
    kept = _read(folder, _OPENVINO) if model.header.sha256 else None
    if kept is not None:
        try:
            return core().read_model(*kept)
        except RuntimeError:  # what OpenVINO raises
            pass
    from renalis.prediction.runtimes.openvino_graph import openvino_graph

    graph = openvino_graph(model.network(stage.name), (1, *stage.patch))
    if model.header.sha256:
        _write(folder, _OPENVINO, lambda part: ov.save_model(graph, part / _OPENVINO[0], False))
    return graph


def exported_onnx(model: Model, stage: Stage) -> bytes:
    """A stage's network, with a softmax at its end, as a serialized ONNX model in float32.

    It takes patches of any shape that the network's strides divide.

    Parameters, source and errors are those of `exported_graph`.
    """
    folder = _folder(model, stage, "onnx", "any shape")
    kept = _read(folder, _ONNX) if model.header.sha256 else None
    if kept is not None:
        return kept[0]
    from renalis.prediction.runtimes.onnx_graph import onnx_model

    graph: bytes = onnx_model(model.network(stage.name), (1, None, None, None)).SerializeToString()
    if model.header.sha256:
        _write(folder, _ONNX, lambda part: (part / _ONNX[0]).write_bytes(graph))
    return graph


def _folder(model: Model, stage: Stage, package: str, *made: str) -> Path:
    """Named after what the graph depends on."""
    versions = [metadata.version("renalis"), package, metadata.version(package), *made]
    parts = [model.header.sha256, stage.model_dump_json(), *versions]
    key = hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]
    return cache_folder() / "networks" / key


def _read(folder: Path, files: Sequence[str]) -> list[bytes] | None:
    """What was kept; None if there is nothing or anything about it is wrong."""
    try:
        expected = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        contents = [(folder / name).read_bytes() for name in files]
    except (OSError, ValueError):
        return None
    sums = [hashlib.sha256(content).hexdigest() for content in contents]
    return contents if sums == expected else None


def _write(folder: Path, files: Sequence[str], save: Callable[[Path], object]) -> None:
    """Keep a graph; without a writable cache folder it is made again next time."""
    part = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.part"
    try:
        part.mkdir(parents=True)
        save(part)
        sums = [hashlib.sha256((part / name).read_bytes()).hexdigest() for name in files]
        (part / _INDEX).write_text(json.dumps(sums), encoding="utf-8")
        # The checksums come last: a graph that another process is replacing is made anew.
        folder.mkdir(exist_ok=True)
        for name in (*files, _INDEX):
            os.replace(part / name, folder / name)
        part.rmdir()
    except (OSError, RuntimeError):
        return
