"""The reference of all fields of a recipe, made from the typed models that check recipes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from tables import cell, code, table

from renalis.recipes import System

__all__ = ["recipe_fields_page"]

HEAD = """# Fields of a recipe

Every section that a recipe may have, made from the models that check it (`renalis.recipes`). Fields
without a default have to be there; a field that stands in no table is refused. `renalis recipe show
NAME` prints a recipe with the source of every number, [Recipes](../recipes/README.md) says how to
change one.

"""
_BOUNDS = {"gt": "&gt;", "ge": "≥", "lt": "&lt;", "le": "≤"}
_NAMES: dict[Any, str] = {float: "number", int: "whole number", bool: "true or false", str: "text",
                          NoneType: "null", Any: "anything"}  # fmt: skip


def recipe_fields_page() -> str:
    """The page's text."""
    return HEAD + "".join(_section(model) for model in models(System))


def models(root: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and all that its fields refer to, in order of their first mention."""
    found = [root]
    for model in found:
        for field in model.model_fields.values():
            found += [m for m in dict.fromkeys(_mentioned(field.annotation)) if m not in found]
    return found


def _mentioned(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from kinds(annotation)
    for part in get_args(annotation):
        yield from _mentioned(part)


def kinds(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The registered kinds of a section, such as those of networks; itself if it has none.

    Kinds that other packages register have documents of their own.
    """
    ours = [one for one in model.__subclasses__() if one.__module__.startswith("renalis.")]
    return [kind for one in ours for kind in kinds(one)] or [model]


def _section(model: type[BaseModel]) -> str:
    rows = []
    about = _described(model)
    for name, field in model.model_fields.items():
        row = [code(name), in_words(field.annotation, field.metadata), _default(field)]
        rows.append((*row, about[name]) if about else tuple(row))
    head = ("field", "value", "default", *(("meaning",) if about else ()))
    return f"## {model.__name__}\n\n{_summary(model)}\n\n{table(head, rows)}\n"


def in_words(annotation: Any, bounds: Any = ()) -> str:
    """What a field takes, for people.

    >>> in_words(tuple[float, ...])
    'list of number'
    >>> in_words(Literal["a", "b"] | None)
    '<code>a</code>, <code>b</code> or null'
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return in_words(parts[0], parts[1:])
    if origin in (Union, UnionType):
        # The last one of a registry's kinds is the base of all, in which ours come again.
        words = [word for part in parts for word in in_words(part, bounds).split(" or ")]
        return " or ".join(dict.fromkeys(words))
    return _compound(origin, parts) if parts else _single(annotation, bounds)


def _compound(origin: Any, parts: tuple[Any, ...]) -> str:
    """Choices, lists and tables."""
    if origin is Literal:
        return ", ".join(code(str(part)) for part in parts)
    if origin is dict:
        return f"{in_words(parts[0])} to {in_words(parts[1])}"
    if len(parts) == 2 and parts[1] is Ellipsis:
        return f"list of {in_words(parts[0])}"
    return f"[{', '.join(in_words(part) for part in parts)}]"


def _single(annotation: Any, bounds: Any) -> str:
    """A section with a link to it, or a number or text with its bounds."""
    if annotation in _NAMES:
        limits = [f"{sign} {value:g}" for one in bounds for value, sign in _limits(one)]
        return f"{_NAMES[annotation]} {' and '.join(limits)}".rstrip()
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return " or ".join(f"[{k.__name__}](#{k.__name__.lower()})" for k in kinds(annotation))
    return code(getattr(annotation, "__name__", str(annotation)))


def _limits(bound: Any) -> Iterator[tuple[float, str]]:
    """Numbers and signs of an annotation such as ``Field(ge=0)``, however it is nested."""
    for part in getattr(bound, "metadata", None) or [bound]:
        for name, sign in _BOUNDS.items():
            value = getattr(part, name, None)
            if isinstance(value, int | float):
                yield value, sign


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "empty"
    value = field.default
    if value is PydanticUndefined:
        return ""
    if isinstance(value, BaseModel):
        return "its fields' defaults"
    if value is None:
        return "null"
    if isinstance(value, tuple):
        value = list(value)
    return code(str(value).lower() if isinstance(value, bool) else str(value))


def _documentation(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__dict__.get("__doc__") or "")


def _summary(model: type[BaseModel]) -> str:
    """The docstring above its list of fields, in Markdown."""
    text = re.split(r"\n(?:Parameters|Attributes)\n-+\n", _documentation(model))[0]
    return text.replace("``", "`").replace("<", "&lt;").strip()


def _described(model: type[BaseModel]) -> dict[str, str]:
    """The fields that a docstring lists, each with what is said about it; empty without a list."""
    parts = re.split(r"\n(?:Parameters|Attributes)\n-+\n", _documentation(model))
    about = dict.fromkeys(model.model_fields, "")
    if len(parts) < 2:
        return {}
    for names, text in re.findall(r"^(\w[\w, ]*?)(?: ?:.*)?\n((?:    .*\n?|\n)*)", parts[1], re.M):
        for name in re.split(r",\s*", names):
            if name in about:
                about[name] = re.sub(r"``([^`]+)``", r"`\1`", cell(text))
    return about
