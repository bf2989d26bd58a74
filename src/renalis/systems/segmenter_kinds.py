"""Open a segmenter of the kind that ``--model`` names: the one place that tells the kinds apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from renalis.errors import InputError, UsageError
from renalis.model import DEFAULT_MODEL, Model, find_model, read_any_header
from renalis.model_header import ModelHeader
from renalis.systems.segmenter import Segmenter
from renalis.systems.segmenter_options import SegmenterOptions

__all__ = ["open_segmenter"]


def open_segmenter(
    model: str | Path | Model = DEFAULT_MODEL, options: SegmenterOptions | None = None
) -> Segmenter:
    """Make ready what segments scans.

    Parameters
    ----------
    model : str, Path or Model
        Name of a shipped model, a model file of either sort, or the folder of a training.
    options : SegmenterOptions, optional
        What is chosen about it.

    Raises
    ------
    InputError
        If there is no such model, it is damaged, or its licence is refused.
    UsageError
        If an option does not fit the kind of the model.
    """
    options = options or SegmenterOptions()
    if not isinstance(model, str | Path | Model):
        raise UsageError(
            f"model= takes one name, path or model, not a {type(model).__name__}; further members "
            "of an ensemble are members= of the options"
        )
    options = replace(options, members=tuple(map(Path, options.members)))
    # Late, because published systems bring the training's libraries with them.
    if isinstance(model, Model) or _two_passes(path := _file_or_run(Path(model))):
        from renalis.systems.coarse_to_fine import open_coarse_to_fine

        return open_coarse_to_fine(model if isinstance(model, Model) else path, options)
    from renalis.systems.system_segmenter import open_system

    return open_system(path, options)


def _file_or_run(named: Path) -> Path:
    """A model file, or the folder of a published system's training."""
    if not (named / "recipe.json").is_file():
        return find_model(named)
    from renalis.recipes import stored_system  # a model file needs no recipe

    system = stored_system(named)
    if not system.coarse_to_fine:
        return named
    path = named / f"{system.name}.safetensors"
    if not path.is_file():
        raise InputError(
            f"{named} holds no {path.name} yet, which its training writes at its end; resume it"
        )
    return path


def _two_passes(path: Path) -> bool:
    return not path.is_dir() and isinstance(read_any_header(path), ModelHeader)
