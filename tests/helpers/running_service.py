"""A service at work in a thread of the tests' own process, asked over its REST API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from helpers.orthanc import free_port
from renalis.pipeline import SegmentOptions
from renalis.service.config import read_config
from renalis.service.run import serve
from renalis.service.tokens import add_token

__all__ = ["Client", "running_service", "wait_until"]

PATIENCE_S = 120.0


def wait_until(what: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """What a function returns once it is true."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError("waited too long")


@dataclass(frozen=True)
class Client:
    """Asks a service's REST API with a token."""

    url: str
    token: str

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.request(method, self.url + path, headers=headers, timeout=60, **more)

    def jobs(self) -> list[dict[str, Any]]:
        return list(self.ask("GET", "/api/jobs?limit=500").json()["jobs"])

    def ended(self, count: int) -> list[dict[str, Any]]:
        """So many jobs, once all have ended and all their objects were sent."""

        def look() -> list[dict[str, Any]]:
            found = self.jobs()
            over = len(found) == count and all(
                one["state"] not in ("queued", "running")
                and all(sent["state"] != "waiting" for sent in one["deliveries"])
                for one in found
            )
            return found if over else []

        return list(wait_until(look))


@contextmanager
def running_service(folder: Path, options: SegmentOptions, **fields: Any) -> Iterator[Client]:
    """Begin to serve with a configuration of these fields, and end in good order."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    content = {
        "folder": "kept",
        "write": list(options.write),
        "rest": {"port": port},
        "limits": {"free_gb": 0.01},
        **fields,
    }
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump(content))
    config = read_config(path)
    token = add_token(config.tokens, "tests")
    stopping = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            serve(config, options, stopping)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        client = Client(f"http://127.0.0.1:{port}", token)
        wait_until(lambda: failed or _answers(client))
        if failed:
            raise failed[0]
        yield client
    finally:
        stopping.set()
        thread.join(60)
        assert not thread.is_alive()


def _answers(client: Client) -> bool:
    try:
        return requests.get(f"{client.url}/health", timeout=5).ok
    except requests.ConnectionError:
        return False
