"""From a finished run to one model file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from torch import nn

from renalis.errors import InputError
from renalis.model import save_model
from renalis.model_header import ModelHeader
from renalis.model_header import Stage as ModelStage
from renalis.networks import build
from renalis.recipes import Recipe
from renalis.training.checkpoint import load_average

__all__ = ["pack"]

_CREDIT = (
    "Label maps of the KiTS23 training set (CC BY-NC-SA 4.0), KiTS challenge, Heller et al., "
    "arXiv 2307.01984 and 1904.00445. No CT of KiTS was used: all training images are synthetic."
)


def pack(
    recipe: Recipe,
    run: Path,
    scores: dict[str, Any] | None = None,
    history: str = "",
    version: str = "1",
) -> Path:
    """Write the averaged weights of every stage into one model file.

    Parameters
    ----------
    recipe : Recipe
        What was trained.
    run : Path
        The run's folder, with a checkpoint per stage.
    scores : dict, optional
        What was measured, and on what.
    history : str
        Anything about the training that the recipe does not say.
    version : str
        Of the model.

    Returns
    -------
    Path
        ``<recipe's name>.safetensors`` in the run's folder.

    Raises
    ------
    InputError
        If a stage has not been trained.
    """
    networks: dict[str, nn.Module] = {}
    stages: list[ModelStage] = []
    steps: dict[str, JsonValue] = {}
    for stage in recipe.stages:
        checkpoint = run / f"{stage.name}.safetensors"
        if not checkpoint.exists():
            raise InputError(f"{run} holds no checkpoint of stage {stage.name}; train it first")
        step, weights = load_average(checkpoint)
        network = build(stage.network)
        network.load_state_dict(weights)
        networks[stage.name] = network
        steps[stage.name] = step
        stages.append(
            ModelStage(
                name=stage.name,  # type: ignore[arg-type]
                spacing_mm=(stage.spacing_mm,) * 3,
                patch=stage.window or stage.patch,
                window_hu=stage.window_hu,
                network=stage.network,
            )
        )
    header = ModelHeader(
        name=recipe.name,
        version=version,
        created=datetime.now(UTC).date().isoformat(),
        stages=tuple(stages),
        training={
            "images": "synthetic CT only",
            "bodies": recipe.bodies.count,
            "steps": steps,
            "recipe": json.loads(recipe.model_dump_json()),
            **({"history": history} if history else {}),
        },
        licence="CC-BY-NC-SA-4.0",
        commercial_use=False,
        data_credit=_CREDIT,
        scores=scores or {},
    )
    return save_model(run / f"{recipe.name}.safetensors", header, networks)
