"""A dataset of small, coarse synthetic scans, made once for all tests of this folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from helpers.ellipsoid_kidneys import write_scan

# Sums over several threads are rounded otherwise: the same bits need as many threads, here and in
# the processes that the tests start. Other tests leave other numbers behind.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before any fixture of a test in this folder."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten cases in the layout of KiTS19."""
    folder = tmp_path_factory.mktemp("kits")
    for number in range(10):
        write_scan(folder, number)
    return folder
