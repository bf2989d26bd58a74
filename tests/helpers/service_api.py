"""A service's REST API without a network, for tests that segment nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi.testclient import TestClient

from renalis.service.access import TokenFile
from renalis.service.config import Config, Limits
from renalis.service.metrics import Counters
from renalis.service.progress import Progress
from renalis.service.rest import Service, build_app
from renalis.service.rest_fetches import fetches
from renalis.service.rest_jobs import jobs
from renalis.service.rest_viewer import viewer
from renalis.service.store import Store
from renalis.service.tokens import add_token

LIMITS = Limits(upload_mb=1, unpacked_mb=4, files=20, image_mb=1, series_mb=2, images=40,
                waiting=50, free_gb=0.001)  # fmt: skip


@dataclass(frozen=True)
class Api:
    """The REST API, and a client that has a token."""

    service: Service
    client: TestClient
    token: str

    @property
    def store(self) -> Store:
        return self.service.store

    def left(self) -> list[str]:
        """Everything that lies in the folder besides the queue itself."""
        folders = (self.store.folder / name for name in ("arriving", "jobs", "series"))
        return [str(p.relative_to(self.store.folder)) for f in folders for p in f.rglob("*")]


@contextmanager
def api_of(store: Store, **rest: object) -> Iterator[Api]:
    """The REST API of a store; fields of the configuration's part about it by keywords."""
    token = add_token(store.folder / "tokens", "lab")
    config = Config.model_validate(
        {
            "folder": store.folder,
            "limits": store.limits.model_dump(),
            "rest": rest,
            "archives": [{"name": "hospital", "url": "http://127.0.0.1:1/dicom-web"}],
        }
    )
    service = Service(
        config,
        store,
        Progress(),
        Counters(),
        TokenFile(config.tokens),
        {"worker": lambda: True},
        threading.Event(),
    )
    client = TestClient(build_app(service, [jobs, fetches, viewer]), raise_server_exceptions=False)
    client.headers["Authorization"] = f"Bearer {token}"
    with client:
        yield Api(service, client, token)
