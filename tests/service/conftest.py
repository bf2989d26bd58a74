"""A service's folder, and its REST API without a network, for tests that segment nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.service_api import LIMITS, Api, api_of

from renalis.service.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "kept", LIMITS)
    yield opened
    opened.database.close()


@pytest.fixture
def api(store: Store) -> Iterator[Api]:
    with api_of(store) as opened:
        yield opened
