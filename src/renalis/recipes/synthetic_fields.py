"""Parts of a recipe that say what synthetic CT looks like and which label maps it is made of."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveInt, field_validator

from renalis.recipes.fields import Frozen, Positive, Share

__all__ = ["Bodies", "HeldBack", "Rendering"]


class HeldBack(Frozen):
    """Which label maps are kept for testing: in order of names, every n-th from ``start``.

    ``among`` is how many label maps the order is counted over: with another number, other label
    maps would be kept back. None takes any number.
    """

    every: PositiveInt
    start: NonNegativeInt
    among: PositiveInt | None = None

    def chosen(self, names: list[str]) -> list[str]:
        """The names that are kept back."""
        return sorted(names)[self.start :: self.every]


class Bodies(Frozen):
    """The pool of synthetic bodies that patches are cut from.

    Parameters
    ----------
    count : int
        Tissue maps that are composed once, before training.
    invented_share : float
        Share of them whose kidneys come from the shape generator, not from a label map.
    crossed_share : float
        Of the others, share with both kidneys on one side.
    masses_share : float
        Share of bodies with masses that are not renal.
    held_back : HeldBack or None
        Of a folder of label maps alone, those that no body is made of. Of a dataset of scans, the
        recipe's ``split`` says it.
    """

    count: PositiveInt
    invented_share: Share
    crossed_share: Share = 0.06
    masses_share: Share = 0.16
    held_back: HeldBack | None = None


class Rendering(Frozen):
    """How a patch of a synthetic body becomes CT; see ``renalis.synthesis.patches.PatchPlan``.

    ``bodies_mm`` is the spacing of the tissue maps, of which that of the grid is a whole multiple.
    """

    bodies_mm: Positive
    flip: Share = 0
    added_lesions: Share = 0
    large_mass: Share = 0
    wide_pelvis: Share = 0
    new_inside: Share = 0
    mottled: Share = 0
    shoulders: Share = 0
    phases: tuple[float, float, float, float] | None = None

    @field_validator("phases")
    @classmethod
    def _shares(cls, shares: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if shares is not None and (min(shares) < 0 or abs(sum(shares) - 1) > 1e-6):
            raise ValueError("shares of the phases are not negative and their sum is 1")
        return shares
