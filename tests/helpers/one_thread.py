"""One thread for tests of equal bits: a conftest imports this module's hook.

Sums over several threads are rounded otherwise: the same bits need as many threads, here and in the
processes that the tests start. Other tests leave other numbers behind.
"""

from __future__ import annotations

import os

import pytest
import torch

__all__ = ["pytest_runtest_setup"]

os.environ["OMP_NUM_THREADS"] = "1"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before any fixture of a test in the folder of that conftest."""
    torch.set_num_threads(1)
