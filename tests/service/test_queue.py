"""The queue: each content of a series is one job, whatever comes twice, late, or breaks off."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from helpers.dicom_writer import ct_slice
from pydicom.uid import ImplicitVRLittleEndian

from renalis.service.collect import Patience, collect, expire, sweep
from renalis.service.deliveries import (
    DeliveryState,
    add_deliveries,
    deliveries_of,
    due_deliveries,
    failed_again,
    sent,
)
from renalis.service.fetches import FetchState, all_fetches, due_fetches, fetched, seen, want
from renalis.service.incoming import take_image
from renalis.service.jobs import (
    Job,
    JobState,
    add_job,
    all_jobs,
    begin_next,
    end_job,
    find_job,
    give_back,
    outdated,
    retry,
    take_up,
)
from renalis.service.series import SeriesState, close_series, interrupt_open
from renalis.service.store import Refused, Store, check_room, open_store

PATIENCE = Patience(quiet_s=10, broken_s=100)
NEVER = 10.0**10
"""A moment long after all others."""


def image(number: int, series: str = "1.2.3.5", value: int = 0, **tags: object) -> bytes:
    """A DICOM file of a series; numbers make different instances."""
    data = ct_slice(np.full((4, 4), value), (0, 0, number), SeriesInstanceUID=series, **tags)
    uid = f"1.2.3.{number + 1}"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid
    written = io.BytesIO()
    pydicom.dcmwrite(written, data, enforce_file_format=True)
    return written.getvalue()


def brought(store: Store, *images: bytes, state: SeriesState = SeriesState.CLOSED) -> str:
    """The key of a series that one association brought."""
    key = ""
    for content in images:
        key = take_image(store, content, "dimse")
    close_series(store.database, key, state, 1000.0)
    return key


def only(store: Store) -> Job:
    (job,) = all_jobs(store.database)
    return job


def done(store: Store, job: Job) -> None:
    assert end_job(store.database, job.id, JobState.DONE, "", (), 2000.0)


def test_a_series_becomes_a_job_once_it_was_quiet(store: Store) -> None:
    key = brought(store, image(0), image(1))
    assert collect(store, PATIENCE, 1009.0) == []
    (made,) = collect(store, PATIENCE, 1010.0)
    assert collect(store, PATIENCE, NEVER) == []
    job = only(store)
    assert (job.id, job.source, job.state, job.version) == (made, key, JobState.QUEUED, 1)
    assert len(list((store.job(made) / "input" / made).iterdir())) == 2


def test_no_series_is_whole_while_it_comes_in(store: Store) -> None:
    take_image(store, image(0), "dimse")
    assert collect(store, PATIENCE, NEVER) == []


def test_the_same_images_again_are_the_same_job(store: Store) -> None:
    brought(store, image(0), image(1))
    collect(store, PATIENCE, NEVER)
    brought(store, image(1), image(0))
    assert collect(store, PATIENCE, NEVER) == []
    assert only(store).version == 1


def otherwise_written(content: bytes) -> bytes:
    """The same image as another program writes it: implicit VRs, other file meta."""
    data = pydicom.dcmread(io.BytesIO(content))
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data.file_meta.ImplementationVersionName = "OTHER"
    written = io.BytesIO()
    pydicom.dcmwrite(written, data, implicit_vr=True, little_endian=True)
    return written.getvalue()


def test_the_same_images_by_another_door_are_the_same_job(store: Store) -> None:
    part = pydicom.Dataset()
    part.ReferencedSOPInstanceUID = "1.2.3"
    images = [image(number, ReferencedImageSequence=[part]) for number in range(2)]
    brought(store, *images)
    collect(store, PATIENCE, NEVER)
    again = [otherwise_written(content) for content in images]
    assert all(a != b for a, b in zip(again, images, strict=True))
    brought(store, *again)
    assert collect(store, PATIENCE, NEVER) == []
    part.ReferencedSOPInstanceUID = "1.2.4"
    brought(store, image(0, ReferencedImageSequence=[part]))
    assert len(collect(store, PATIENCE, NEVER)) == 1


@pytest.mark.parametrize("late", [image(2), image(1, value=7)], ids=["another", "changed"])
def test_a_late_image_makes_a_new_version_and_never_changes_the_old_one(
    store: Store, late: bytes
) -> None:
    brought(store, image(0), image(1))
    (first,) = collect(store, PATIENCE, NEVER)
    job = begin_next(store.database, 1.0)
    assert job is not None
    before = {p.name: p.read_bytes() for p in (store.job(first) / "input" / first).iterdir()}
    done(store, job)
    brought(store, late)
    (second,) = collect(store, PATIENCE, NEVER)
    newer, older = find_job(store.database, second), find_job(store.database, first)
    assert newer is not None
    assert older is not None
    assert (newer.version, newer.state) == (2, JobState.QUEUED)
    assert (older.state, older.superseded_by) == (JobState.DONE, second)
    after = {p.name: p.read_bytes() for p in (store.job(first) / "input" / first).iterdir()}
    assert after == before


def test_a_job_that_waits_is_superseded_and_never_begins(store: Store) -> None:
    brought(store, image(0))
    (first,) = collect(store, PATIENCE, NEVER)
    brought(store, image(1))
    (second,) = collect(store, PATIENCE, NEVER)
    job = begin_next(store.database, 1.0)
    assert job is not None
    assert job.id == second
    assert begin_next(store.database, 1.0) is None
    old = find_job(store.database, first)
    assert old is not None
    assert old.state == JobState.SUPERSEDED


def test_a_job_that_is_superseded_while_it_runs_ends_as_such(store: Store) -> None:
    brought(store, image(0))
    collect(store, PATIENCE, NEVER)
    running = begin_next(store.database, 1.0)
    assert running is not None
    brought(store, image(1))
    collect(store, PATIENCE, NEVER)
    done(store, running)
    ended = find_job(store.database, running.id)
    assert ended is not None
    assert ended.state == JobState.SUPERSEDED


def test_what_broke_off_is_dropped_unless_it_comes_again(store: Store) -> None:
    key = brought(store, image(0), state=SeriesState.BROKEN)
    assert collect(store, PATIENCE, 1099.0) == []
    assert store.series(key).is_dir()
    collect(store, PATIENCE, 1100.0)
    assert not store.series(key).exists()
    assert all_jobs(store.database) == []
    brought(store, image(0), state=SeriesState.BROKEN)
    brought(store, image(0), image(1))
    assert len(collect(store, PATIENCE, 1010.0)) == 1


def test_what_came_in_when_the_program_ended_is_not_lost(store: Store) -> None:
    take_image(store, image(0), "dimse")
    interrupt_open(store.database, 1000.0)
    assert collect(store, PATIENCE, 1099.0) == []
    assert len(collect(store, PATIENCE, 1100.0)) == 1
    assert "check that it is whole" in only(store).notes[0]


def test_after_an_end_by_force_running_jobs_wait_again_behind_the_others(store: Store) -> None:
    for number in range(2):
        brought(store, image(0, f"1.2.{number + 1}"))
    collect(store, PATIENCE, NEVER)
    first = begin_next(store.database, 1.0)
    assert first is not None
    assert take_up(store.database, 10, 2.0) == ([first.id], [])
    other = begin_next(store.database, 3.0)
    assert other is not None
    assert other.id != first.id
    done(store, other)
    again = begin_next(store.database, 4.0)
    assert again is not None
    assert (again.id, again.attempts) == (first.id, 2)
    assert take_up(store.database, 2, 5.0) == ([], [first.id])
    lost = find_job(store.database, first.id)
    assert lost is not None
    assert lost.state == JobState.FAILED
    assert "ended 2 times" in lost.problem


def test_a_stop_in_good_order_does_not_count_as_an_attempt(store: Store) -> None:
    brought(store, image(0))
    collect(store, PATIENCE, NEVER)
    job = begin_next(store.database, 1.0)
    assert job is not None
    give_back(store.database, job.id)
    assert only(store) == replace(job, state=JobState.QUEUED, began=None, attempts=0)


def test_a_job_ends_once(store: Store) -> None:
    brought(store, image(0))
    collect(store, PATIENCE, NEVER)
    job = begin_next(store.database, 1.0)
    assert job is not None
    done(store, job)
    assert not end_job(store.database, job.id, JobState.FAILED, "late", (), 3.0)
    assert not retry(store.database, job.id)
    assert only(store).state == JobState.DONE


def test_what_a_killed_process_left_behind_is_removed_at_the_start(store: Store) -> None:
    key = brought(store, image(0))
    (made,) = collect(store, PATIENCE, NEVER)
    (store.series(key) / ".image.dcm.1234.part").write_bytes(b"1")
    (store.job("0" * 16) / "input").mkdir(parents=True)
    store.series("f" * 32).mkdir()
    (store.arriving / "half").write_bytes(b"1")
    store.database.close()
    again = open_store(store.folder, store.limits)
    sweep(again)
    assert [p.name for p in (store.folder / "jobs").iterdir()] == [made]
    assert len(list((store.folder / "series").rglob("*"))) == 2
    assert list(again.arriving.iterdir()) == []
    again.database.close()


def test_a_series_whose_files_are_gone_is_not_looked_at_all_the_time(store: Store) -> None:
    key = brought(store, image(0))
    shutil.rmtree(store.series(key))
    assert collect(store, PATIENCE, 5000.0) == []
    assert list((store.folder / "jobs").iterdir()) == []
    take_image(store, image(0), "dimse")
    close_series(store.database, key, SeriesState.CLOSED, 5001.0)
    assert len(collect(store, PATIENCE, 6000.0)) == 1


def test_jobs_are_kept_for_some_days_with_all_that_came_of_them(store: Store) -> None:
    key = brought(store, image(0))
    (made,) = collect(store, PATIENCE, NEVER)
    job = begin_next(store.database, 1.0)
    assert job is not None
    done(store, job)
    week = store.limits.keep_days * 86400
    assert expire(store, 2000.0 + week) == []
    add_deliveries(store.database, made, ["a/b.dcm"], ["there"], 2000.0)
    assert outdated(store.database, NEVER) == []  # it waits to be sent
    sent(store.database, deliveries_of(store.database, made)[0])
    assert expire(store, 2001.0 + week) == [made]
    assert not store.job(made).exists()
    assert not store.series(key).exists()
    assert store.database.rows("SELECT * FROM series") == []
    assert deliveries_of(store.database, made) == []


def test_images_that_are_too_large_or_too_many_are_refused(store: Store) -> None:
    for number in range(40):
        take_image(store, image(number), "dimse")
    with pytest.raises(Refused, match=r"limits\.images"):
        take_image(store, image(40), "dimse")
    with pytest.raises(Refused, match="larger than"):
        take_image(store, b"\0" * 1_000_001, "dimse")
    with pytest.raises(Refused, match="damaged or no DICOM"):
        take_image(store, b"not DICOM at all", "dimse")
    with pytest.raises(Refused, match="names no study"):
        take_image(store, image(41, StudyInstanceUID="../../up"), "dimse")


def test_nothing_new_is_taken_while_too_much_waits_or_the_disk_is_full(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(store.limits.waiting):
        add_job(store.database, str(number), origin="upload", source="upload",
                content=str(number), now=0.0)  # fmt: skip
    with pytest.raises(Refused, match="too many scans wait") as refused:
        take_image(store, image(0), "dimse")
    assert refused.value.for_now
    store.database.close()
    shutil.rmtree(store.folder)
    fresh = open_store(store.folder, store.limits.model_copy(update={"free_gb": 1e9}))
    with pytest.raises(Refused, match="too little space"):
        check_room(fresh)
    fresh.database.close()


def test_deliveries_are_tried_ever_less_often_and_given_up_at_last(store: Store) -> None:
    add_job(store.database, "a", origin="dimse", source="s", content="c", now=0.0)
    add_deliveries(store.database, "a", ["x/s.dcm"], ["there"], 0.0)
    add_deliveries(store.database, "a", ["x/s.dcm"], ["there"], 0.0)
    waits = []
    now = 0.0
    while due := due_deliveries(store.database, now):
        (one,) = due
        failed_again(store.database, one, "no answer", 4, now)
        (one,) = deliveries_of(store.database, "a")
        waits.append(one.due - now)
        now = one.due
    assert waits == [10, 20, 40, 80]
    assert one.state == DeliveryState.FAILED
    assert one.problem == "no answer"


def test_a_series_of_an_archive_is_fetched_when_two_looks_see_as_many_images(
    store: Store,
) -> None:
    def look(images: str, now: float) -> list[FetchState]:
        seen(store.database, "hospital", "1.2", "1.2.3", images, now)
        return [one.state for one in all_fetches(store.database, 9)]

    assert look("10", 0.0) == [FetchState.NOTICED]
    assert look("20", 1.0) == [FetchState.NOTICED]
    assert look("20", 2.0) == [FetchState.WAITING]
    (one,) = due_fetches(store.database, "hospital", 2.0)
    fetched(store.database, one)
    assert look("20", 3.0) == [FetchState.DONE]
    assert look("21", 4.0) == [FetchState.NOTICED]
    assert look("21", 5.0) == [FetchState.WAITING]
    want(store.database, "hospital", "1.2", "1.2.4", 6.0)
    assert len(due_fetches(store.database, "hospital", 6.0)) == 2


def test_the_folder_is_for_its_owner_alone(store: Store) -> None:
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert (store.folder / "queue.sqlite").stat().st_mode & 0o077 == 0


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.database.transaction():
            want(store.database, "hospital", "1.2", "1.3", 0.0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert all_fetches(store.database, 9) == []
