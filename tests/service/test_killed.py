"""Killed at random moments, the service loses no series and gives each exactly one result."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.killed_service import killed_service


@pytest.mark.slow
def test_each_series_ends_with_exactly_one_result(tmp_path: Path) -> None:
    # `python tests/helpers/killed_service.py FOLDER` does it with 20 series and 10 kills.
    outcome = killed_service(tmp_path, series=3, kills=2)
    assert outcome.states == {"done": 3}
    assert list(outcome.results.values()) == [1, 1, 1]
    assert list(outcome.received.values()) == [1, 1, 1]
    assert outcome.left == []
    assert "Muster" not in outcome.log
    assert "1.2.826" not in outcome.log
