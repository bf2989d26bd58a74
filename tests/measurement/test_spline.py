"""The spline that carries a kidney's contour across gaps is SciPy's."""

from __future__ import annotations

import numpy as np
import pytest

from renalis.measurement.contour import STIFFNESS, spline


@pytest.mark.parametrize("size", [0.5, 60.0])
def test_the_spline_is_that_of_scipy(size: float) -> None:
    from scipy.interpolate import RBFInterpolator  # slow to load

    rng = np.random.default_rng(4)
    known, places = (rng.normal(30, size, (n, 3)) for n in (80, 40))
    values = np.sin(known[:, 0] / size) + rng.normal(0, 0.1, 80)
    expected = RBFInterpolator(known, values, smoothing=STIFFNESS)(places)
    np.testing.assert_allclose(spline(known, values, places), expected, rtol=1e-6, atol=1e-8)
