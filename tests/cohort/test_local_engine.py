"""Processes that die take their own case with them and no other; the workers here are scripted."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.scripted_worker import COMMAND

from renalis.cohort.engine import EngineListener
from renalis.cohort.local import LocalEngine
from renalis.errors import RenalisError, UsageError

Outcome = tuple[str, int, str, bool]


def jobs(folder: Path, *cases: str) -> list[dict[str, Any]]:
    return [{"source": {"case_id": case, "path": str(folder / case), "kind": "nifti"},
             "output": str(folder), "attempt": 1} for case in cases]  # fmt: skip


def outcomes(
    folder: Path, *cases: str, workers: int = 1, silence_s: float = 30.0, **options: Any
) -> list[Outcome]:
    options["log"] = str(folder / "log")
    engine = LocalEngine(options, workers, silence_s, command=COMMAND)
    found = engine.run(jobs(folder, *cases), EngineListener())
    return [(r["case"], r["attempt"], r["cause"], bool(r.get("again"))) for r in found]


def begun(folder: Path) -> list[list[str]]:
    """Case, attempt and process, in the order in which work began."""
    return [line.split() for line in (folder / "log").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(("way", "cause"), [("abort", "crash"), ("kill", "killed")])
def test_a_case_whose_worker_dies_is_tried_once_more_when_others_are_done(
    way: str, cause: str, tmp_path: Path
) -> None:
    found = outcomes(tmp_path, "a", "b", "c", ways={"a": [way]})
    assert found == [
        ("a", 1, cause, True), ("b", 1, "", False), ("c", 1, "", False), ("a", 2, "", False),
    ]  # fmt: skip
    assert [case for case, *_ in begun(tmp_path)] == ["a", "b", "c", "a"]


@pytest.mark.slow
def test_a_case_that_kills_its_worker_again_fails_and_says_why(tmp_path: Path) -> None:
    options = {"ways": {"b": ["kill", "abort"]}, "log": str(tmp_path / "log")}
    engine = LocalEngine(options, 2, command=COMMAND)
    results = list(engine.run(jobs(tmp_path, "a", "b", "c", "d"), EngineListener()))
    assert {r["case"] for r in results if r["status"] == "done"} == {"a", "c", "d"}
    last = results[-1]
    assert (last["case"], last["attempt"], last["cause"]) == ("b", 2, "crash")
    assert last["problem"] == (
        "b: the process that worked on it crashed (SIGABRT); it was tried once more alone. This "
        "is a defect, please report it"
    )
    kept = (tmp_path / "b" / "renalis-error.log").read_text()
    assert kept.startswith("Fatal Python error: Aborted")
    assert 'scripted_worker.py", line' in kept
    assert str(Path(COMMAND[-1]).parent) not in kept


def test_a_case_that_shows_no_progress_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    found = outcomes(tmp_path, "a", "b", silence_s=0.5, ways={"a": ["hang"]})
    assert found == [("a", 1, "timed out", True), ("b", 1, "", False), ("a", 2, "", False)]
    assert time.monotonic() - began < 30


def test_a_case_that_was_read_ahead_is_not_blamed_for_a_death(tmp_path: Path) -> None:
    # Its reading may have been the reason, so it is done alone as well, but no attempt is counted.
    found = outcomes(tmp_path, "a", "b", "c", ways={"a": ["ahead:kill"]})
    assert sorted(found) == [
        ("a", 1, "killed", True), ("a", 2, "", False), ("b", 1, "", False), ("c", 1, "", False),
    ]  # fmt: skip


def test_several_workers_share_the_cases_once_the_first_has_opened_its_networks(
    tmp_path: Path,
) -> None:
    names = [f"case_{number}" for number in range(12)]
    found = outcomes(tmp_path, *names, workers=3, seconds=0.1)
    assert sorted(case for case, *_ in found) == sorted(names)
    assert len({process for *_, process in begun(tmp_path)}) == 3


def test_cases_that_are_there_already_need_one_worker(tmp_path: Path) -> None:
    names = [f"case_{number}" for number in range(12)]
    outcomes(tmp_path, *names, workers=3, ways={name: ["skipped"] for name in names})
    assert len({process for *_, process in begun(tmp_path)}) == 1


def test_options_that_do_not_fit_are_the_error_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such model"):
        outcomes(tmp_path, "a", refused="there is no such model")


def test_workers_that_never_begin_are_given_up(tmp_path: Path) -> None:
    with pytest.raises(RenalisError, match=r"end before they begin any case.*SIGKILL"):
        outcomes(tmp_path, "a", at_start="kill")


def test_workers_end_when_nobody_wants_more_results(tmp_path: Path) -> None:
    options = {"log": str(tmp_path / "log"), "seconds": 0.2}
    results = LocalEngine(options, 2, command=COMMAND).run(
        jobs(tmp_path, *"abcdefgh"), EngineListener()
    )
    next(results)
    next(results)
    results.close()  # type: ignore[attr-defined]
    for _, _, process in begun(tmp_path):
        with pytest.raises(ProcessLookupError):
            os.kill(int(process), 0)
    assert len(begun(tmp_path)) < 8
