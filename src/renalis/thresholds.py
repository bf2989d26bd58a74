"""What decides between kidney, tumor, cyst and nothing once the networks have said what they see.

They belong to the networks that they were chosen for, so a recipe has them, and so has the header
of the model file. Read without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["RETIRED", "Thresholds"]

RETIRED: Mapping[str, str] = {
    "large_cyst_sure": "with version 12 of the model, a limit of its own for cysts from 60 ml on "
    "changed none of 21 scans",
    "large_tumor_sure": "with version 12 of the model, a limit that rose up to tumors of 60 ml "
    "changed none of 21 scans",
}
"""What once decided and does not any more, with the reason: headers, recipes and runs that have it
are read as before, and it is ignored (docs/explanation/prediction.md has the measurements)."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Size = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)]


class Thresholds(BaseModel):
    """Of a coarse and a fine pass; the defaults are those of version 10 of the shipped model.

    Attributes
    ----------
    coarse_weight : float
        Weight of the coarse pass in the final probabilities, 0 to 1.
    large_mm, large_weight : float
        Where a ball of this diameter (mm) fits into what the coarse pass calls renal, it has this
        weight instead: a mass of that size fills a window of the fine pass, which then cannot tell
        what it is.
    find_at : float
        Renal probability in the coarse pass above which a place is looked at closely.
    find_ml : float
        Least volume (ml) of such a place.
    reach_mm : float
        How far (mm) beyond the coarse pass's finding the fine pass may find renal tissue.
    cyst_at : float
        Least probability of anything renal in a voxel that is most likely cyst; below, it is
        fluid that belongs to no label, such as the renal pelvis.
    lesion_at : float
        A renal voxel is tumor or cyst when these have at least this share of its renal
        probability; below, it is kidney.
    tumor_sure, cyst_sure : float
        Least mean share of its kind over a whole lesion; below, a tumor is kidney and a cyst is
        fluid that belongs to no label, unless it is a part of a tumor.
    tumor_ml : float
        Least volume (ml) of a tumor; smaller ones are kidney.
    tumor_ball : float
        Least share of a lesion of less than 60 ml that the largest ball inside fills; below, its
        tumor is kidney.
    cyst_ball, lobed_cyst_sure : float
        A cyst of less than 60 ml of which the largest ball inside fills less than ``cyst_ball`` has
        to be as sure as ``lobed_cyst_sure``: a widened renal pelvis reaches into the calyces.
    tumor_outside : float
        Most mean probability of nothing renal over a whole tumor; above, it gets no label: bowel or
        a vessel next to the kidney looks like that.
    lesion_sure, maybe_tumor, unclear_ml : float
        A lesion that is surely neither tumor nor cyst is called a tumor when its mean probability
        of both together is at least ``lesion_sure``, the tumor's part of that at least
        ``maybe_tumor``, and its volume at least ``unclear_ml`` (ml): small ones are fluid in the
        renal sinus.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    coarse_weight: Share = 0.05
    large_mm: Size = 70.0
    large_weight: Share = 0.5
    find_at: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.4
    find_ml: Size = 2.0
    reach_mm: Size = 16.0
    cyst_at: Share = 0.6
    lesion_at: Share = 0.5
    tumor_sure: Share = 0.4
    cyst_sure: Share = 0.8
    tumor_ml: Size = 2.0
    tumor_ball: Share = 0.18
    cyst_ball: Share = 0.42
    lobed_cyst_sure: Share = 0.92
    tumor_outside: Share = 0.25
    lesion_sure: Share = 0.7
    maybe_tumor: Share = 0.25
    unclear_ml: Size = 4.0

    @model_validator(mode="before")
    @classmethod
    def _without_retired(cls, fields: Any) -> Any:
        if not isinstance(fields, Mapping):
            return fields
        return {name: value for name, value in fields.items() if name not in RETIRED}
