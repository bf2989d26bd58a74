"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every run: what fails once fails again, for everybody.
# No deadline: how fast a machine is must not decide whether a test passes.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder with real scans and published label maps, which are not part of the project."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RENALIS_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data: set RENALIS_DATA to its folder (looked in {folder})")
    return folder
