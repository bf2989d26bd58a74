"""Ray's part is played by a stand-in: what is tested is what becomes of each case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from helpers.ray_stand_in import NodeGone, stand_in

from renalis.cluster import connection
from renalis.cohort import ray_engine
from renalis.cohort.engine import EngineListener
from renalis.cohort.ray_engine import RayEngine
from renalis.errors import InputError, OutputError, UsageError


def scripted(script: Mapping[tuple[str, int], str], folder: Path) -> Callable[..., Any]:
    """In place of a model. ``script`` says by case and attempt what happens: ``crash``, ``node``
    for the node's end, or ``elsewhere`` for results that nobody else sees."""

    def do(job: Mapping[str, Any]) -> dict[str, Any]:
        case = job["source"]["case_id"]
        end = script.get((case, job["attempt"]))
        if end == "node":
            raise NodeGone
        if end == "crash":
            raise RuntimeError
        if end != "elsewhere":
            (folder / case).mkdir(exist_ok=True)
            (folder / case / "provenance.json").write_text("{}")
        return {"case": case, "status": "done", "folder": case, "attempt": job["attempt"]}

    return lambda options, say: do


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(script: Mapping[tuple[str, int], str], **opening: str) -> list[dict[str, Any]]:
        cluster = stand_in(monkeypatch)
        cluster.opening = opening
        monkeypatch.setattr(ray_engine, "open_cases", scripted(script, tmp_path))
        engine = RayEngine({"model": "m", "members": [], "threads": None})
        jobs = (
            {"source": {"case_id": f"c{n}", "path": "p", "kind": "nifti"},
             "output": str(tmp_path), "attempt": 1}
            for n in range(4)
        )  # fmt: skip
        found = list(engine.run(jobs, EngineListener()))
        assert cluster.killed, "workers outlive the cohort"
        return found

    return run


def ends(found: list[dict[str, Any]]) -> dict[str, list[str]]:
    kept: dict[str, list[str]] = {}
    for one in found:
        word = "again" if one.get("again") else one["status"]
        kept.setdefault(one["case"], []).append(word)
    return kept


def test_all_cases_are_done_once(go: Any) -> None:
    assert ends(go({})) == {f"c{n}": ["done"] for n in range(4)}


def test_a_case_on_a_lost_node_is_done_elsewhere(go: Any) -> None:
    found = go({("c1", 1): "node"})
    assert ends(found)["c1"] == ["again", "done"]
    lost = next(one for one in found if one.get("again"))
    assert "the node that worked on it was lost" in lost["problem"]
    assert [one["attempt"] for one in found if one["case"] == "c1"] == [1, 2]


def test_a_case_that_crashes_twice_is_named_and_left(go: Any) -> None:
    found = ends(go({("c2", 1): "crash", ("c2", 2): "crash"}))
    assert found.pop("c2") == ["again", "failed"]
    assert found == {f"c{n}": ["done"] for n in (0, 1, 3)}


def test_results_on_a_drive_of_the_node_alone_are_told(go: Any) -> None:
    with pytest.raises(OutputError, match="all nodes share"):
        go({("c0", 1): "elsewhere"})


def test_another_version_on_a_node_is_refused(go: Any) -> None:
    with pytest.raises(UsageError, match=r"has renalis 0\.0\.0"):
        go({}, version="0.0.0")


def test_what_the_model_says_wrong_is_said_here(go: Any) -> None:
    with pytest.raises(InputError, match="no such model"):
        go({}, error="InputError", sentence="no such model")


def test_without_ray_one_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'renalis\[ray\]'"):
        next(iter(RayEngine({"model": "m", "members": []}).run([], EngineListener())))
