"""One case as JSON in and out, and its scan read ahead."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from helpers.small_cohort import write_scan
from helpers.stub import stub_model

from renalis.cohort import ahead as ahead_module
from renalis.cohort.ahead import Ahead, NoRoomError, reading_mb
from renalis.cohort.case_job import run_job
from renalis.cohort.worker_case import Told
from renalis.io import Scan, inventory, read_scan
from renalis.io.source_json import source_to_json
from renalis.pipeline import SegmentOptions
from renalis.pipeline.work import CaseWork
from renalis.prediction.options import Mirror, PredictionOptions, RuntimeName
from renalis.systems.segmenter_kinds import open_segmenter
from renalis.voxel_hash import voxel_hash


def work(max_ram_mb: float | None = None, **more: Any) -> CaseWork:
    prediction = PredictionOptions(
        runtime=RuntimeName.TORCH, mirror=Mirror.NONE, max_ram_mb=max_ram_mb
    )
    options = SegmentOptions(prediction=prediction, report=False, **more)
    return CaseWork(open_segmenter(stub_model(), options), options)


def job(path: Path, out: Path, anonymous: bool = False) -> dict[str, Any]:
    (source,) = inventory([path], anonymous).scans
    return {"source": source_to_json(source), "output": str(out), "attempt": 1}


def test_a_case_says_what_it_was_made_from_and_what_came_out(tmp_path: Path) -> None:
    scan, out = write_scan(tmp_path / "a.nii.gz"), tmp_path / "out"
    out.mkdir()
    own = work()
    first = run_job(own, job(scan, out))
    assert json.loads(json.dumps(first)) == first
    assert (first["status"], first["problem"], first["folder"]) == ("done", "", "a")
    assert first["input"] == {
        "voxels_sha256": voxel_hash(read_scan(scan).volume), "bytes": scan.stat().st_size,
    }  # fmt: skip
    assert first["outputs"] == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (out / "a").iterdir()
    }
    assert first["row"]["case"] == "a"
    again = run_job(own, job(scan, out))
    assert again["status"] == "skipped"
    assert (again["key"], again["outputs"]) == (first["key"], first["outputs"])


def test_anonymous_sentences_hold_no_path(tmp_path: Path) -> None:
    damaged = tmp_path / "Muster_Erika.nii.gz"
    damaged.write_bytes(b"no scan")
    open_, hidden = (
        run_job(work(anonymous=anonymous), job(damaged, tmp_path, anonymous))
        for anonymous in (False, True)
    )
    assert (open_["status"], open_["cause"]) == ("failed", "bad input")
    assert "Muster_Erika" in open_["problem"]
    assert "Erika" not in hidden["problem"]
    assert tmp_path.name not in hidden["problem"]


def _ahead(own: CaseWork, path: Path, out: Path, current: Scan | None) -> tuple[Any, list[str]]:
    told: list[str] = []
    ahead, waiting = Ahead(own, told.append), job(path, out)
    ahead.offer(waiting)
    if current is not None:
        ahead.room(current)
        slot = ahead._slots[0].future
        assert isinstance(slot, Future)
        slot.exception(timeout=60)
    future = ahead.take(waiting)
    assert future is not None
    return future, told


def test_the_next_scan_is_read_when_the_networks_begin(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "a.nii.gz")
    future, told = _ahead(work(), scan, tmp_path, read_scan(scan))
    assert future.result()[1] == voxel_hash(read_scan(scan).volume)
    assert told == ["a"]


@pytest.mark.parametrize(("limit", "reads"), [(600.0, False), (5000.0, True)])
def test_it_is_read_ahead_only_within_the_limit(limit: float, reads: bool, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "a.nii.gz")
    future, told = _ahead(work(limit), scan, tmp_path, read_scan(scan))
    assert isinstance(future.exception(), NoRoomError) == (not reads)
    assert told == (["a"] if reads else [])


def test_what_is_read_ahead_counts_in_the_memory_that_is_announced(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "a.nii.gz")
    voxels = read_scan(scan).volume.array.size
    ahead, said = Ahead(work(), lambda case: None), []
    listener = Told(lambda kind, **more: said.append(more["text"]), "current", ahead)
    ahead.room(read_scan(scan))
    ahead.offer(job(scan, tmp_path))
    first = ahead._slots[0].future
    assert first is not None
    first.result(timeout=60)
    listener.memory(900.0)
    assert said == [
        f"expected peak memory: {900 + 9 * voxels / 1e6:.0f} MB, the next scan counted, which is "
        "read meanwhile"
    ]
    # What was announced stays true: nothing more is begun meanwhile.
    ahead.offer(job(scan, tmp_path))
    second = ahead._slots[1].future
    assert second is not None
    ahead.take(ahead._slots[0].job)
    listener.memory(900.0)
    assert said[1] == "expected peak memory: 900 MB"
    ahead.take(ahead._slots[0].job)
    assert isinstance(second.exception(timeout=60), NoRoomError)


def test_workers_share_the_memory_that_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = write_scan(tmp_path / "a.nii.gz")
    needed = reading_mb(inventory([scan]).scans[0])
    monkeypatch.setattr(ahead_module, "available_mb", lambda: 1000.0 + 1.5 * needed)
    for workers, reads in ((1, True), (2, False)):
        ahead = Ahead(work(), lambda case: None, workers)
        ahead.offer(job(scan, tmp_path))
        ahead.room(read_scan(scan))
        future = ahead._slots[0].future
        assert future is not None
        assert (future.exception(timeout=60) is None) == reads


def test_a_scan_whose_turn_has_come_is_read_in_its_turn(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "a.nii.gz")
    future, told = _ahead(work(), scan, tmp_path, None)
    assert isinstance(future.exception(timeout=60), NoRoomError)
    assert told == []


def test_finished_cases_are_not_read_ahead(tmp_path: Path) -> None:
    scan, own = write_scan(tmp_path / "a.nii.gz"), work()
    run_job(own, job(scan, tmp_path))
    future, _ = _ahead(own, scan, tmp_path, read_scan(scan))
    assert isinstance(future.exception(timeout=60), NoRoomError)


def test_memory_for_reading_is_known_beforehand(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "a.nii.gz")
    (source,) = inventory([scan]).scans
    voxels = read_scan(scan).volume.array.size
    assert 2 * voxels / 1e6 <= reading_mb(source) <= 16 * voxels / 1e6
