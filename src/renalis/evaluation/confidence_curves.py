"""From findings that are known to be right or wrong to confidences, and how well these do.

A logistic curve is fitted on one half of the findings and measured on the other, then the other way
round. What is used is fitted on both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.calibration import Feature, Fit, Fits
from renalis.errors import InputError
from renalis.evaluation.confidence_findings import Finding

__all__ = [
    "FEATURES",
    "TOUCHED",
    "crossed",
    "doubtful",
    "fits_of",
    "fitted",
    "rank_area",
    "said_by",
    "spearman",
]

FEATURES: tuple[Feature, ...] = ("probability_logit",)
TOUCHED = 0.1
"""Share of a finding that lies in a reference lesion, from which it counts as right."""
LEAST = 20
"""Cases and lesions without which no curve is fitted."""
_RIDGE = 0.5
"""Penalty on slopes, so that a few cleanly separated findings do not claim certainty."""
_STEEP = 1e-6

Row = Mapping[str, Any]
"""A finding: ``features`` (see `renalis.calibration.Features`), ``value`` (0 to 1, how right it
was), ``weight``, and ``half`` (0 or 1)."""


def fits_of(findings: Sequence[Finding], basis: str) -> tuple[Fits, dict[str, Any]]:
    """The curves of a way of segmenting, and how well they do.

    Parameters
    ----------
    findings : sequence of Finding
        Cases with references, each second one in the second half.
    basis : str
        What they are, as a part of a sentence: "40 cases of ours".

    Returns
    -------
    fits : Fits
    measured : dict
        For cases, lesions and their kinds: count, mean error of what was said, rank, and the share
        of all errors that lies in the doubtful tenth.

    Raises
    ------
    InputError
        If there are too few cases with kidneys, or too few lesions.
    """
    rows = {what: _rows(findings, what) for what in ("case", "lesion", "kind")}
    if min(map(len, rows.values())) < LEAST:
        raise InputError(
            f"there are {len(rows['case'])} cases with kidneys and {len(rows['lesion'])} lesions "
            f"that a prediction says something of; confidences need {LEAST} of each"
        )
    measured: dict[str, Any] = {}
    for what, those in rows.items():
        said, value = crossed(those, FEATURES), np.array([row["value"] for row in those])
        measured[what] = {
            "count": len(those),
            "mean_absolute_error": round(float(np.abs(said - value).mean()), 3),
            "rank": spearman(said, value) if what == "case" else rank_area(said, value),
            "errors_in_doubtful_tenth": round(doubtful(said, 1 - value), 3),
        }
    curves = {what: fitted(those, FEATURES) for what, those in rows.items()}
    return Fits(**curves, basis=basis), measured


def _rows(findings: Sequence[Finding], what: str) -> list[Row]:
    rows: list[Row] = []
    for number, one in enumerate(findings):
        if what == "case":
            known = [] if one.features is None else [(one.features, one.dice)]
        else:
            known = [
                (
                    lesion.features,
                    float((lesion.same if what == "kind" else lesion.touch) >= TOUCHED),
                )
                for lesion in one.lesions
            ]
        rows += [
            {"features": values, "value": value, "weight": 1.0, "half": number % 2}
            for values, value in known
        ]
    return rows


def fitted(rows: Sequence[Row], names: Sequence[Feature]) -> Fit:
    """A logistic curve through values of 0 to 1, by Newton's method."""
    x = np.array([[1.0, *(row["features"][name] for name in names)] for row in rows])
    y, w = (np.array([row[key] for row in rows], float) for key in ("value", "weight"))
    beta, ridge = np.zeros(x.shape[1]), np.diag([0.0] + [_RIDGE] * len(names))
    for _ in range(60):
        p = 1 / (1 + np.exp(-x @ beta))
        gradient = x.T @ (w * (y - p)) - ridge @ beta
        steep = np.maximum(p * (1 - p), _STEEP)  # where all were right there is no end
        beta = beta + np.linalg.solve((x.T * (w * steep)) @ x + ridge, gradient)
    p = 1 / (1 + np.exp(-x @ beta))
    return Fit(
        intercept=round(float(beta[0]), 4),
        weights={name: round(float(b), 4) for name, b in zip(names, beta[1:], strict=True)},
        low=round(max(0.02, float(p.min())), 3),
        high=round(min(0.98, float(p.max())), 3),
    )


def crossed(rows: Sequence[Row], names: Sequence[Feature]) -> NDArray[np.float64]:
    """For each row, what the curve of the other half says."""
    said = np.zeros(len(rows))
    for half in (0, 1):
        fit = fitted([row for row in rows if row["half"] != half], names)
        here = np.array([row["half"] == half for row in rows])
        said[here] = said_by(fit, rows)[here]
    return said


def said_by(fit: Fit, rows: Sequence[Row]) -> NDArray[np.float64]:
    """For each row, what a curve says."""
    values = (fit.value(row["features"]) for row in rows)
    return np.array([np.nan if value is None else value for value in values])


def doubtful(said: NDArray[np.float64], error: NDArray[np.float64], share: float = 0.1) -> float:
    """Share of all errors that lies in the most doubtful tenth."""
    count = max(1, round(share * len(said)))
    order = np.argsort(said, kind="stable")
    return float(error[order[:count]].sum() / max(error.sum(), 1e-9))


def rank_area(said: NDArray[np.float64], right: NDArray[np.float64]) -> float | None:
    """Chance that a right finding has a higher confidence than a wrong one."""
    good, bad = said[right > 0.5], said[right <= 0.5]
    if not len(good) or not len(bad):
        return None
    higher = (good[:, None] > bad).mean() + 0.5 * (good[:, None] == bad).mean()
    return round(float(higher), 3)


def spearman(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Spearman's correlation of two rows of numbers."""
    first, second = (np.argsort(np.argsort(values)) for values in (one, other))
    return round(float(np.corrcoef(first, second)[0, 1]), 3)
