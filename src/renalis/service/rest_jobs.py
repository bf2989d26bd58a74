"""Routes of the REST API about jobs: upload, state, progress, results."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi import Path as InPath
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from renalis.service.jobs import (
    ENDED,
    Job,
    JobState,
    all_jobs,
    delete_job,
    find_job,
    new_id,
    retry,
)
from renalis.service.rest import Service, caller, problems, service_of
from renalis.service.store import Refused, check_room
from renalis.service.uploads import take_upload
from renalis.service.views import Files, Jobs, JobView, job_view, result_files

__all__ = ["jobs"]

_IDLE_S = 60.0
_CODES = {"type": 415, "upload": 413, "unpacked": 413, "files": 413}
_LOOK_S, _ALIVE_S = 0.3, 15.0
_OCTETS = {"schema": {"type": "string", "format": "binary"}}
_UPLOAD = {
    "required": True,
    "description": "a zip of DICOM files, one DICOM file, or a NIfTI file (.nii, .nii.gz)",
    "content": {"application/octet-stream": _OCTETS},
}

jobs = APIRouter(prefix="/api/jobs", dependencies=[Depends(caller)])

Served = Annotated[Service, Depends(service_of)]
JobId = Annotated[str, InPath(pattern=r"^[0-9a-f]{16}$")]
Name = Annotated[str, InPath(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/-]{0,300}$")]


class Asked(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid")
    state: JobState | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    offset: Annotated[int, Field(ge=0, le=10**9)] = 0


def _found(service: Service, job_id: str) -> Job:
    job = find_job(service.store.database, job_id)
    if job is None:
        raise HTTPException(404, "there is no such job")
    return job


def _viewed(service: Service, job_id: str) -> JobView:
    return job_view(service.store, service.progress, _found(service, job_id))


@jobs.post(
    "",
    status_code=201,
    openapi_extra={"requestBody": _UPLOAD},
    responses={
        200: {"model": JobView, "description": "the same file was uploaded before"},
        **problems(400, 401, 408, 413, 415, 422, 429, 503),
    },
)
async def upload(request: Request, response: Response, service: Served) -> JobView:
    """Upload a scan as the request's body; it becomes a job."""
    path = service.store.arriving / new_id()
    try:
        await run_in_threadpool(check_room, service.store)
        digest = await _arrived(request, path, service.store.limits.upload_mb * 1e6)
        job, new = await run_in_threadpool(take_upload, service.store, path, digest)
    except Refused as refused:
        service.counters.add("renalis_refused_total", door="rest", reason=refused.reason)
        if refused.for_now:
            raise HTTPException(503, str(refused), {"Retry-After": "60"}) from refused
        raise HTTPException(_CODES.get(refused.reason, 422), str(refused)) from refused
    except TimeoutError as error:
        raise HTTPException(408, "nothing came for too long") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the upload broke off") from error
    finally:
        path.unlink(missing_ok=True)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/api/jobs/{job.id}"
    return await run_in_threadpool(job_view, service.store, service.progress, job)


async def _arrived(request: Request, path: Path, most: float) -> str:
    """Write the body to a file piece by piece; its SHA-256."""
    too_large = Refused("upload", "the upload is larger than limits.upload_mb")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise too_large
    digest, size = hashlib.sha256(), 0
    pieces = request.stream().__aiter__()
    with path.open("xb") as file:
        while True:
            try:
                piece = await asyncio.wait_for(anext(pieces), _IDLE_S)
            except StopAsyncIteration:
                return digest.hexdigest()
            size += len(piece)
            if size > most:
                raise too_large
            digest.update(piece)
            await run_in_threadpool(file.write, piece)


@jobs.get("", responses=problems(401, 422, 429))
def listing(service: Served, asked: Annotated[Asked, Query()]) -> Jobs:
    """Jobs, the newest first."""
    found = all_jobs(service.store.database, asked.state, asked.limit, asked.offset)
    return Jobs(jobs=[job_view(service.store, service.progress, job) for job in found])


