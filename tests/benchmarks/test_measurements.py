"""The page of phantoms is written with those of the tests, wherever they lie."""

from __future__ import annotations

import measurements
import numpy as np


def test_its_phantoms_are_found_and_measured() -> None:
    what, truth, found = next(measurements.diameters(1, np.random.default_rng(0)))
    assert what
    assert np.allclose(found, truth, rtol=0.1)
