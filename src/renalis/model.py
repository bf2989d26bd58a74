"""Model files: one safetensors file with the weights and, in its header, everything about them.

A model file holds no code. The header is read without torch, so that ``renalis model info``
answers at once; whatever is wrong with a file, loading it can at worst fail with a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from renalis.errors import InputError
from renalis.model_file import HEADER_KEY, read_entries, read_tensors, write_tensors
from renalis.model_header import ModelHeader, SystemHeader
from renalis.plugins import require

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "DEFAULT_MODEL",
    "Model",
    "SystemModel",
    "available_models",
    "check_licence",
    "find_model",
    "load_model",
    "load_system_model",
    "read_any_header",
    "read_header",
    "save_model",
]

DEFAULT_MODEL = "renalis-kidney"
"""The model that is used when none is named: it comes with the package."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model in memory.

    Attributes
    ----------
    header : ModelHeader
        Everything but the weights.
    tensors : mapping
        ``<stage>.<parameter>`` to array (float16 or float32).
    path : Path
        The file it came from.
    """

    header: ModelHeader
    tensors: Mapping[str, NDArray[Any]]
    path: Path

    def network(self, stage: str) -> nn.Module:
        """The network of a stage with its weights in float32, ready to predict.

        Raises
        ------
        InputError
            If weights and network configuration do not fit each other, or a package that offers
            the network is not installed.
        """
        import torch

        from renalis.networks import with_weights

        require(self.header.needs, self.path)
        weights = {
            name.removeprefix(f"{stage}."): torch.from_numpy(array.astype(np.float32))
            for name, array in self.tensors.items()
            if name.startswith(f"{stage}.")
        }
        try:
            return with_weights(self.header.stage(stage).network, weights)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{self.path} holds weights that do not fit its {stage} network ({reason}); "
                "get the model file again"
            ) from error


@dataclass(frozen=True, eq=False)
class SystemModel:
    """A packed run of a published system in memory; ``tensors`` are ``fold_N.STAGE.PARAMETER``."""

    header: SystemHeader
    tensors: Mapping[str, NDArray[Any]]
    path: Path


def available_models() -> list[Path]:
    """The model files that come with the package."""
    return sorted(Path(str(resources.files("renalis"))).glob("weights/*.safetensors"))


def find_model(name_or_path: str | Path) -> Path:
    """The file of a model, by the name of a shipped model or by its path.

    Raises
    ------
    InputError
        If there is no such model.
    """
    text = str(name_or_path)
    if text.endswith(".safetensors"):
        path = Path(text)
        if not path.is_file():
            raise InputError(f"the model file {path} does not exist; check the path")
        return path
    shipped = {path.stem: path for path in available_models()}
    if text not in shipped:
        raise InputError(_no_model(text, ", ".join(shipped) or "none"))
    return shipped[text]


def _no_model(text: str, known: str) -> str:
    """The sentence for what is neither a shipped model nor the folder of a training."""
    path = Path(text)
    if path.is_dir():
        return (
            f"the folder {text} holds no run of `renalis train` (no recipe.json); give the folder "
            "that the training wrote with -o"
        )
    if path.exists():
        return f"{text} is no model file of renalis; give a .safetensors model or a run's folder"
    what = (
        f"the folder {text} of a training does not exist"
        if len(path.parts) > 1
        else f"there is no model {text!r}, and no folder of a training of that name here"
    )
    return (
        f"{what}; shipped with renalis: {known}; or give the path of a .safetensors file or of a "
        "run of `renalis train`"
    )


def read_header(name_or_path: str | Path = DEFAULT_MODEL) -> ModelHeader:
    """Read and check a model's header without reading its weights.

    Raises
    ------
    InputError
        If the file is no model of renalis, or holds a published system.
    """
    path = find_model(name_or_path)
    return _two_passes(path, read_entries(path)[0])


def read_any_header(name_or_path: str | Path = DEFAULT_MODEL) -> ModelHeader | SystemHeader:
    """Like `read_header`, of packed systems too."""
    path = find_model(name_or_path)
    return _parsed(path, read_entries(path)[0])


def load_model(name_or_path: str | Path = DEFAULT_MODEL, require_commercial: bool = False) -> Model:
    """Read and check a model.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped model, or a ``.safetensors`` file.
    require_commercial : bool
        Refuse models whose licence does not allow commercial use.

    Raises
    ------
    InputError
        If there is no such model, the file is damaged or no model, or its licence is refused.
    """
    path = find_model(name_or_path)
    entries, start = read_entries(path)
    header = _two_passes(path, entries)
    check_licence(header, require_commercial)
    return Model(header, read_tensors(path, entries, start, header.sha256), path)


def load_system_model(name_or_path: str | Path, require_commercial: bool = False) -> SystemModel:
    """Like `load_model`, of a packed run of a published system."""
    path = find_model(name_or_path)
    entries, start = read_entries(path)
    header = _parsed(path, entries)
    if isinstance(header, ModelHeader):
        raise InputError(f"{path} holds no published system but a model of two passes")
    check_licence(header, require_commercial)
    return SystemModel(header, read_tensors(path, entries, start, header.sha256), path)


def check_licence(header: ModelHeader | SystemHeader, require_commercial: bool) -> None:
    """Refuse a model whose licence does not allow commercial use, if that is asked for.

    Raises
    ------
    InputError
        If it is refused.
    """
    if require_commercial and not header.commercial_use:
        raise InputError(
            f"model {header.name} is licensed {header.licence}, which does not allow commercial "
            "use; choose another model with --model or leave --require-commercial out"
        )


def save_model(path: str | Path, header: ModelHeader, networks: Mapping[str, nn.Module]) -> Path:
    """Write a model file: weights as float16, header with their checksum.

    Parameters
    ----------
    path : path-like
        Ends in ``.safetensors``; appears whole or not at all.
    header : ModelHeader
        Its ``sha256`` is filled in.
    networks : mapping
        Stage name to trained network.

    Raises
    ------
    OutputError
        If the file cannot be written.
    ValueError
        If a stage is missing or a weight is too large for float16 or not finite.
    """
    if set(networks) != {stage.name for stage in header.stages}:
        raise ValueError("networks and the header's stages differ")
    tensors: dict[str, NDArray[Any]] = {}
    for stage in sorted(networks):
        for name, value in sorted(networks[stage].state_dict().items()):
            array = value.detach().cpu().numpy().astype("<f2")
            if not np.isfinite(array).all():
                raise ValueError(f"{stage}.{name} is not finite in float16")
            tensors[f"{stage}.{name}"] = array
    return write_tensors(Path(path), header, tensors)


def _two_passes(path: Path, entries: dict[str, Any]) -> ModelHeader:
    """The validated header of a model that predicts coarse to fine."""
    header = _parsed(path, entries)
    if isinstance(header, SystemHeader):
        raise InputError(
            f"{path} holds the published system {header.name}; `renalis segment --model` takes it, "
            "but not this"
        )
    return header


def _parsed(path: Path, entries: dict[str, Any]) -> ModelHeader | SystemHeader:
    """The validated header."""
    metadata = entries.get("__metadata__")
    text = metadata.get(HEADER_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise InputError(
            f"{path} is a safetensors file without the header of a renalis model; "
            "give a model that renalis made"
        )
    try:
        if isinstance(found := json.loads(text), dict) and found.get("format") == 2:
            return SystemHeader.model_validate_json(text)
        return ModelHeader.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InputError(
            f"{path} has a header that this version cannot use ({place}: {first['msg']}); "
            "get the model file again or update renalis"
        ) from error
    except (RecursionError, ValueError) as error:
        raise InputError(f"{path} has a damaged header; get the model file again") from error
