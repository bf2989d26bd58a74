"""Routes of the viewer: a page is opened with a token, and then has an address of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi import Path as InPath
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from renalis.errors import InputError
from renalis.service.jobs import JobState, find_job
from renalis.service.rest import Service, caller, problems, service_of
from renalis.viewer.app import MOST_BYTES
from renalis.viewer.app import Request as Asked
from renalis.viewer.server import HEADERS

__all__ = ["viewer"]

viewer = APIRouter()

Served = Annotated[Service, Depends(service_of)]


class Opened(BaseModel):
    """Address of a page, below that of this API, and how long it stays open."""

    address: str
    until: datetime


@viewer.post(
    "/api/jobs/{job_id}/view", status_code=201, responses=problems(401, 404, 409, 422, 429)
)
def view(
    job_id: Annotated[str, InPath(pattern=r"^[0-9a-f]{16}$")],
    service: Served,
    who: Annotated[str, Depends(caller)],
) -> Opened:
    """Open a page to look at a job's results and correct them; whoever has its address can."""
    job = find_job(service.store.database, job_id)
    if job is None:
        raise HTTPException(404, "there is no such job")
    if job.state not in (JobState.DONE, JobState.INCOMPLETE):
        raise HTTPException(409, "the job has no results to look at")
    try:
        key, page = service.pages.open(service.store, job_id, who)
    except InputError as error:
        raise HTTPException(409, "the job has no results to look at") from error
    return Opened(address=f"/view/{key}/", until=datetime.fromtimestamp(page.until, UTC))


@viewer.api_route("/view/{key}/{path:path}", methods=["GET", "POST"], include_in_schema=False)
async def page(key: str, path: str, request: Request, service: Served) -> StreamingResponse:
    """Everything that an open page asks for; see `renalis.viewer.app`."""
    found = service.pages.named(key)
    if found is None or find_job(service.store.database, found.job) is None:
        raise HTTPException(404, "there is no such page any more; open another one")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, "other pages may not ask")
    asked = Asked(request.method, path, dict(request.query_params), await _body(request))
    answer = await run_in_threadpool(found.app.respond, asked)
    return StreamingResponse(
        iter(answer.body), answer.status, headers={**HEADERS, **answer.headers}
    )


async def _body(request: Request) -> bytes:
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MOST_BYTES:
            raise HTTPException(413, f"more than {MOST_BYTES} bytes are not taken")
    return bytes(content)
