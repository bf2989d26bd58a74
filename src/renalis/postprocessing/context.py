"""What a post-processing step may look at in addition to the labels, and what its regions mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from renalis.choices import Region
from renalis.volume import Kind, Volume

__all__ = ["Context", "Step"]


@dataclass(frozen=True, eq=False)
class Context:
    """What steps may look at in addition to the labels.

    Attributes
    ----------
    image : Volume or None
        The scan in HU on any grid; the body's middle is found in it.
    low : Volume or None
        Probability of anything renal on a coarser grid, for `MaskByLow`.
    fine : Volume or None
        The grid on which `MaskByLow` counts its dilations (1 mm in the publication); only shape
        and affine are used. None: the labels' own grid.
    whole : Volume or None
        The whole label map when a step is handed a box of it; `run_steps` sees to that.
    rois : mapping of str to Volume
        Masks of earlier stages by name, on the labels' grid, for `RestrictToRoi`.
    kidney : int
        The kidney's label.
    lesions : tuple of int
        The labels that a step's "tumor" means: (2,) in KiTS19 and Radboud, (2, 3) with cysts.
    """

    image: Volume | None = None
    low: Volume | None = None
    fine: Volume | None = None
    whole: Volume | None = None
    rois: Mapping[str, Volume] = field(default_factory=dict)
    kidney: int = 1
    lesions: tuple[int, ...] = (2,)

    def region(self, labels: Volume, region: Region) -> Volume:
        """A region of a label map as a mask."""
        values = {
            "kidney": (self.kidney,),
            "tumor": self.lesions,
            "renal": (self.kidney, *self.lesions),
        }[region]
        mask = labels.array == values[0]
        for value in values[1:]:
            mask |= labels.array == value
        return labels.like(mask, Kind.LABELS)


class Step(Protocol):
    """One step: plain numbers, and what it does with a label map."""

    rule: ClassVar[str]
    done: ClassVar[str]
    """What became of the voxels that it changed, as in "1.20 ml (40 voxels) in thin parts was
    dropped": the words after the numbers."""

    def apply(self, labels: Volume, context: Context) -> None:
        """Change the labels in place."""
