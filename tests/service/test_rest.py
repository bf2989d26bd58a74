"""The REST API: who may ask, what an upload becomes, what jobs say, and which files they give."""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from pathlib import Path

import pytest
from helpers.dicom_writer import body, write_series
from helpers.service_api import Api, api_of

from renalis.service.jobs import JobState, all_jobs, begin_next, end_job
from renalis.service.progress import Step
from renalis.service.store import Store
from renalis.service.tokens import add_token, read_tokens


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A series of DICOM files in a zip."""
    folder = tmp_path_factory.mktemp("series")
    write_series(folder, body(6))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"study/{path.name}")
    return content.getvalue()


def ended(api: Api, job_id: str, state: JobState = JobState.DONE) -> Path:
    """The job with results, as the worker leaves it."""
    begin_next(api.store.database, time.time())
    folder = api.store.result(job_id) / job_id
    folder.mkdir(parents=True)
    (folder / "measurements.json").write_text('{"kidneys": []}')
    (folder / ".hidden.part").write_text("half")
    (api.store.result(job_id) / "measurements.csv").write_text("case\n")
    end_job(api.store.database, job_id, state, "", ("a note",), time.time())
    return folder


def test_health_alone_needs_no_token(api: Api) -> None:
    api.client.headers.pop("Authorization")
    assert api.client.get("/health").json()["status"] == "ok"
    api.service.parts["worker"] = lambda: False
    assert api.client.get("/health").status_code == 503
    for path in ("/metrics", "/api/jobs", f"/api/jobs/{'0' * 16}/events", "/api/fetches"):
        answer = api.client.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert api.client.post("/api/jobs", content=b"x").status_code == 401
    assert api.left() == []


def test_wrong_tokens_are_refused_and_soon_not_even_looked_at(api: Api) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    codes = [api.client.get("/api/jobs", headers=wrong).status_code for _ in range(32)]
    assert codes == [401] * 30 + [429] * 2
    assert api.client.get("/api/jobs").status_code == 429  # from the same address


def test_a_token_that_is_taken_out_of_the_file_counts_no_more(api: Api) -> None:
    assert api.client.get("/api/jobs").status_code == 200
    (api.store.folder / "tokens").write_text("# nobody\n")
    assert api.client.get("/api/jobs").status_code == 401


def test_tokens_are_kept_as_hashes(tmp_path: Path) -> None:
    token = add_token(tmp_path / "t", "lab")
    add_token(tmp_path / "t", "viewer")
    text = (tmp_path / "t").read_text()
    assert token not in text
    assert (tmp_path / "t").stat().st_mode & 0o777 == 0o600
    assert read_tokens(tmp_path / "t").name_of(token) == "lab"
    assert read_tokens(tmp_path / "t").name_of(f"{token} ") is None


def test_too_many_requests_are_refused_for_a_while(store: Store) -> None:
    with api_of(store, requests_per_minute=3) as api:
        codes = [api.client.get("/api/jobs").status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]


def test_an_upload_becomes_a_job_and_the_same_again_is_the_same_job(
    api: Api, zipped: bytes
) -> None:
    answer = api.client.post("/api/jobs", content=zipped)
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert answer.headers["Location"] == f"/api/jobs/{job['id']}"
    assert (job["state"], job["origin"], job["share"]) == ("queued", "upload", 0.0)
    (kept,) = (api.store.job(job["id"]) / "input").iterdir()
    assert kept.read_bytes() == zipped
    again = api.client.post("/api/jobs", content=zipped)
    assert (again.status_code, again.json()["id"]) == (200, job["id"])
    assert [one["id"] for one in api.client.get("/api/jobs").json()["jobs"]] == [job["id"]]
    assert api.client.get("/api/jobs?state=done").json()["jobs"] == []


def test_results_are_listed_given_one_by_one_and_all_together(api: Api, zipped: bytes) -> None:
    job = api.client.post("/api/jobs", content=zipped).json()["id"]
    assert api.client.get(f"/api/jobs/{job}/results.zip").status_code == 409
    folder = ended(api, job)
    (api.store.folder / "secret").write_text("x")
    names = [one["name"] for one in api.client.get(f"/api/jobs/{job}/results").json()["files"]]
    assert names == [f"{job}/measurements.json", "measurements.csv"]
    for name in names:
        answer = api.client.get(f"/api/jobs/{job}/results/{name}")
        assert answer.content == (folder.parent / name).read_bytes()
        assert "attachment" in answer.headers["Content-Disposition"]
    packed = api.client.get(f"/api/jobs/{job}/results.zip")
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert archive.namelist() == names
    for name in ("../../secret", "%2e%2e/%2e%2e/secret", f"{job}/.hidden.part"):
        assert api.client.get(f"/api/jobs/{job}/results/{name}").status_code in (404, 422), name


def test_a_job_is_deleted_with_all_that_is_kept_of_it(api: Api, zipped: bytes) -> None:
    job = api.client.post("/api/jobs", content=zipped).json()["id"]
    begin_next(api.store.database, time.time())
    assert api.client.delete(f"/api/jobs/{job}").status_code == 409
    end_job(api.store.database, job, JobState.FAILED, "no kidney", (), time.time())
    assert api.client.get(f"/api/jobs/{job}").json()["problem"] == "no kidney"
    assert api.client.post(f"/api/jobs/{job}/retry").json()["state"] == "queued"
    assert api.client.post(f"/api/jobs/{job}/retry").status_code == 409
    assert api.client.delete(f"/api/jobs/{job}").status_code == 204
    assert api.client.delete(f"/api/jobs/{job}").status_code == 404
    assert api.left() == []
    assert all_jobs(api.store.database) == []


def test_events_tell_each_change_until_the_job_ends(api: Api, zipped: bytes) -> None:
    job = api.client.post("/api/jobs", content=zipped).json()["id"]
    begin_next(api.store.database, time.time())
    api.service.progress.note(job, Step("looking for kidneys", 0.25))
    threading.Timer(0.7, lambda: ended(api, job)).start()
    told = []
    with api.client.stream("GET", f"/api/jobs/{job}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                told.append(json.loads(line.removeprefix("data: ")))
    assert [(one["state"], one["share"]) for one in told] == [("running", 0.25), ("done", 1.0)]


def test_metrics_count_and_name_nobody(api: Api, zipped: bytes) -> None:
    api.client.post("/api/jobs", content=zipped)
    api.client.post("/api/jobs", content=b"junk")
    text = api.client.get("/metrics").text
    assert 'renalis_jobs{state="queued"} 1' in text
    assert 'renalis_refused_total{door="rest",reason="type"} 1' in text
    assert "Muster" not in text
    assert "1.2.3" not in text


def test_series_of_known_archives_alone_can_be_asked_for(api: Api) -> None:
    wish = {"archive": "hospital", "study_uid": "1.2.3", "series_uid": "1.2.3.4"}
    assert api.client.post("/api/fetches", json=wish).status_code == 202
    (one,) = api.client.get("/api/fetches").json()["fetches"]
    assert (one["state"], one["series_uid"]) == ("waiting", "1.2.3.4")
    assert api.client.post("/api/fetches", json={**wish, "archive": "other"}).status_code == 404
    bad = api.client.post("/api/fetches", json={**wish, "study_uid": "../1"})
    assert bad.status_code == 422
    assert isinstance(bad.json()["detail"], str)
