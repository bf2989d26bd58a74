"""From what a prediction says about itself to how often such a prediction was right.

Networks say probabilities that are no frequencies. What was measured on scans whose answers are
known turns them into such: a logistic curve of a few parameters, kept in a JSON file next to the
weights that it was measured with, ``NAME.confidence.json``. A model without that file, or with
other weights, gives no confidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from renalis.errors import InputError

__all__ = [
    "Calibration",
    "Feature",
    "Features",
    "Fit",
    "Fits",
    "OwnCalibration",
    "calibration_of",
    "logit",
    "own_calibration",
]

Feature = Literal["probability_logit", "margin_logit", "agreement_logit", "log_ml", "tumor"]
Features = Mapping[str, float]
"""Values by the names that `Fit` knows."""

_Content = TypeVar("_Content", bound=BaseModel)

Coefficient = Annotated[float, Field(ge=-1e3, le=1e3, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=2_000)]

_MOST_BYTES = 100_000
_END = 1e-3
"""Shares nearer to 0 or 1 count as this, so that their logits have an end."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fit(_Frozen):
    """A logistic curve.

    Attributes
    ----------
    intercept : float
        Log odds where all features are 0.
    weights : dict
        Log odds for each unit of a feature.
    low, high : float
        The lowest and the highest value that was seen; nothing beyond is claimed.
    """

    intercept: Coefficient
    weights: dict[Feature, Coefficient]
    low: Share = 0.0
    high: Share = 1.0

    def value(self, features: Features) -> float | None:
        """The curve's value, 0 to 1; None where a feature that it needs is not known."""
        if any(not math.isfinite(features.get(name, math.nan)) for name in self.weights):
            return None
        odds = self.intercept + sum(w * features[name] for name, w in self.weights.items())
        return min(self.high, max(self.low, 1 / (1 + math.exp(-max(-50.0, min(50.0, odds))))))


class Fits(_Frozen):
    """What was measured with one way of looking.

    Attributes
    ----------
    case : Fit
        Dice of everything renal.
    lesion, kind : Fit
        Whether a lesion touches one of the reference's, and one of the same kind.
    basis : str
        What it was measured on, as a part of a sentence: "40 synthetic scans".
    """

    case: Fit
    lesion: Fit
    kind: Fit
    basis: Text


class Calibration(_Frozen):
    """Everything in ``NAME.confidence.json``.

    Attributes
    ----------
    format : int
        Version of the file's layout.
    weights_sha256 : str
        Of the model's tensors, as in its header.
    fits : dict
        By the mirrored looks that were averaged: ``four``, ``none``, ...
    measured : dict
        When, with what command, and how well it did; for people to read.
    """

    format: Literal[1] = 1
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    fits: dict[Literal["none", "left-right", "four", "all"], Fits]
    measured: dict[str, JsonValue] = {}


class OwnCalibration(_Frozen):
    """What ``renalis model calibrate`` measured of any networks, options and looks.

    Attributes
    ----------
    format : str
        Of the file's layout.
    way_sha256 : str
        Hash of the networks and of all options that change the result.
    fits : Fits
    measured : dict
        How well it did; for people to read.
    """

    format: Literal["renalis confidence 1"] = "renalis confidence 1"
    way_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    fits: Fits
    measured: dict[str, JsonValue] = {}


def own_calibration(path: Path) -> OwnCalibration:
    """Read what ``renalis model calibrate`` wrote.

    Raises
    ------
    InputError
        If there is no such file, or it is another one or damaged.
    """
    try:
        return _read(path, OwnCalibration)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except ValueError:
        raise InputError(
            f"{path} is damaged or not what `renalis model calibrate` writes; make it anew"
        ) from None


def logit(share: float) -> float:
    """Log odds of a share, with an end at 0.001 and 0.999.

    >>> round(logit(0.75), 3)
    1.099
    """
    kept = min(1 - _END, max(_END, share))
    return math.log(kept / (1 - kept))


def calibration_of(model: Path, weights_sha256: str) -> Calibration | None:
    """What is kept next to a model's file for just these weights, if anything is.

    Parameters
    ----------
    model : Path
        The model's file; it need not exist.
    weights_sha256 : str
        Of its tensors.

    Raises
    ------
    InputError
        If there is a file and it is damaged.
    """
    path = model.with_name(f"{model.name.removesuffix('.safetensors')}.confidence.json")
    try:
        found = _read(path, Calibration)
    except OSError:
        return None
    except ValueError:
        raise InputError(
            f"{path.name} next to the model is damaged; install renalis again, or remove the file "
            "to go on without confidences"
        ) from None
    return found if found.weights_sha256 == weights_sha256 else None


def _read(path: Path, layout: type[_Content]) -> _Content:
    """A file of this layout; a ValueError, pydantic's too, if it is none or too large."""
    with path.open("rb") as file:
        text = file.read(_MOST_BYTES + 1)
    if len(text) > _MOST_BYTES:
        raise ValueError("too large")
    return layout.model_validate_json(text)
