"""Whoever sets the machine's clock changes nothing for the service."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from renalis.service.database import open_database
from renalis.service.jobs import JobState, add_job, begin_next, end_job, outdated
from renalis.service.store import open_clock

DAY = 86400.0


@pytest.mark.parametrize("jump", [-400 * DAY, 400 * DAY])
def test_a_clock_that_is_set_deletes_nothing_and_delays_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    database = open_database(tmp_path / "queue.sqlite")
    clock = open_clock(database)
    add_job(database, "one", origin="upload", source="upload", content="a", now=clock.now())
    begin_next(database, clock.now())
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + jump)
    end_job(database, "one", JobState.DONE, "", (), clock.now())
    (row,) = database.rows("SELECT began, ended FROM jobs")
    assert 0 <= row["ended"] - row["began"] < 60
    assert outdated(database, clock.now() - DAY) == []
    assert abs(clock.now() - right()) < 60


def test_after_a_start_it_is_no_earlier_than_what_has_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database(tmp_path / "queue.sqlite")
    before = time.time()
    assert before <= open_clock(database).now() < before + 60
    add_job(database, "one", origin="upload", source="upload", content="a", now=before)
    monkeypatch.setattr(time, "time", lambda: before - 400 * DAY)
    assert before <= open_clock(database).now() < before + 60
