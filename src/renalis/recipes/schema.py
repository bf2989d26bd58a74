"""Typed models of a recipe. Unknown fields and values out of range are refused."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from renalis.errors import InputError

__all__ = [
    "Balance",
    "Bodies",
    "HeldBack",
    "Optimisation",
    "Recipe",
    "Stage",
    "load_recipe",
    "stored_recipe",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HeldBack(_Frozen):
    """Which label maps are kept for testing: in order of names, every n-th from ``start``."""

    every: PositiveInt
    start: int = Field(ge=0)

    def chosen(self, names: list[str]) -> list[str]:
        """The names that are kept back."""
        return sorted(names)[self.start :: self.every]


class Bodies(_Frozen):
    """The pool of synthetic bodies that patches are cut from."""

    count: PositiveInt
    spacing_mm: float = Field(gt=0)
    invented_share: float = Field(ge=0, le=1)


class Balance(_Frozen):
    """See ``renalis.synthesis.patches.PatchPlan``."""

    near: float = Field(ge=0, le=1)
    lesion: float = Field(ge=0, le=1)
    jitter: float = Field(ge=0)


class Optimisation(_Frozen):
    """AdamW with a warm-up, a plateau and a linear decay to zero.

    ``decay_share`` is the part of the steps during which the learning rate falls; ``average`` the
    decay of the exponential moving average of the weights, which are the ones that ship.
    """

    steps: PositiveInt
    batch: PositiveInt
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup: int = Field(ge=0)
    decay_share: float = Field(ge=0, le=1)
    average: float = Field(ge=0, lt=1)


class Stage(_Frozen):
    """One network of the cascade and how it is trained.

    A stage with a ``prior`` sees, beside the image, the probabilities that the named stage gives to
    kidney, tumor and cyst; each example is then a region as large as the prior stage's patch, from
    which ``patches_per_region`` patches are cut. ``start_from`` names a stage of the same network
    whose trained weights are the first ones here; weights of further input channels begin at zero.
    """

    name: str
    spacing_mm: float = Field(gt=0)
    patch: tuple[PositiveInt, PositiveInt, PositiveInt]
    window_hu: tuple[float, float]
    network: dict[str, Any]
    prior: str | None = None
    start_from: str | None = None
    patches_per_region: PositiveInt = 1
    balance: Balance
    optimisation: Optimisation


class Recipe(_Frozen):
    """Everything that defines a training."""

    name: str
    seed: int
    labels: str
    held_back: HeldBack
    bodies: Bodies
    stages: tuple[Stage, ...]

    def stage(self, name: str) -> Stage:
        """The stage called ``name``."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)


def load_recipe(name_or_path: str, changes: tuple[str, ...] = ()) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    name_or_path : str
        Name of a recipe in the package or path of a YAML file.
    changes : tuple of str
        ``key=value`` with dotted keys; list items by number or by their ``name``, for example
        ``stages.fine.optimisation.steps=100``. Values are YAML.

    Raises
    ------
    InputError
        If there is no such recipe, or a field is unknown, missing or out of range.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = Path(str(resources.files("renalis.recipes"))) / f"{name_or_path}.yaml"
    if not path.is_file():
        raise InputError(f"there is no recipe {name_or_path!r}; give a name or a .yaml file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for change in changes:
            _apply(content, change)
        return Recipe.model_validate(content)
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: field {place or '(whole file)'}: {first['msg']}") from error


def stored_recipe(run: Path) -> Recipe:
    """The recipe that a training was started with.

    Raises
    ------
    InputError
        If the folder is not that of a training.
    """
    path = run / "recipe.json"
    try:
        return Recipe.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(f"{run} is not the folder of a training ({path.name}: {error})") from error


def _apply(content: Any, change: str) -> None:
    """Set one field of a parsed recipe in place."""
    key, equals, value = change.partition("=")
    if not equals:
        raise InputError(f"{change!r} is not of the form key=value")
    place = content
    parts = key.split(".")
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(place, list):
            names = [str(item.get("name", i)) for i, item in enumerate(place)]
            index: Any = names.index(part) if part in names else int(part) if part.isdigit() else -1
            if not 0 <= index < len(place):
                raise InputError(f"the recipe has no field {'.'.join(parts[: depth + 1])!r}")
        else:
            index = part
            if not isinstance(place, dict) or part not in place:
                raise InputError(f"the recipe has no field {'.'.join(parts[: depth + 1])!r}")
        if last:
            place[index] = yaml.safe_load(value)
        else:
            place = place[index]
