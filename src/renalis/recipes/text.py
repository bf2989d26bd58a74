"""Change values in the text of a recipe without losing its comments.

PyYAML forgets comments, so the parsed document is used only to find where a value stands in the
text, and the text is changed there. A library that keeps comments (ruamel.yaml) would write the
whole file anew: here every byte that is not changed stays, and nothing more has to be installed.
"""

from __future__ import annotations

from typing import Any

import yaml

from renalis.errors import InputError
from renalis.recipes.reading import (
    find_recipe,
    load_system,
    set_field,
    tiny_changes,
)
from renalis.recipes.yaml_loader import LOADER

__all__ = ["changed_text", "copied_text", "recipe_text", "scalar_text"]


def recipe_text(name_or_path: str, changes: tuple[str, ...] = (), tiny: bool = False) -> str:
    """A recipe as YAML with its comments and the wanted changes.

    Parameters
    ----------
    name_or_path, changes, tiny
        As for `renalis.recipes.load_system`.

    Raises
    ------
    InputError
        If there is no such recipe, or the changes cannot be made or written into the text.
    """
    load_system(name_or_path, changes, tiny)  # refuses what is not valid
    path = find_recipe(name_or_path)
    recipe = load_system(name_or_path, switches=False)
    if tiny:
        changes = tiny_changes(recipe, path) + changes
    return changed_text(path.read_text(encoding="utf-8"), recipe.model_dump(mode="json"), changes)


def copied_text(text: str, name: str, origin: str) -> str:
    """The text of a recipe as another one's, which says what it was copied from.

    What a publication says of itself does not hold for a copy, whatever is changed in it later.

    Parameters
    ----------
    text : str
        YAML with comments.
    name : str
        Of the copy.
    origin : str
        Name of the recipe that it is a copy of.
    """
    node: Any = yaml.compose(text, Loader=LOADER)
    own, noted = _child(node, "name"), _child(node, "copied_from")
    edits = [(own, scalar_text(name))]
    if noted is not None:
        edits.append((noted, scalar_text(origin)))
    else:
        between = ", " if node.flow_style else "\n"
        edits[0] = own, f"{scalar_text(name)}{between}copied_from: {scalar_text(origin)}"
    # From the end, so that the places of what comes before still hold.
    for place, written in sorted(edits, key=lambda edit: -edit[0].start_mark.index):
        text = text[: place.start_mark.index] + written + text[place.end_mark.index :]
    return text


def changed_text(text: str, full: dict[str, Any], changes: tuple[str, ...]) -> str:
    """The text of a recipe with some fields set.

    Parameters
    ----------
    text : str
        YAML with comments.
    full : dict
        All fields of the recipe, those that the text leaves to their defaults too; changed in
        place.
    changes : tuple of str
        ``key=value``, as ``renalis.recipes.load_system`` takes them.

    Returns
    -------
    str
        The same text; the comment of each changed line begins with what the field was, because
        the source that follows is that value's. A field that the text left to its default gets a
        line of its own.

    Raises
    ------
    InputError
        If a field does not exist.
    """
    for change in changes:
        before = _dumped(full)
        path = set_field(full, change)
        if _at(full, path) != _at(before, path):
            note = _note(path, _at(before, path))
            text = _placed(text, path, _at(full, path), note)
    return text


def scalar_text(value: Any) -> str:
    """A value as YAML on one line."""
    written: str = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return written.removesuffix("\n").removesuffix("\n...")


def _placed(text: str, path: list[str | int], value: Any, note: str) -> str:
    """The text with the value at the end of a path."""
    node: Any = yaml.compose(text, Loader=LOADER)
    for depth, part in enumerate(path):
        child = _child(node, part)
        if child is None:
            return _inserted(text, node, path[depth:], value, note)
        node = child
    start: int = node.start_mark.index
    end: int = start + len(text[start : node.end_mark.index].rstrip())
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        end = _without_comments(text, start, end)
        start = len(text[:start].rstrip(" \n"))  # the block began on a line of its own
        return f"{text[:start]} {scalar_text(value)}  # {note}{text[end:]}"
    rest = text.find("\n", end)
    tail = text[end : len(text) if rest < 0 else rest]
    commented = tail.replace("#", f"# {note};", 1) if "#" in tail else f"{tail}  # {note}"
    return text[:start] + scalar_text(value) + commented + text[end + len(tail) :]


def _inserted(text: str, parent: Any, path: list[str | int], value: Any, note: str) -> str:
    """A new first field in a mapping."""
    if not all(isinstance(part, str) for part in path):
        raise InputError(f"{_dotted(path)} is not written in the recipe; give its section whole")
    for part in reversed(path[1:]):
        value = {part: value}
    start: int = parent.start_mark.index
    if parent.flow_style:
        comma = ", " if parent.value else ""
        return f"{text[: start + 1]}{path[0]}: {scalar_text(value)}{comma}{text[start + 1 :]}"
    indent = " " * parent.start_mark.column
    return f"{text[:start]}{path[0]}: {scalar_text(value)}  # {note}\n{indent}{text[start:]}"


def _without_comments(text: str, start: int, end: int) -> int:
    """End of a block before comments that belong to what follows it."""
    lines = text[start:end].split("\n")
    while lines[-1].lstrip().startswith("#"):
        lines.pop()
    return start + len("\n".join(lines))


def _child(node: Any, part: str | int) -> Any:
    """The node under a key or number; None where the text does not have it."""
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
        return node.value[part]
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    return None


def _note(path: list[str | int], before: Any) -> str:
    """What a field was, in a few words."""
    words = scalar_text(before)
    return f"{path[-1]} was {words}" if len(words) <= 40 else f"{path[-1]} was another"


def _at(content: Any, path: list[str | int]) -> Any:
    for part in path:
        content = content.get(part) if isinstance(content, dict) else content[part]
    return content


def _dumped(full: dict[str, Any]) -> Any:
    return yaml.safe_load(yaml.safe_dump(full))


def _dotted(path: list[str | int]) -> str:
    return ".".join(str(part) for part in path)
