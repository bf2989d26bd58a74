"""What the REST API says about jobs: typed, so that its description says it as well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, Field

from renalis.service.deliveries import DeliveryState, deliveries_of
from renalis.service.jobs import Job, JobState
from renalis.service.progress import Progress
from renalis.service.store import Store

__all__ = [
    "DeliveryView",
    "FileView",
    "Files",
    "Health",
    "JobView",
    "Jobs",
    "Problem",
    "job_view",
    "result_files",
]


class Problem(BaseModel):
    """Why a request was refused, in one sentence."""

    detail: str


class DeliveryView(BaseModel):
    """An object on its way to another system."""

    file: str
    destination: str
    state: DeliveryState
    attempts: int
    problem: str


class JobView(BaseModel):
    """A job.

    ``share`` is about which part of the work is done, 0 to 1, and ``doing`` its step in words.
    """

    id: str
    origin: str
    version: int
    state: JobState
    created: datetime
    began: datetime | None
    ended: datetime | None
    doing: str
    share: Annotated[float, Field(ge=0, le=1)]
    problem: str
    notes: list[str]
    superseded_by: str | None
    study_uid: str | None
    series_uid: str | None
    deliveries: list[DeliveryView]


class Jobs(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobView]


class FileView(BaseModel):
    """A file of a job's results; its name is what follows ``/results/``."""

    name: str
    bytes: int


class Files(BaseModel):
    """All files of a job's results."""

    files: list[FileView]


class Health(BaseModel):
    """Whether the parts of the service are at work."""

    status: str
    version: str
    parts: dict[str, bool]


def job_view(store: Store, progress: Progress, job: Job) -> JobView:
    """A job as it stands."""
    ended = job.state in (JobState.DONE, JobState.INCOMPLETE)
    step = progress.of(job.id)
    named = store.database.rows(
        "SELECT study_uid, series_uid FROM series WHERE key = ?", (job.source,)
    )
    return JobView(
        id=job.id,
        origin=job.origin,
        version=job.version,
        state=job.state,
        created=_moment(job.created),
        began=None if job.began is None else _moment(job.began),
        ended=None if job.ended is None else _moment(job.ended),
        doing=step.words if job.state == JobState.RUNNING else "",
        share=1.0 if ended else min(1.0, step.share),
        problem=job.problem,
        notes=list(job.notes),
        superseded_by=job.superseded_by,
        study_uid=named[0]["study_uid"] if named else None,
        series_uid=named[0]["series_uid"] if named else None,
        deliveries=[
            DeliveryView.model_validate(one, from_attributes=True)
            for one in deliveries_of(store.database, job.id)
        ],
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def result_files(store: Store, job_id: str) -> list[FileView]:
    """A job's files, without those that are being written."""
    folder = store.result(job_id)
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            found.append(FileView(name=name.as_posix(), bytes=path.stat().st_size))
    return found
