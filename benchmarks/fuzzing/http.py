"""HTTP: requests to the service's application, as a server hands them on, whatever they say."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from pathlib import Path
from random import Random
from typing import Any

import nibabel as nib
import numpy as np

from fuzzing.changed_bytes import ODD_INTEGERS, ODD_TEXTS, changed_bytes
from renalis.service.access import TokenFile
from renalis.service.config import Config
from renalis.service.jobs import JobState, add_job, begin_next, end_job
from renalis.service.metrics import Counters
from renalis.service.progress import Progress
from renalis.service.rest import Service, build_app
from renalis.service.rest_fetches import fetches
from renalis.service.rest_jobs import jobs
from renalis.service.rest_viewer import viewer
from renalis.service.store import open_store
from renalis.service.tokens import add_token

__all__ = ["target"]

_LIMITS = {"upload_mb": 2, "unpacked_mb": 20, "files": 50, "waiting": 10**6, "free_gb": 0.0001}
_JOB = "0" * 16
_PATHS = (
    "/health", "/metrics", "/openapi.json", "/api/jobs", f"/api/jobs/{_JOB}",
    f"/api/jobs/{_JOB}/retry", f"/api/jobs/{_JOB}/results", f"/api/jobs/{_JOB}/results.zip",
    f"/api/jobs/{_JOB}/results/measurements.json", f"/api/jobs/{_JOB}/results/case/x.json",
    "/api/fetches", f"/jobs/{_JOB}/viewer/", f"/viewer/{_JOB}/", "/",
)  # fmt: skip
_METHODS = ("GET", "GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH",
            "TRACE", "CONNECT", "X" * 300, "GE T")  # fmt: skip


class Http:
    """One request to the application, and whether what it answers is below 500."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        image = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.diag([1, 1, 3, 1]))
        self.nifti = image.to_bytes()
        self.said: dict[str, Any] = {}

    def begin(self) -> None:
        """Open the service's folder and database."""
        store = open_store(self.scratch / "kept", Config.model_validate(
            {"folder": self.scratch / "kept", "limits": _LIMITS}).limits)  # fmt: skip
        add_job(store.database, _JOB, origin="upload", source="upload", content="0", now=1.0)
        job = begin_next(store.database, 2.0)
        assert job is not None
        (store.result(_JOB) / _JOB).mkdir(parents=True)
        (store.result(_JOB) / _JOB / "measurements.json").write_text("{}")
        end_job(store.database, _JOB, JobState.DONE, "", (), 3.0)
        (store.job(_JOB) / "input").mkdir(parents=True, exist_ok=True)
        self.token = add_token(store.folder / "tokens", "lab")
        config = Config.model_validate(
            {"folder": store.folder, "limits": _LIMITS,
             "rest": {"requests_per_minute": 10**6},
             "archives": [{"name": "hospital", "url": "http://127.0.0.1:1/dicom-web"}]}
        )  # fmt: skip
        service = Service(config, store, Progress(), Counters(), TokenFile(config.tokens),
                          {"worker": lambda: True}, threading.Event())  # fmt: skip
        self.app = build_app(service, [jobs, fetches, viewer])
        self.loop = asyncio.new_event_loop()

    def make(self, rng: Random, folder: Path) -> list[str]:
        """Write a request down, as JSON and a body."""
        method, path, words = rng.choice(_METHODS), rng.choice(_PATHS), []
        if rng.random() < 0.4:
            odd = rng.choice((*ODD_TEXTS, *map(str, ODD_INTEGERS), "..", "%2e%2e%2f", "//", "%00",
                              "results/../../tokens", "a" * 9000, "\udcff"))  # fmt: skip
            parts = path.split("/")
            parts[rng.randrange(1, len(parts))] = odd
            path, words = "/".join(parts), ["path"]
        query = ""
        if rng.random() < 0.3:
            key = rng.choice(("limit", "offset", "state", "x", "series", "token"))
            query = f"{key}={rng.choice((*ODD_TEXTS, *map(str, ODD_INTEGERS)))}" * rng.choice(
                (1, 9)
            )
            words.append("query")
        headers = [("authorization", f"Bearer {self._token(rng)}")]
        for _ in range(rng.choice((0, 0, 1, 3))):
            name = rng.choice(("content-length", "content-type", "range", "accept", "host",
                               "transfer-encoding", "content-encoding", "if-none-match", "cookie",
                               "x-forwarded-for", "authorization", "expect"))  # fmt: skip
            headers.append(
                (
                    name,
                    rng.choice(
                        (
                            *ODD_TEXTS,
                            *map(str, ODD_INTEGERS),
                            "bytes=0-9999999",
                            "gzip",
                            "chunked",
                            "bytes=-1",
                            "Basic eDp5",
                        )
                    ),
                )
            )
            words.append(name)
        body, more = self._body(rng)
        request = {"method": method, "path": path, "query": query, "headers": headers,
                   "pieces": rng.choice((1, 1, 3))}  # fmt: skip
        (folder / "request.json").write_text(json.dumps(request))
        (folder / "body").write_bytes(body)
        return [method[:9], *words, *more]

    @staticmethod
    def _token(rng: Random) -> str:
        return rng.choice(("%right%",) * 9 + ODD_TEXTS)

    def _body(self, rng: Random) -> tuple[bytes, list[str]]:
        roll = rng.random()
        if roll < 0.3:
            return b"", []
        if roll < 0.6:
            content = self.nifti if rng.random() < 0.5 else gzip.compress(self.nifti, 1, mtime=0)
            changed, words = changed_bytes(content, rng, early=348)
            return changed, [f"body: {word}" for word in words]
        text = rng.choice(('{"archive": "hospital", "study_uid": "1.2.3"}', '{"kind": "tumor"}',
                           "[" * 5000,
                           '{"a":' * 5000, "null", "[]", '"x"', "1e999", "NaN"))  # fmt: skip
        changed, words = changed_bytes(text.encode(), rng)
        return changed, ["body: JSON", *words]

    def use(self, folder: Path) -> None:
        """Ask; a failing answer is a finding, a sentence an answer like any other."""
        request = json.loads((folder / "request.json").read_text())
        status, answer = self.loop.run_until_complete(
            asyncio.wait_for(self._asked(request, (folder / "body").read_bytes()), 30)
        )
        assert status < 500 or status == 503, f"{status}: {answer[:300]!r}"
        assert str(self.scratch).encode() not in answer, "the answer names the service's folder"
        assert b"Traceback" not in answer

    async def _asked(self, request: dict[str, Any], body: bytes) -> tuple[int, bytes]:
        raw = request["path"].encode("utf-8", "surrogateescape")
        headers = [(n.encode(), v.replace("%right%", self.token).encode("utf-8", "replace"))
                   for n, v in request["headers"]]  # fmt: skip
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1",
            "method": request["method"], "scheme": "http", "path": request["path"],
            "raw_path": raw, "query_string": request["query"].encode("utf-8", "replace"),
            "headers": headers, "client": ("127.0.0.1", 9), "server": ("127.0.0.1", 80),
            "root_path": "", "state": {},
        }  # fmt: skip
        size = max(1, -(-len(body) // request["pieces"]))
        pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
        sent, answer, status = 0, [], 0

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if sent >= len(pieces):
                return {"type": "http.disconnect"}
            sent += 1
            more = sent < len(pieces)
            return {"type": "http.request", "body": pieces[sent - 1], "more_body": more}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            answer.append(message.get("body", b""))

        await self.app(scope, receive, send)
        return status, b"".join(answer)


def target(scratch: Path) -> Http:
    """What tries requests."""
    return Http(scratch)
