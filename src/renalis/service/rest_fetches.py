"""Routes of the REST API about series that are fetched from archives."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from renalis.service.fetches import Fetch, FetchState, all_fetches, want
from renalis.service.rest import Service, caller, problems, service_of

__all__ = ["fetches"]

Uid = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+$", max_length=64)]

fetches = APIRouter(prefix="/api/fetches", dependencies=[Depends(caller)])

Served = Annotated[Service, Depends(service_of)]


class Wish(BaseModel):
    """A series to fetch from one of the configuration's archives."""

    archive: str
    study_uid: Uid
    series_uid: Uid


class Asked(BaseModel):
    """Which fetches to list."""

    model_config = ConfigDict(extra="forbid")
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class FetchView(BaseModel):
    """A series of an archive, and how its fetch stands."""

    archive: str
    study_uid: str
    series_uid: str
    state: FetchState
    attempts: int
    due: datetime
    problem: str


class Fetches(BaseModel):
    """Series of archives."""

    fetches: list[FetchView]


def _view(one: Fetch) -> FetchView:
    return FetchView(
        archive=one.archive,
        study_uid=one.study_uid,
        series_uid=one.series_uid,
        state=one.state,
        attempts=one.attempts,
        due=datetime.fromtimestamp(one.due, UTC),
        problem=one.problem,
    )


@fetches.post("", status_code=202, responses=problems(400, 401, 404, 422, 429))
def wish(body: Wish, service: Served) -> FetchView:
    """Fetch a series from an archive; it becomes a job when it has arrived."""
    if body.archive not in {archive.name for archive in service.config.archives}:
        raise HTTPException(404, "there is no such archive in the configuration")
    now = service.store.clock.now()
    return _view(want(service.store.database, body.archive, body.study_uid, body.series_uid, now))


@fetches.get("", responses=problems(401, 422, 429))
def listing(service: Served, asked: Annotated[Asked, Query()]) -> Fetches:
    """Series of archives, those due last first."""
    found = all_fetches(service.store.database, asked.limit)
    return Fetches(fetches=[_view(one) for one in found])
