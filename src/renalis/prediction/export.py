"""Write a model's networks for other programs."""

from __future__ import annotations

import json
from pathlib import Path

from renalis.errors import OutputError, UsageError
from renalis.io import whole_file
from renalis.model import Model
from renalis.prediction.choice import has_openvino, open_network, phantom
from renalis.prediction.options import RuntimeName

__all__ = ["export_openvino", "export_torch"]


def export_openvino(model: Model, folder: Path) -> list[Path]:
    """Each stage as an OpenVINO model, and how far its answers are from torch's.

    Returns
    -------
    list of Path
        ``<stage>.xml``, ``<stage>.bin`` and ``export.json``, which holds the largest difference of
        probabilities against torch in float32 on a phantom.

    Raises
    ------
    UsageError
        If OpenVINO is not installed.
    OutputError
        If the folder cannot be written.
    """
    if not has_openvino():
        raise UsageError("OpenVINO is not installed; install renalis[fast]")
    import numpy as np

    from renalis.prediction.openvino_graph import export

    _make(folder)
    files: list[Path] = []
    differences = {}
    for stage in model.header.stages:
        path = folder / f"{stage.name}.xml"
        export(model.network(stage.name), (1, *stage.patch), path)
        files += [path, path.with_suffix(".bin")]
        image = phantom(stage.patch)
        answers = [
            open_network(model, stage, runtime)(image)
            for runtime in (RuntimeName.TORCH, RuntimeName.OPENVINO)
        ]
        differences[stage.name] = float(np.abs(answers[0] - answers[1]).max())
    return [*files, _describe(model, folder, {"largest_difference": differences})]


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


def _describe(model: Model, folder: Path, more: dict[str, object]) -> Path:
    """What a program needs to know to use the networks."""
    path = folder / "export.json"
    content = {"header": model.header.model_dump(mode="json"), **more}
    with whole_file(path) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())
    return path
