"""Case scores as JSON and back; NaN becomes null, so that every JSON reader understands it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from renalis.evaluation.lesions import Detection, Lesion
from renalis.evaluation.scores import CaseScore, RegionScore

__all__ = ["METRICS", "CaseRecord", "as_json", "from_json", "limits", "plain"]

METRICS = tuple(
    f.name for f in dataclasses.fields(RegionScore) if f.name not in ("name", "detection")
)
"""Names of the numbers that each region has."""


@dataclasses.dataclass(frozen=True)
class CaseRecord:
    """A scored case.

    Parameters
    ----------
    case_id : str
        Name of the case.
    score : CaseScore
        Its scores.
    picture : str
        PNG of the slice in which most voxels differ, base64.
    missing : bool
        Whether there was no readable prediction, so that it counts as zero.
    """

    case_id: str
    score: CaseScore
    picture: str = ""
    missing: bool = False


def limits(metric: str) -> tuple[float, float]:
    """The least and the most that a metric can be.

    >>> limits("surface_dice"), limits("hd95_mm"), limits("volume_error_ml")
    ((0.0, 1.0), (0.0, inf), (-inf, inf))
    """
    if "dice" in metric:
        return 0.0, 1.0
    return (-math.inf if metric.startswith("volume_error") else 0.0), math.inf


def plain(value: Any) -> Any:
    """Dataclasses, tuples and NaN as what JSON knows; infinity as null as well."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: plain(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if getattr(value, f.name) is not None
        }
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, frozenset)):
        return [plain(v) for v in value]
    return value


def as_json(record: CaseRecord) -> dict[str, Any]:
    """A case as it stands in ``metrics.json``."""
    return dict(plain(record))


def from_json(data: dict[str, Any]) -> CaseRecord:
    """The inverse of `as_json`; KeyError or TypeError if something is missing."""
    score = data["score"]
    return CaseRecord(
        case_id=str(data["case_id"]),
        score=CaseScore(
            regions={name: _region(r) for name, r in score["regions"].items()},
            spacing=(score["spacing"][0], score["spacing"][1], score["spacing"][2]),
            slice_thickness_mm=float(score["slice_thickness_mm"]),
            worst_slice=int(score["worst_slice"]),
            notes=tuple(score["notes"]),
        ),
        picture=str(data["picture"]),
        missing=bool(data["missing"]),
    )


def _region(data: dict[str, Any]) -> RegionScore:
    """One region's scores."""
    numbers = {m: math.nan if data[m] is None else float(data[m]) for m in METRICS}
    found = data.get("detection")
    detection = None
    if found is not None:
        detection = Detection(
            reference=tuple(Lesion(**x) for x in found["reference"]),
            prediction=tuple(Lesion(**x) for x in found["prediction"]),
            ignored=int(found["ignored"]),
        )
    return RegionScore(name=str(data["name"]), detection=detection, **numbers)
