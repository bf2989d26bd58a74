"""Twenty small, coarse synthetic scans, and runs on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.ellipsoid_kidneys import write_scan
from helpers.one_thread import pytest_runtest_setup

__all__ = ["pytest_runtest_setup"]


@pytest.fixture(scope="session")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty cases in the layout of KiTS19."""
    folder = tmp_path_factory.mktemp("twenty")
    for number in range(20):
        write_scan(folder, number)
    return folder


@pytest.fixture(scope="session")
def ten(twenty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten of them."""
    folder = tmp_path_factory.mktemp("ten")
    for case in sorted(twenty.iterdir())[:10]:
        (folder / case.name).symlink_to(case)
    return folder
