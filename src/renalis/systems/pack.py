"""From a finished run to one model file, of whichever kind the recipe is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydantic import JsonValue
from torch import nn

from renalis.dataset import load_split
from renalis.errors import InputError, UsageError
from renalis.model import save_model
from renalis.model_file import write_tensors
from renalis.model_header import FoldFacts, KnownCases, ModelHeader, SystemHeader
from renalis.model_header import Stage as ModelStage
from renalis.networks import build
from renalis.recipes import needs_of, stored_system
from renalis.recipes.output_fields import CoarseToFine
from renalis.recipes.system import Stage, System
from renalis.systems.recipe_cases import load_statistics
from renalis.systems.run_folder import fold_folder
from renalis.systems.runs import open_run
from renalis.systems.starting_model import known_starting_model
from renalis.systems.training_cases import run_cases_known, unnamed
from renalis.thresholds import Thresholds
from renalis.training.checkpoint import load_weights

__all__ = ["LicenceTerms", "ModelDescription", "pack_run"]

_KITS23 = re.compile(r"case_\d{5}")
_CREDIT = (
    "Label maps of the KiTS23 training set, going by their names (CC BY-NC-SA 4.0), KiTS "
    "challenge, Heller et al., arXiv 2307.01984 and 1904.00445. "
)
_OWN_MAPS = "Label maps of whoever trained it; their terms hold. "
_SYNTHETIC = "No CT was used: all training images are synthetic."
_INVENTED = "No CT and no label map was used: all training images are synthetic."


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What is known of a model beyond its run, for the model file's header.

    Attributes
    ----------
    scores : mapping
        What was measured, and on what.
    history : str
        Anything about the training that is not in the recipe.
    version : str
        Of the model.
    anonymous : bool
        Leave the names of the cases out.
    """

    scores: Mapping[str, Any] = field(default_factory=dict)
    history: str = ""
    version: str = "1"
    anonymous: bool = False

    def header_fields(self) -> dict[str, JsonValue]:
        """The history, if there is one, for the header's ``training``."""
        return {"history": self.history} if self.history else {}


@dataclass(frozen=True)
class LicenceTerms:
    """Under which terms the weights are; those of the data that they were trained on hold."""

    licence: str = "LicenseRef-terms-of-the-training-data"
    commercial_use: bool = False
    data_credit: str = "Scans and label maps of whoever trained it; their terms hold."


def pack_run(
    run: Path, description: ModelDescription | None = None, terms: LicenceTerms | None = None
) -> Path:
    """Write the trained networks of a run into one model file.

    Parameters
    ----------
    run : Path
        Folder of a training. Of a recipe that predicts ``coarse_to_fine`` both networks are packed
        as float16, of others all trained folds to the bit as they are.
    description : ModelDescription, optional
        Scores, history and version for the header.
    terms : LicenceTerms, optional
        Of a published system's weights; those of a model of two passes follow from what it was
        trained on.

    Returns
    -------
    Path
        ``<recipe's name>.safetensors`` in the run's folder.

    Raises
    ------
    InputError
        If the folder is not a run, or a stage or fold is not finished.
    OutputError
        If the file cannot be written.
    UsageError
        If terms are given whose model has its own.
    """
    description, system = description or ModelDescription(), stored_system(run)
    if not system.coarse_to_fine:
        return _pack_folds(run, system, description, terms or LicenceTerms())
    if terms is not None:
        raise UsageError(
            "--licence, --credit and --commercial-use are for published systems; the terms of this "
            "run follow from what it was trained on"
        )
    return _pack_two_passes(run, system, description)


def _shared(
    system: System, cases: KnownCases | None, description: ModelDescription
) -> dict[str, Any]:
    """Fields of both kinds of header."""
    return {
        "name": system.name,
        "version": description.version,
        "created": datetime.now(UTC).date().isoformat(),
        "needs": needs_of(system),
        "cases": unnamed(cases) if description.anonymous else cases,
        "scores": dict(description.scores),
    }


def _pack_folds(
    run: Path, system: System, description: ModelDescription, terms: LicenceTerms
) -> Path:
    opened = open_run(run)
    if opened.unfinished:
        raise InputError(
            f"fold {opened.unfinished[0]} in {run} is not finished; resume its training, or take "
            "its folder away to pack the others"
        )
    tensors: dict[str, NDArray[Any]] = {}
    folds: list[FoldFacts] = []
    counts: dict[str, JsonValue] = {}
    for number, fold in zip(opened.numbers, opened.folds, strict=True):
        statistics: dict[str, dict[str, tuple[float, float]]] = {}
        for stage in system.all_stages():
            statistics[stage.name] = load_statistics(fold_folder(run, number), stage.name)
            for name, value in fold.networks[stage.name].state_dict().items():
                tensors[f"fold_{number}.{stage.name}.{name}"] = value.detach().cpu().numpy()
        folds.append(FoldFacts(number=number, statistics=statistics))
        split = load_split(fold_folder(run, number) / "split.json")
        counts[f"fold_{number}"] = {"train": len(split.train), "val": len(split.val)}
    header = SystemHeader(
        labels=system.dataset.labels,
        recipe=json.loads(system.model_dump_json()),
        folds=tuple(folds),
        training={"cases": counts, **description.header_fields()},
        **_shared(system, opened.cases, description),
        **asdict(terms),
    )
    path = run / f"{system.name}.safetensors"
    return write_tensors(path, header, dict(sorted(tensors.items())))


def _pack_two_passes(run: Path, system: System, description: ModelDescription) -> Path:
    folder = fold_folder(run, 0)
    networks: dict[str, nn.Module] = {}
    steps: dict[str, JsonValue] = {}
    for stage in system.all_stages():
        path = folder / f"{stage.name}.safetensors"
        if not path.exists():
            raise InputError(f"{run} holds no weights of stage {stage.name}; resume its training")
        networks[stage.name] = build(stage.network.config())
        steps[stage.name] = load_weights(path, networks[stage.name]).get("steps")
    header = ModelHeader(
        stages=tuple(_stage(stage) for stage in system.all_stages()),
        thresholds=system.thresholds or Thresholds(),
        training={
            **_learned_from(system, folder),
            "steps": steps,
            "recipe": json.loads(system.model_dump_json()),
            **description.header_fields(),
        },
        **_shared(system, run_cases_known(run, [0]), description),
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
        return _terms_of_maps(run, system)
    own = "Scans, slices and label maps of whoever trained it; their terms hold too."
    if start is None:
        return asdict(LicenceTerms(data_credit=own))
    return {
        "licence": start["licence"],
        "commercial_use": False,
        "data_credit": f"{start['data_credit']} Started from {start['name']} {start['version']}. "
        f"{own}",
    }


def _terms_of_maps(run: Path, system: System) -> dict[str, Any]:
    """Of synthetic images alone: those of the label maps that bodies were composed of, if any."""
    maps = load_split(fold_folder(run, 0) / "split.json").train
    if not maps or (system.bodies is not None and system.bodies.invented_share == 1):
        return asdict(LicenceTerms(data_credit=_INVENTED))
    if all(map(_KITS23.fullmatch, maps)):
        return asdict(LicenceTerms("CC-BY-NC-SA-4.0", data_credit=_CREDIT + _SYNTHETIC))
    return asdict(LicenceTerms(data_credit=_OWN_MAPS + _SYNTHETIC))
