"""Typed models of the shipped model's recipe; unknown fields and bad values are refused."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator

from renalis.recipes.fields import Seed

__all__ = [
    "Balance",
    "Bodies",
    "HeldBack",
    "Optimisation",
    "Recipe",
    "Stage",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HeldBack(_Frozen):
    """Which label maps are kept for testing: in order of names, every n-th from ``start``.

    ``among`` is how many label maps the order is counted over: with another number, other label
    maps would be kept back. None takes any number.
    """

    every: PositiveInt
    start: int = Field(ge=0)
    among: PositiveInt | None = None

    def chosen(self, names: list[str]) -> list[str]:
        """The names that are kept back."""
        return sorted(names)[self.start :: self.every]


class Bodies(_Frozen):
    """The pool of synthetic bodies that patches are cut from."""

    count: PositiveInt
    invented_share: float = Field(ge=0, le=1)
    crossed_share: float = Field(default=0.06, ge=0, le=1)
    masses_share: float = Field(default=0.16, ge=0, le=1)


class Balance(_Frozen):
    """See ``renalis.synthesis.patches.PatchPlan``."""

    near: float = Field(ge=0, le=1)
    lesion: float = Field(ge=0, le=1)
    jitter: float = Field(ge=0)
    flip: float = Field(default=0, ge=0, le=1)
    added_lesions: float = Field(default=0, ge=0, le=1)
    large_mass: float = Field(default=0, ge=0, le=1)
    wide_pelvis: float = Field(default=0, ge=0, le=1)
    new_inside: float = Field(default=0, ge=0, le=1)
    mottled: float = Field(default=0, ge=0, le=1)
    phases: tuple[float, float, float, float] | None = None

    @field_validator("phases")
    @classmethod
    def _shares(cls, shares: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if shares is not None and (min(shares) < 0 or abs(sum(shares) - 1) > 1e-6):
            raise ValueError("shares of the phases are not negative and their sum is 1")
        return shares


class Optimisation(_Frozen):
    """A warm-up, a plateau and a linear decay to zero, with AdamW or Muon.

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
    optimizer: Literal["adamw", "muon"] = "adamw"


class Stage(_Frozen):
    """One network of the cascade and how it is trained.

    ``bodies_mm`` is the spacing of the tissue maps that its patches are cut from, of which
    ``spacing_mm`` is a whole multiple. ``start_from`` names a stage of the same network whose
    trained weights are the first ones here. Every second patch has one of the sizes in
    ``other_patches``. Predictions look through windows of the size ``window``, by default a patch.
    """

    name: str
    spacing_mm: float = Field(gt=0)
    bodies_mm: float = Field(gt=0)
    patch: tuple[PositiveInt, PositiveInt, PositiveInt]
    window_hu: tuple[float, float]
    network: dict[str, Any]
    start_from: str | None = None
    other_patches: tuple[tuple[PositiveInt, PositiveInt, PositiveInt], ...] = ()
    window: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    balance: Balance
    optimisation: Optimisation


class Recipe(_Frozen):
    """Everything that defines a training."""

    name: str
    seed: Seed
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
