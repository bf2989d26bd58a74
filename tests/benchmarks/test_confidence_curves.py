"""The curves of the confidences are those of the data, and each half is measured by the other."""

from __future__ import annotations

import confidence
import numpy as np
import pytest

from renalis.calibration import Fit


def rows(count: int, slope: float, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        x = float(rng.normal())
        right = float(rng.random() < 1 / (1 + np.exp(-(0.5 + slope * x))))
        features = {"probability_logit": x}
        found.append({"half": number % 2, "value": right, "weight": 1.0, "features": features})
    return found


def test_a_curve_is_found_again() -> None:
    fit = confidence.fitted(rows(4000, 1.5), ["probability_logit"])
    assert isinstance(fit, Fit)
    assert fit.intercept == pytest.approx(0.5, abs=0.12)
    assert fit.weights["probability_logit"] == pytest.approx(1.5, abs=0.15)


def test_no_finding_is_judged_by_a_curve_that_saw_it() -> None:
    known = rows(400, 1.5)
    said = confidence.crossed(known, ["probability_logit"])
    for row in known[::2]:
        row["value"] = 1 - row["value"]
    again = confidence.crossed(known, ["probability_logit"])
    np.testing.assert_array_equal(said[::2], again[::2])
    assert not np.allclose(said[1::2], again[1::2])


def test_errors_in_the_doubtful_tenth() -> None:
    said, error = np.linspace(0, 1, 20), np.zeros(20)
    error[[0, 1, 10, 11]] = 1, 1, 1, 1
    assert confidence.doubtful(said, error) == 0.5
