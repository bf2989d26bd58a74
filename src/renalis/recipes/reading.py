"""Find, read, change and check recipes."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from renalis.errors import InputError
from renalis.plugins import NETWORKS, RULES, SAMPLERS, TERMS, Need, require
from renalis.recipes.fields import first_problem
from renalis.recipes.switches import switched
from renalis.recipes.system import System
from renalis.recipes.yaml_loader import load_yaml, read_yaml

__all__ = [
    "as_changes",
    "find_recipe",
    "load_system",
    "names",
    "needs_of",
    "published",
    "read_system",
    "set_field",
    "stored_system",
    "stored_text",
    "tiny_changes",
]

_RETIRED = (
    ("dataset", "annotation"),
    ("evaluation", "also_without_far_slices"),
    ("evaluation", "regions"),
    ("evaluation", "grid"),
    ("evaluation", "false_positive_ml"),
)
"""Fields without effect that recipes of earlier versions have."""

_NEEDS: TypeAdapter[tuple[Need, ...]] = TypeAdapter(tuple[Need, ...])

_FLOAT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def names() -> tuple[str, ...]:
    """Names of all recipes of the package, in order of the alphabet."""
    folder = resources.files("renalis.recipes")
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml")))


def published() -> tuple[str, ...]:
    """Names of those that are systems of publications."""
    return tuple(name for name in names() if load_system(name).publication is not None)


def find_recipe(name_or_path: str) -> Path:
    """The YAML file of a recipe.

    Raises
    ------
    InputError
        If there is none.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = Path(str(resources.files("renalis.recipes"))) / f"{name_or_path}.yaml"
    if not path.is_file():
        near = difflib.get_close_matches(name_or_path, names(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(names())}"
        raise InputError(f"there is no recipe {name_or_path!r}; give a name or a .yaml file{hint}")
    return path


def load_system(
    name_or_path: str,
    changes: tuple[str, ...] = (),
    tiny: bool = False,
    fine_tuning: bool = False,
    with_slices: bool = False,
    switches: bool = True,
) -> System:
    """Read and check a recipe.

    Parameters
    ----------
    name_or_path : str
        Name of a recipe in the package or path of a YAML file.
    changes : tuple of str
        ``key=value`` with dotted keys; list items by number or by their ``name``, ``rule``,
        ``term`` or ``kind``, for example ``loss.dice.weight=2``. Values are YAML. Applied after the
        tiny variant's.
    tiny : bool
        Take the recipe's own small variant, which runs on a CPU in minutes.
    fine_tuning : bool
        Take the recipe's own changes for a training that starts from a trained model.
    with_slices : bool
        Take, after these, its own changes for a training that sees single real slices too.
    switches : bool
        Apply its switches; otherwise it stays as it is written.

    Returns
    -------
    System

    Raises
    ------
    InputError
        If there is no such recipe, or a field is unknown, missing or out of range.
    """
    path = find_recipe(name_or_path)
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a recipe: it holds no fields")
    if _is_old(content):
        raise InputError(f"{path} is a recipe of an earlier version; begin with a new copy")
    try:
        recipe = read_system(content)
        if with_slices:
            if not recipe.with_slices:
                raise InputError(f"{path}: this recipe does not learn from single slices")
            changes = as_changes(recipe.with_slices) + changes
        if fine_tuning:
            changes = as_changes(recipe.fine_tuning) + changes
        if tiny:
            changes = tiny_changes(recipe, path) + changes
        if changes:
            full = recipe.model_dump(mode="json")
            for change in changes:
                set_field(full, change)
            recipe = System.model_validate(full)
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error, list(System.model_fields))}") from error
    return switched(recipe) if switches else recipe


def read_system(content: Any) -> System:
    """The recipe with these fields, whichever version wrote them; its switches are not applied.

    Parameters
    ----------
    content : mapping
        As JSON or YAML holds it; stays as it is.

    Raises
    ------
    pydantic.ValidationError
        If a field is unknown, missing or out of range.
    """
    return System.model_validate(_without_retired(content))


def tiny_changes(recipe: System, path: Path) -> tuple[str, ...]:
    """What makes the small variant of a recipe, as ``key=value``."""
    if not recipe.tiny:
        raise InputError(f"{path} has no tiny variant; give it a section 'tiny'")
    return as_changes(recipe.tiny)


