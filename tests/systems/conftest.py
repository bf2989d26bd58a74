"""A dataset of small, coarse synthetic scans, made once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.ellipsoid_kidneys import write_scan
from helpers.one_thread import pytest_runtest_setup

__all__ = ["pytest_runtest_setup"]


@pytest.fixture(scope="session")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten cases in the layout of KiTS19."""
    folder = tmp_path_factory.mktemp("kits")
    for number in range(10):
        write_scan(folder, number)
    return folder
