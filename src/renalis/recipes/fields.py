"""What all typed parts of a recipe share."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = [
    "Count",
    "Frozen",
    "NonNegative",
    "Positive",
    "Range",
    "Seed",
    "Share",
    "Size3",
    "Triple",
    "first_problem",
]


class Frozen(BaseModel):
    """Base of all parts: cannot be changed, refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What every generator of random numbers takes."""

Range = tuple[float, float]
"""Lowest and highest value; where drawn, drawn uniformly between them."""

Count = Annotated[int, Field(gt=0)]
Size3 = tuple[Count, Count, Count]
"""Voxels along (Z, Y, X)."""

Triple = tuple[Positive, Positive, Positive]
"""Millimeters along (Z, Y, X)."""


def first_problem(error: ValidationError, known: Sequence[str] = ()) -> str:
    """The first thing that is wrong, in words; never the value, which may be a secret.

    Parameters
    ----------
    error : ValidationError
        Of fields that were read from a file.
    known : sequence of str
        Names at the top, one of which may have been meant.
    """
    first = error.errors(include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place, known, n=1)
        return f"there is no field {place!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    if first["type"] == "missing":
        return f"the field {place!r} is missing"
    message = first["msg"].removeprefix("Value error, ")
    return f"field {place or '(whole file)'}: {message[:1].lower()}{message[1:]}"