def as_changes(section: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields as ``key=value``, as `load_system` takes them."""
    return tuple(f"{key}={json.dumps(value, default=str)}" for key, value in section.items())


def _is_old(content: Any) -> bool:
    """Whether these fields are from before all recipes had one schema and stages their name."""
    own = isinstance(content, dict)
    return own and (("held_back" in content and "stages" in content) or "phases" in content)


def stored_system(run: Path) -> System:
    """The recipe that a training was started with.

    Raises
    ------
    InputError
        If the folder is not that of a training, or a package that it needs is not installed.
    """
    path = run / "recipe.json"
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{run} is not the folder of a training ({path.name}: {error})") from error
    if _is_old(content):
        raise InputError(
            f"{run} was trained by an earlier version of renalis, which stored runs otherwise; "
            "pack it with that version, or train again in another folder"
        )
    try:
        if isinstance(content, dict):
            require(_NEEDS.validate_python(content.pop("needs", ())), run)
        return read_system(content)
    except ValidationError as error:
        raise InputError(
            f"{run} is not the folder of a training that this version of renalis can read "
            f"({path.name}: {first_problem(error)}); choose another"
        ) from error


def stored_text(system: System) -> str:
    """What `stored_system` reads: the recipe, and which packages it needs if it needs any."""
    needs = [need.model_dump() for need in needs_of(system)]
    if not needs:
        return system.model_dump_json(indent=1)
    return json.dumps({"needs": needs, **system.model_dump(mode="json")}, indent=1)


def _without_retired(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    kept = {name: dict(part) if isinstance(part, dict) else part for name, part in content.items()}
    for section, field in _RETIRED:
        if isinstance(kept.get(section), dict):
            kept[section].pop(field, None)
    if _of_tiles(kept.get("prediction")) and isinstance(kept.get("tiny"), dict):
        kept["tiny"].pop("prediction.stride", None)
    return kept


def _of_tiles(prediction: Any) -> bool:
    return isinstance(prediction, dict) and prediction.get("kind") == "tiles"


def set_field(content: Any, change: str) -> list[str | int]:
    """Set one field of a parsed recipe in place; returns the path to it, lists by number."""
    key, equals, value = change.partition("=")
    if not equals:
        raise InputError(f"{change!r} is not of the form key=value")
    try:
        parsed = load_yaml(value)
        if isinstance(parsed, str) and _FLOAT.fullmatch(parsed):
            parsed = float(parsed)  # YAML 1.1 takes 1e-3, without a point, for a word
    except yaml.YAMLError as error:
        raise InputError(
            f"the value of {change!r} is not valid YAML: {' '.join(str(error).split())}"
        ) from error
    place = content
    path: list[str | int] = []
    parts = key.split(".")
    for depth, part in enumerate(parts):
        index = _index(place, part, key, ".".join(parts[:depth]))
        path.append(index)
        if depth == len(parts) - 1:
            place[index] = parsed
        else:
            place = place[index]
    return path


def _index(place: Any, part: str, key: str, before: str) -> str | int:
    """Where ``part`` of a dotted key points in ``place``."""
    if isinstance(place, list):
        for name in ("name", "rule", "term", "kind"):
            for i, item in enumerate(place):
                if isinstance(item, dict) and str(item.get(name)) == part:
                    return i
        if part.isdigit() and int(part) < len(place):
            return int(part)
        raise InputError(f"the recipe has no field {key!r}: {before} has no item {part!r}")
    if isinstance(place, dict):
        if part in place or before in ("tiny", "fine_tuning", "with_slices"):
            return part
        near = difflib.get_close_matches(part, list(place), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"the recipe has no field {key!r}{hint}")
    if place is None:
        raise InputError(f"the recipe has no field {key!r}: {before} is not set, give it whole")
    raise InputError(f"the recipe has no field {key!r}: {before} is a single value")


def needs_of(system: System) -> tuple[Need, ...]:
    """What others offer of a recipe's networks, samplers, loss terms and rules; none twice.

    Raises
    ------
    InputError
        If two installed packages offer one of them.
    """
    return tuple(dict.fromkeys(_needs(system)))


def _needs(system: System) -> Iterator[Need]:
    for stage in system.all_stages():
        if _foreign(stage.network):
            yield NETWORKS.need(stage.network.name)
        if _foreign(stage.sampler):
            yield SAMPLERS.need(stage.sampler.kind)
        yield from (TERMS.need(term.term) for term in stage.loss if _foreign(term))
    yield from (RULES.need(rule.rule) for rule in system.postprocessing if _foreign(rule))


def _foreign(section: BaseModel) -> bool:
    return not type(section).__module__.startswith("renalis.")
