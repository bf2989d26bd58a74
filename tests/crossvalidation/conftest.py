"""Twenty small, coarse synthetic scans, and runs on them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from helpers.ellipsoid_kidneys import write_scan

os.environ["OMP_NUM_THREADS"] = "1"  # sums over several threads are rounded otherwise


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before any fixture of a test in this folder."""
    torch.set_num_threads(1)


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
