"""Which values are far from a cohort's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.cohort.report.outliers import FEWEST, Limits, distances, limits


def test_limits_are_those_of_the_rule() -> None:
    values = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, np.nan])
    found = limits(values)
    assert found is not None
    assert found.median == 6
    assert found.high == pytest.approx(6 + 3.5 * 1.4826 * 3)
    assert found.low == pytest.approx(6 - 3.5 * 1.4826 * 3)


def test_by_logarithms_half_and_double_are_equally_far() -> None:
    values = np.array([50.0, 100, 200] * 4)
    found = limits(values, logarithmic=True)
    assert found is not None
    assert found.median == pytest.approx(100)
    assert found.low * found.high == pytest.approx(100**2)
    far = distances(np.array([25.0, 400, np.nan]), found, logarithmic=True)
    assert far[0] == pytest.approx(far[1])
    assert far[2] == 0


def test_without_a_spread_or_with_few_values_nothing_is_far() -> None:
    assert limits(np.array([3.0] * 20 + [5.0] * 9)) is None
    assert limits(np.arange(FEWEST - 1.0)) is None
    assert distances(np.array([1.0, 1e9]), None).tolist() == [0, 0]


@settings(max_examples=25)
@given(
    st.lists(st.floats(0.1, 1000), min_size=FEWEST, max_size=40), st.floats(0.01, 100),
)  # fmt: skip
def test_what_is_far_does_not_depend_on_the_unit(values: list[float], unit: float) -> None:
    one = np.array(values)
    other = one * unit
    for logarithmic in (False, True):
        usual, scaled = limits(one, logarithmic), limits(other, logarithmic)
        if usual is None or scaled is None:
            continue
        far = distances(one, usual, logarithmic)
        assert distances(other, scaled, logarithmic) == pytest.approx(far, rel=1e-4, abs=1e-4)


def test_among_cases_very_much_alike_small_differences_are_not_far() -> None:
    values = np.linspace(159.2, 159.8, 12)
    found = limits(values, least=5.0)
    assert found is not None
    assert found.high == pytest.approx(159.5 + 3.5 * 5)
    assert limits(np.array([3.0] * 20), least=5.0) is None


def test_one_wild_value_does_not_hide_itself() -> None:
    values = np.array([*np.linspace(150, 210, 11), 1e6])
    assert (distances(values, limits(values)) > 1).tolist() == [False] * 11 + [True]
    assert isinstance(limits(values), Limits)
