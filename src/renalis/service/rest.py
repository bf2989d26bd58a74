"""The REST API: one application, whose routes are in `rest_jobs` and `rest_fetches`."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib import metadata
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from renalis.service.access import Rate, TokenFile
from renalis.service.config import Config
from renalis.service.metrics import Counters, exposition
from renalis.service.progress import Progress
from renalis.service.store import Store
from renalis.service.viewing import Pages
from renalis.service.views import Health, Problem

__all__ = ["Service", "build_app", "caller", "problems", "service_of"]

_WRONG_TOKENS_PER_MINUTE = 30
_STATUS = {
    400: "the request cannot be understood",
    401: "no token, or a wrong one",
    404: "there is no such thing",
    408: "nothing came for too long",
    409: "the job's state does not allow it",
    413: "too large",
    415: "neither a zip nor a scan",
    422: "a value is wrong, or there is no scan in it",
    429: "too many requests",
    503: "not now; try again later",
}

_BEARER = HTTPBearer(auto_error=False, description="a token made with `renalis serve --new-token`")


@dataclass(frozen=True, eq=False)
class Service:
    """What the routes need.

    Attributes
    ----------
    config, store, progress, counters, tokens
        Of the service.
    parts : mapping of str to callable
        By name, whether a part of the service is at work.
    stopping : Event
        Set when the service ends.
    pages : Pages
        Of the viewer.
    """

    config: Config
    store: Store
    progress: Progress
    counters: Counters
    tokens: TokenFile
    parts: dict[str, Callable[[], bool]]
    stopping: threading.Event
    pages: Pages = field(default_factory=Pages)
    rate: Rate = field(init=False)
    wrong: Rate = field(default_factory=lambda: Rate(_WRONG_TOKENS_PER_MINUTE))

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", Rate(self.config.rest.requests_per_minute))


def service_of(request: Request) -> Service:
    """The service that a request was made to."""
    found: Service = request.app.state.service
    return found


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """For the description: how a request may be refused."""
    content = {"application/json": {"schema": Problem.model_json_schema()}}
    return {code: {"content": content, "description": _STATUS[code]} for code in codes}


def caller(
    request: Request,
    service: Annotated[Service, Depends(service_of)],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
) -> str:
    """The name of who asks.

    Raises
    ------
    HTTPException
        401 without a known token, 429 after too many requests or wrong tokens.
    """
    address = request.client.host if request.client else ""
    if service.wrong.exhausted(address):
        raise HTTPException(429, _STATUS[429], {"Retry-After": "60"})
    name = None if credentials is None else service.tokens.name_of(credentials.credentials)
    if name is None:
        if credentials is not None:
            service.wrong.allows(address)
        service.counters.add("renalis_refused_total", door="rest", reason="token")
        raise HTTPException(401, _STATUS[401], {"WWW-Authenticate": "Bearer"})
    if not service.rate.allows(name):
        service.counters.add("renalis_refused_total", door="rest", reason="rate")
        raise HTTPException(429, _STATUS[429], {"Retry-After": "10"})
    return name


common = APIRouter()


@common.get("/health", responses={503: {"model": Health, "description": "a part stands still"}})
def health(response: Response, service: Annotated[Service, Depends(service_of)]) -> Health:
    """Whether the service is at work; needs no token and says nothing about scans."""
    parts = {name: works() for name, works in service.parts.items()}
    well = all(parts.values())
    response.status_code = 200 if well else 503
    version = metadata.version("renalis")
    return Health(status="ok" if well else "failing", version=version, parts=parts)


@common.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses=problems(401, 429),
    dependencies=[Depends(caller)],
)
def metrics(service: Annotated[Service, Depends(service_of)]) -> PlainTextResponse:
    """Counts and times in Prometheus' text format."""
    text = exposition(service.store, service.counters, metadata.version("renalis"))
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")


async def _wrong_value(_: Request, error: Exception) -> Response:
    """One sentence, without the value."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"detail": f"{place}: {first['msg']}"}, 422)


def build_app(service: Service, routers: list[APIRouter]) -> FastAPI:
    """The application with all its routes.

    Its pages of documentation are left out: they would be loaded from the internet.
    """
    app = FastAPI(
        title="renalis",
        version=metadata.version("renalis"),
        summary="Measured kidneys, tumors and cysts from CT. Research software, not for diagnosis.",
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.add_exception_handler(RequestValidationError, _wrong_value)

    @app.middleware("http")
    async def count(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        answer = await call_next(request)
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        method = request.method if request.method in _METHODS else "other"
        status = str(answer.status_code)
        service.counters.add("renalis_requests_total", method=method, status=status)
        return answer

    for router in (common, *routers):
        app.include_router(router)
    return app


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
