"""How sure a whole case is: of the overlap with a reader's kidneys, before a reader looks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from renalis.calibration import Features, Fits, logit
from renalis.look_spread import LookSpread
from renalis.measurement.results import CaseConfidence, Confidence, Kidney, LesionKind

__all__ = ["case_confidence", "features_of", "lesion_features"]

_UNMEASURED = "nothing was measured with these networks, options and looks"


def case_confidence(
    kidneys: Sequence[Kidney], fits: Fits | None, spread: LookSpread | None = None
) -> CaseConfidence | None:
    """What the prediction says about its own kidneys, all of them together.

    Parameters
    ----------
    kidneys : sequence of Kidney
        With their confidences.
    fits : Fits or None
        What was measured with such looks.
    spread : LookSpread, optional
        What the kidneys' agreement comes from.

    Returns
    -------
    CaseConfidence or None
        None where no kidney was found, or one has no confidence.
    """
    known = [kidney.confidence for kidney in kidneys if kidney.confidence is not None]
    if not known or len(known) < len(kidneys):
        return None
    volumes = [kidney.volume_ml for kidney in kidneys]
    agreements = [one.agreement_fraction for one in known if one.agreement_fraction is not None]
    together = Confidence(
        mean_probability=_mean([one.mean_probability for one in known], volumes),
        low_ml=sum(one.low_ml for one in known),
        high_ml=sum(one.high_ml for one in known),
        agreement_fraction=_mean(agreements, volumes) if len(agreements) == len(known) else None,
    )
    return CaseConfidence(
        case_confidence=None if fits is None else fits.case.value(features_of(together)),
        mean_probability=together.mean_probability,
        margin_fraction=_margin(together),
        agreement_fraction=together.agreement_fraction,
        agreement_among=_among(together, spread),
        basis=_UNMEASURED if fits is None else fits.basis,
    )


def _among(found: Confidence, spread: LookSpread | None) -> str:
    if spread is None or found.agreement_fraction is None:
        return ""
    return f"{spread.looks} {spread.among}"


def features_of(found: Confidence) -> Features:
    """What `renalis.calibration.Fits.case` may ask about a structure."""
    features = {
        "probability_logit": logit(found.mean_probability),
        "margin_logit": logit(_margin(found)),
    }
    if found.agreement_fraction is not None:
        features["agreement_logit"] = logit(found.agreement_fraction)
    return features


def lesion_features(found: Confidence, volume_ml: float, kind: LesionKind) -> Features:
    """What `renalis.calibration.Fits.lesion` and ``kind`` may ask about a lesion."""
    return {
        **features_of(found),
        "log_ml": math.log(max(volume_ml, 1e-3)),
        "tumor": float(kind is LesionKind.TUMOR),
    }


def _margin(found: Confidence) -> float:
    """How sharp the outline is: 1 where a strict threshold finds as much as a generous one."""
    return float(found.low_ml / found.high_ml) if found.high_ml > 0 else 0.0


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
