"""What all typed parts of a recipe share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

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
