"""Field by field: what two recipes have that differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from renalis.recipes.system import System

__all__ = ["MISSING", "Difference", "differences"]

MISSING = "(no such field)"
"""Stands where one of two recipes lacks a field."""

NAMES = ("name", "rule", "term", "kind")


@dataclass(frozen=True)
class Difference:
    """A field and its value in each recipe."""

    field: str
    left: Any
    right: Any


def differences(left: System, right: System) -> tuple[Difference, ...]:
    """Every field that differs, in the order in which recipes are written.

    Defaults count: a field that only one file writes out is no difference when the other's default
    is the same. Left out are the variants (tiny, fine_tuning, with_slices), what the publication
    says of itself and what a recipe was copied from: none touches what is trained. Lists whose
    items have names are compared by these, so that an item more does not shift the others.
    """
    ours, theirs = left.model_dump(mode="json"), right.model_dump(mode="json")
    for content in (ours, theirs):
        for section in ("tiny", "fine_tuning", "with_slices", "publication", "copied_from"):
            content.pop(section)
    return tuple(_compare("", ours, theirs))


def _compare(place: str, left: Any, right: Any) -> Iterator[Difference]:
    if left == right:
        return
    ours, theirs = _fields(left), _fields(right)
    if ours is None or theirs is None:
        yield Difference(place, left, right)
        return
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        below = f"{place}.{name}" if place else name
        if name in ours and name in theirs:
            yield from _compare(below, ours[name], theirs[name])
        else:
            yield Difference(below, ours.get(name, MISSING), theirs.get(name, MISSING))


def _fields(value: Any) -> dict[str, Any] | None:
    """What can be compared one by one: a section, or a list of sections by name."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list) or not value or not all(isinstance(i, dict) for i in value):
        return None
    named: dict[str, Any] = {}
    for number, item in enumerate(value):
        name = next((str(item[n]) for n in NAMES if n in item), str(number))
        while name in named:
            name += "'"
        named[name] = item
    return named
