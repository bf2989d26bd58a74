"""The steps by name: `renalis.postprocessing.steps` registers its own, and so do other packages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from renalis.plugins import RULES, Addition
from renalis.postprocessing.context import Step

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["make_step", "register_step"]

_Kind = TypeVar("_Kind", bound=type[Any])


def register_step(*, options: type[BaseModel] | None = None) -> Callable[[_Kind], _Kind]:
    """Make a class of steps known by its ``rule`` to `make_step` and, with ``options``, to recipes.

    Parameters
    ----------
    options : type
        A `renalis.recipes.RuleOptions` with the fields of the class, a dataclass.

    Raises
    ------
    ValueError
        If the name is taken.
    """

    def remember(kind: _Kind) -> _Kind:
        RULES.add(Addition(kind.rule, kind, options))
        return kind

    return remember


def make_step(rule: str, **numbers: Any) -> Step:
    """A step by its name.

    Parameters
    ----------
    rule : str
        For example ``"side_largest"``.
    **numbers
        The step's fields; those left out keep their defaults.

    Raises
    ------
    ValueError
        If there is no such step, or it has no such field.
    InputError
        If the package that offers it cannot be used.
    """
    kind: Any = RULES.find(rule).make
    known = {entry.name for entry in fields(kind)}
    unknown = sorted(set(numbers) - known)
    if unknown:
        raise ValueError(f"step {rule} has no field {unknown[0]!r}; fields: {', '.join(known)}")
    step: Step = kind(**numbers)
    return step
