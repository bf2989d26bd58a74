"""Write a model's networks for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from renalis.errors import OutputError, UsageError
from renalis.io import whole_file, write_text
from renalis.model import Model
from renalis.model_header import Stage
from renalis.prediction.options import RuntimeName
from renalis.prediction.runtimes.choice import has_onnx, has_openvino, open_network, phantom

__all__ = ["export_onnx", "export_openvino", "export_torch"]


def export_openvino(model: Model, folder: Path) -> list[Path]:
    """Each stage as an OpenVINO model, and how far its predictions are from torch's.

    Returns
    -------
    list of Path
        ``<stage>.xml``, ``<stage>.bin`` and ``export.json``. That and the model's ``rt_info`` hold
        the largest difference of probabilities against torch in float32 on a phantom, and the share
        of its voxels that get another label.

    Raises
    ------
    UsageError
        If OpenVINO is not installed.
    OutputError
        If the folder cannot be written.
    """
    if not has_openvino():
        raise UsageError("OpenVINO is not installed: make setup, or pip install 'renalis[fast]'")
    from renalis.prediction.runtimes.openvino_graph import export

    def write(stage: Stage, notes: dict[str, str]) -> list[Path]:
        path = folder / f"{stage.name}.xml"
        export(model.network(stage.name), (1, *stage.patch), path, notes)
        return [path, path.with_suffix(".bin")]

    return _exported(model, folder, RuntimeName.OPENVINO, write)


def export_onnx(model: Model, folder: Path) -> list[Path]:
    """Each stage as an ONNX model, and how far ONNX Runtime's predictions are from torch's.

    Returns
    -------
    list of Path
        ``<stage>.onnx`` and ``export.json``; differences as in `export_openvino`, here also in the
        models' ``metadata_props``.

    Raises
    ------
    UsageError
        If ONNX and ONNX Runtime are not installed.
    OutputError
        If the folder cannot be written.
    """
    if not has_onnx():
        raise UsageError(
            "ONNX and ONNX Runtime are not installed: make setup, or pip install 'renalis[onnx]'"
        )
    from renalis.prediction.runtimes.onnx_graph import onnx_model

    def write(stage: Stage, notes: dict[str, str]) -> list[Path]:
        path = folder / f"{stage.name}.onnx"
        graph = onnx_model(model.network(stage.name), (1, *stage.patch), notes)
        with whole_file(path) as file:
            file.write(graph.SerializeToString())
        return [path]

    return _exported(model, folder, RuntimeName.ONNX, write)


def _exported(
    model: Model,
    folder: Path,
    runtime: RuntimeName,
    write: Callable[[Stage, dict[str, str]], list[Path]],
) -> list[Path]:
    """Write every stage with what was measured of it, and describe them together."""
    _make(folder)
    files: list[Path] = []
    found: dict[str, dict[str, float]] = {"largest_difference": {}, "labels_differ": {}}
    for stage in model.header.stages:
        measured = _difference(model, stage, runtime)
        files += write(stage, {name: f"{value:.3g}" for name, value in measured.items()})
        for name, value in measured.items():
            found[name][stage.name] = value
    return [*files, _describe(model, folder, found)]


def _difference(model: Model, stage: Stage, runtime: RuntimeName) -> dict[str, float]:
    """Of a runtime's prediction from torch's in float32, on a phantom."""
    import numpy as np

    image = phantom(stage.patch)
    ours, torchs = (
        open_network(model, stage, name)(image)[0] for name in (runtime, RuntimeName.TORCH)
    )
    labels = [
        np.concatenate([1 - probability.sum(0, keepdims=True), probability]).argmax(0)
        for probability in (ours, torchs)
    ]
    return {
        "largest_difference": float(np.abs(ours - torchs).max()),
        "labels_differ": float(np.mean(labels[0] != labels[1])),
    }


def export_torch(model: Model, folder: Path) -> list[Path]:
    """Each stage as a ``torch.export`` program, which torch loads without renalis.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    import torch

    _make(folder)
    files = []
    for stage in model.header.stages:
        path = folder / f"{stage.name}.pt2"
        example = torch.zeros(2, 1, *stage.patch)
        windows = ({0: torch.export.Dim("windows")},)
        program = torch.export.export(model.network(stage.name), (example,), dynamic_shapes=windows)
        with whole_file(path) as file:
            torch.export.save(program, file)
        files.append(path)
    return [*files, _describe(model, folder, {})]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made ({error.strerror}); choose another") from error


def _describe(model: Model, folder: Path, more: Mapping[str, object]) -> Path:
    """What a program needs to know to use the networks."""
    path = folder / "export.json"
    content = {"header": model.header.model_dump(mode="json"), **more}
    write_text(path, json.dumps(content, indent=1) + "\n")
    return path
