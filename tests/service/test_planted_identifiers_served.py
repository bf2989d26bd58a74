"""Identifiers planted in uploads are in no log and no metric; answers say them where documented."""

from __future__ import annotations

import io
import logging
import threading
import zipfile
from pathlib import Path

import pytest
from helpers.dicom_writer import body
from helpers.planted import PLANTED, found_in, planted_series
from helpers.service_api import Api
from helpers.stub import stub_model

from renalis.pipeline import SegmentOptions
from renalis.pipeline.work import CaseWork
from renalis.service.logs import plain_log
from renalis.service.worker import Worker
from renalis.systems.coarse_to_fine import open_coarse_to_fine
from renalis.systems.segmenter_options import SegmenterOptions


def zipped(folder: Path, broken: bool) -> bytes:
    """The series as a zip with its folders' and files' names, one of them cut short or not."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number, path in enumerate(sorted(folder.rglob("*.dcm"))):
            whole = path.read_bytes()
            data = whole[:-900] if broken and number == 3 else whole
            archive.writestr(path.relative_to(folder).as_posix(), data)
    return content.getvalue()


def worker(api: Api) -> Worker:
    segmenter = open_coarse_to_fine(stub_model(), SegmenterOptions())
    work = CaseWork(segmenter, SegmentOptions(report=False))
    service = api.service
    return Worker(service.store, work, {}, service.progress, service.counters, threading.Event())


@pytest.mark.parametrize("how", ["broken", "defect", "refused"])
def test_logs_metrics_and_answers(
    api: Api,
    tmp_path: Path,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scans = planted_series(tmp_path, body(12, 48, 64) // 4)

    def fails(*_: object) -> None:
        raise ValueError(f"{PLANTED['name']}^{PLANTED['given name']} of {scans}")

    monkeypatch.setattr("renalis.pipeline.work.CaseWork.segment", fails)
    content = zipped(scans, how == "broken")
    with plain_log():
        logging.getLogger("renalis.service").setLevel(logging.DEBUG)
        if how == "refused":
            answer = api.client.post("/api/jobs", content=content[: len(content) // 2])
            assert answer.status_code == 422
        else:
            answer = api.client.post("/api/jobs", content=content)
            assert answer.status_code == 201, answer.text
            assert worker(api).one()
        job = answer.json().get("id", "")
        told = [
            api.client.get(path).text
            for path in ("/metrics", "/health", f"/api/jobs/{job}/results", "/api/fetches")
        ]
    said = capsys.readouterr()
    assert found_in(said.out + said.err) == {}
    for text in told:
        assert found_in(text) == {}
    listed = api.client.get("/api/jobs").text
    # The sentence about a file names it as the zip does.
    expected = {"broken": {"folder", "name", "id", "file", "given name", "description"}}
    assert set(found_in(listed)) <= expected.get(how, set())
    names = [p.relative_to(api.store.folder).as_posix() for p in api.store.folder.rglob("*")]
    assert found_in("\n".join(names)) == {}
