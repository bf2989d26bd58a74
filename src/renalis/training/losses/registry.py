"""The kinds of loss terms by name: each module registers its own, and so do other packages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from torch import Tensor

from renalis.plugins import TERMS, Addition

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Term", "build_term", "register_term"]


class Term(Protocol):
    """What every kind of term can do."""

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """A scalar to make small.

        Parameters
        ----------
        logits : Tensor, shape (N, K, ...)
        target : Tensor, shape (N, ...) or (N, 1)
            Classes, or numbers for the output ``cls``.
        weights : Tensor, shape (N, ...), optional
            Per voxel, where the recipe wants them.
        """


_Kind = TypeVar("_Kind", bound=type[Any])


def register_term(name: str, *, options: type[BaseModel] | None = None) -> Callable[[_Kind], _Kind]:
    """Make a class of terms known to `build_term` and, if it has ``options``, to recipes.

    Parameters
    ----------
    name : str
        What a recipe calls it, in the field ``term``.
    options : type
        A `renalis.recipes.TermOptions`. Its own fields go to the class.

    Raises
    ------
    ValueError
        If the name is taken.
    """

    def remember(kind: _Kind) -> _Kind:
        TERMS.add(Addition(name, kind, options))
        return kind

    return remember


def build_term(kind: str, **options: Any) -> Term:
    """The term called ``kind`` with its options.

    Parameters
    ----------
    kind : str
        For example ``"dice"``.
    **options
        Fields of the term's class.

    Raises
    ------
    ValueError
        If there is no such term or it has no such option.
    InputError
        If the package that offers it cannot be used.
    """
    found = TERMS.find(kind)
    try:
        term: Term = found.make(**options)
    except TypeError as error:
        raise ValueError(f"loss term {kind}: {error}") from error
    return term
