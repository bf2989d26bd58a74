"""From the finished run of two passes, coarse and fine, to one model file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from torch import nn

from renalis.dataset import load_split
from renalis.errors import InputError
from renalis.model import save_model
from renalis.model_header import ModelHeader
from renalis.model_header import Stage as ModelStage
from renalis.networks import build
from renalis.recipes import needs_of, stored_system
from renalis.recipes.output_fields import CoarseToFine
from renalis.recipes.system import Stage, System
from renalis.systems.run_folder import fold_folder
from renalis.systems.starting_model import known_starting_model
from renalis.systems.training_cases import run_cases_known, unnamed
from renalis.thresholds import Thresholds
from renalis.training.state import load_weights

__all__ = ["pack_two_passes"]

_CREDIT = (
    "Label maps of the KiTS23 training set (CC BY-NC-SA 4.0), KiTS challenge, Heller et al., "
    "arXiv 2307.01984 and 1904.00445. No CT of KiTS was used: all training images are synthetic."
)


def pack_two_passes(
    run: Path,
    scores: dict[str, Any] | None = None,
    history: str = "",
    version: str = "1",
    anonymous: bool = False,
) -> Path:
    """Write the kept weights of both networks into one model file.

    Parameters
    ----------
    run : Path
        The run's folder, of a recipe that predicts ``coarse_to_fine``.
    scores : dict, optional
        What was measured, and on what.
    history : str
        Anything about the training that the recipe does not say.
    version : str
        Of the model.
    anonymous : bool
        Leave the names of the cases out.

    Returns
    -------
    Path
        ``<recipe's name>.safetensors`` in the run's folder.

    Raises
    ------
    InputError
        If a stage has not been trained.
    """
    system, folder = stored_system(run), fold_folder(run, 0)
    networks: dict[str, nn.Module] = {}
    steps: dict[str, JsonValue] = {}
    for stage in system.all_stages():
        path = folder / f"{stage.name}.safetensors"
        if not path.exists():
            raise InputError(f"{run} holds no weights of stage {stage.name}; resume its training")
        networks[stage.name] = build(stage.network.config())
        steps[stage.name] = load_weights(path, networks[stage.name]).get("steps")
    cases = run_cases_known(run, [0])
    header = ModelHeader(
        name=system.name,
        version=version,
        created=datetime.now(UTC).date().isoformat(),
        stages=tuple(_stage(stage) for stage in system.all_stages()),
        thresholds=system.thresholds or Thresholds(),
        needs=needs_of(system),
        training={
            **_learned_from(system, folder),
            "steps": steps,
            "recipe": json.loads(system.model_dump_json()),
            **({"history": history} if history else {}),
        },
        cases=unnamed(cases) if anonymous else cases,
        scores=scores or {},
        **_terms(run, system),
    )
    return save_model(run / f"{system.name}.safetensors", header, networks)


def _stage(stage: Stage) -> ModelStage:
    plan = stage.prediction
    grid = stage.grid(plan.grid)
    if not isinstance(plan, CoarseToFine) or grid.spacing_mm is None or grid.clip_hu is None:
        raise InputError(
            f"stage {stage.name} does not predict coarse_to_fine on a grid with spacing_mm and "
            "clip_hu"
        )
    return ModelStage(
        name=stage.name,  # type: ignore[arg-type]
        spacing_mm=grid.spacing_mm,
        patch=plan.window,
        window_hu=grid.clip_hu,
        network=stage.network.model_dump(mode="json"),
    )


def _learned_from(system: System, folder: Path) -> dict[str, JsonValue]:
    """What the images were."""
    facts: dict[str, JsonValue] = {}
    count = len(load_split(folder / "split.json").train)
    if not system.synthetic_alone:
        facts["images"] = f"{count} scans with label maps"
    elif system.learns_from_slices:
        facts["images"] = "synthetic CT and single real slices"
    else:
        facts["images"] = "synthetic CT only"
    if system.bodies is not None and any((folder / "bodies").glob("*/*.body")):
        facts["bodies"] = system.bodies.count
    return facts


def _terms(run: Path, system: System) -> dict[str, Any]:
    """Licence and credit: those of the model that it started from hold on."""
    start = known_starting_model(run)
    if start is None and system.synthetic_alone and not system.learns_from_slices:
        return {
            "licence": "CC-BY-NC-SA-4.0",
            "commercial_use": False,
            "data_credit": _CREDIT,
        }
    own = "Scans, slices and label maps of whoever trained it; their terms hold too."
    if start is None:
        return {
            "licence": "LicenseRef-terms-of-the-training-data",
            "commercial_use": False,
            "data_credit": own,
        }
    return {
        "licence": start["licence"],
        "commercial_use": False,
        "data_credit": f"{start['data_credit']} Started from {start['name']} {start['version']}. "
        f"{own}",
    }
