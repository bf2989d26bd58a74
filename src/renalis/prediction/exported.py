"""A model's networks as OpenVINO graphs, made once per model and kept in the user's cache folder.

Making a graph needs torch, whose import alone takes longer than the networks do for one scan;
reading one back does not.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from importlib import metadata
from pathlib import Path
from typing import Any

from renalis.model import Model
from renalis.model_header import Stage
from renalis.prediction.choice import cache_folder
from renalis.prediction.quiet_openvino import core, ov

__all__ = ["exported_graph"]

_FILES = ("graph.xml", "graph.bin")
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
    folder = cache_folder() / "networks" / _key(model, stage)
    kept = _read(folder) if model.header.sha256 else None
    if kept is not None:
        return kept
    from renalis.prediction.openvino_graph import openvino_graph

    graph = openvino_graph(model.network(stage.name), (1, *stage.patch))
    if model.header.sha256:
        _write(folder, graph)
    return graph


def _key(model: Model, stage: Stage) -> str:
    """What the graph depends on."""
    versions = [metadata.version("renalis"), metadata.version("openvino")]
    parts = [model.header.sha256, stage.model_dump_json(), *versions]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]


def _read(folder: Path) -> Any:
    """A kept graph; None if there is none or anything about it is wrong."""
    try:
        expected = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        contents = [(folder / name).read_bytes() for name in _FILES]
        if [hashlib.sha256(content).hexdigest() for content in contents] != expected:
            return None
        return core().read_model(*contents)
    except (OSError, ValueError, RuntimeError):  # RuntimeError: what OpenVINO raises
        return None


def _write(folder: Path, graph: Any) -> None:
    """Keep a graph; without a writable cache folder it is made again next time."""
    part = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.part"
    try:
        part.mkdir(parents=True)
        ov.save_model(graph, part / _FILES[0], compress_to_fp16=False)
        sums = [hashlib.sha256((part / name).read_bytes()).hexdigest() for name in _FILES]
        (part / _INDEX).write_text(json.dumps(sums), encoding="utf-8")
        # The checksums come last: a graph that another process is replacing is made anew.
        folder.mkdir(exist_ok=True)
        for name in (*_FILES, _INDEX):
            os.replace(part / name, folder / name)
        part.rmdir()
    except (OSError, RuntimeError):
        return
