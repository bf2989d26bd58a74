"""Ten small, coarse synthetic scans, and four of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.ellipsoid_kidneys import write_scan
from helpers.one_thread import pytest_runtest_setup

__all__ = ["pytest_runtest_setup"]


@pytest.fixture(scope="session")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten cases in the layout of KiTS19."""
    folder = tmp_path_factory.mktemp("ten")
    for number in range(10):
        write_scan(folder, number)
    return folder


@pytest.fixture(scope="session")
def four(ten: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four of them."""
    folder = tmp_path_factory.mktemp("four")
    for case in sorted(ten.iterdir())[:4]:
        (folder / case.name).symlink_to(case)
    return folder