@jobs.get("/{job_id}", responses=problems(401, 404, 422, 429))
def one(job_id: JobId, service: Served) -> JobView:
    """A job as it stands."""
    return _viewed(service, job_id)


@jobs.delete("/{job_id}", status_code=204, responses=problems(401, 404, 409, 422, 429))
def delete(job_id: JobId, service: Served) -> None:
    """Delete a job with its scan and its results, unless it is running."""
    _found(service, job_id)
    if not delete_job(service.store.database, job_id):
        raise HTTPException(409, "the job is running; delete it when it has ended")
    shutil.rmtree(service.store.job(job_id), ignore_errors=True)


@jobs.post("/{job_id}/retry", responses=problems(401, 404, 409, 422, 429))
def again(job_id: JobId, service: Served) -> JobView:
    """Queue a job again that failed or is incomplete."""
    _found(service, job_id)
    if not retry(service.store.database, job_id):
        raise HTTPException(409, "only jobs that failed or are incomplete can be tried again")
    return _viewed(service, job_id)


@jobs.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "an event `job` with the job as JSON at each change, until it ends",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems(401, 404, 422, 429),
    },
)
async def events(job_id: JobId, service: Served) -> StreamingResponse:
    """How a job goes on, as server-sent events."""
    await run_in_threadpool(_found, service, job_id)
    return StreamingResponse(_told(service, job_id), media_type="text/event-stream")


async def _told(service: Service, job_id: str) -> AsyncIterator[str]:
    last, said = "", time.monotonic()
    while not service.stopping.is_set():
        try:
            view = await run_in_threadpool(_viewed, service, job_id)
        except HTTPException:  # deleted meanwhile
            return
        text = view.model_dump_json()
        if text != last:
            last, said = text, time.monotonic()
            yield f"event: job\ndata: {text}\n\n"
        elif time.monotonic() - said > _ALIVE_S:
            said = time.monotonic()
            yield ": still there\n\n"
        if view.state in ENDED:
            return
        await asyncio.sleep(_LOOK_S)


@jobs.get("/{job_id}/results", responses=problems(401, 404, 422, 429))
def results(job_id: JobId, service: Served) -> Files:
    """The files of a job's results."""
    _found(service, job_id)
    return Files(files=result_files(service.store, job_id))


@jobs.get(
    "/{job_id}/results.zip",
    response_class=StreamingResponse,
    responses={
        200: {"description": "all files", "content": {"application/zip": _OCTETS}},
        **problems(401, 404, 409, 422, 429),
    },
)
def results_zip(job_id: JobId, service: Served) -> StreamingResponse:
    """All files of a job that has ended, as one zip."""
    if _found(service, job_id).state not in ENDED:
        raise HTTPException(409, "the job has not ended yet")
    folder = service.store.result(job_id)
    packed = tempfile.TemporaryFile(dir=service.store.arriving)  # noqa: SIM115 - closed when sent
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for file in result_files(service.store, job_id):
            archive.write(folder / file.name, file.name)
    packed.seek(0)
    return StreamingResponse(
        _pieces(packed),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{job_id}.zip"'},
        background=BackgroundTask(packed.close),
    )


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(1 << 20):
        yield piece


_FILE = {
    200: {
        "description": "the file",
        "content": {"application/octet-stream": _OCTETS},
    },
    **problems(401, 404, 422, 429),
}


@jobs.get("/{job_id}/results/{name:path}", response_class=FileResponse, responses=_FILE)
def file(job_id: JobId, name: Name, service: Served) -> FileResponse:
    """One of the files that are listed; nothing else can be named."""
    _found(service, job_id)
    if name not in {each.name for each in result_files(service.store, job_id)}:
        raise HTTPException(404, "there is no such file")
    return FileResponse(
        service.store.result(job_id) / name,
        media_type="application/octet-stream",
        filename=name.rsplit("/", 1)[-1],
    )
