"""The API keeps to its OpenAPI description, whatever is asked: Schemathesis' checks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi.routing import APIRoute
from helpers.service_api import LIMITS, Api, api_of
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from renalis.service.jobs import JobState, add_job, begin_next, end_job
from renalis.service.rest import common
from renalis.service.rest_fetches import fetches
from renalis.service.rest_jobs import jobs
from renalis.service.rest_viewer import viewer
from renalis.service.store import open_store


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    store = open_store(tmp_path_factory.mktemp("kept") / "kept", LIMITS)
    for number in range(3):
        job_id = f"{number:016x}"
        add_job(store.database, job_id, origin="upload", source="upload",
                content=str(number), now=time.time())  # fmt: skip
        (store.job(job_id) / "input").mkdir(parents=True)
    job = begin_next(store.database, time.time())
    assert job is not None
    (store.result(job.id) / job.id).mkdir(parents=True)
    (store.result(job.id) / job.id / "measurements.json").write_text("{}")
    end_job(store.database, job.id, JobState.DONE, "", (), time.time())
    with api_of(store, requests_per_minute=10**6) as api:
        yield api
    store.database.close()


@pytest.fixture(scope="module")
def description(served: Api) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", served.client.app)


ROUTES = [
    (method, route.path_format)
    for router in (common, jobs, fetches, viewer)
    for route in router.routes
    if isinstance(route, APIRoute) and route.include_in_schema
    for method in sorted(route.methods)
]


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[" ".join(each) for each in ROUTES])
def test_every_answer_is_one_of_those_described(
    served: Api, description: Any, method: str, path: str
) -> None:
    description.config.generation.update(with_security_parameters=False)
    operation = description[path][method]
    # Of bytes that are no scan, a description can only say that they are bytes.
    left_out = [positive_data_acceptance] if (method, path) == ("POST", "/api/jobs") else []
    right, wrong = (
        operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode
    )
    asked = 0

    @settings(
        max_examples=12, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=right | wrong)
    def ask(case: Any) -> None:
        nonlocal asked
        asked += 1
        headers = {"Authorization": f"Bearer {served.token}"}
        case.call_and_validate(headers=headers, excluded_checks=left_out)

    ask()
    assert asked
