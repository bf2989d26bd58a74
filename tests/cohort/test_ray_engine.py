"""Ray's part is played by a stand-in: what is tested is what becomes of each case.

With Ray itself, and a node that is lost: benchmarks/cohort_ray.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from renalis.cohort import ray_engine
from renalis.cohort.engine import EngineListener
from renalis.cohort.ray_engine import RayEngine
from renalis.errors import InputError, OutputError, UsageError

VERSION = ray_engine.metadata.version("renalis")


class RayError(Exception):
    """As Ray's own."""


class StandIn:
    """A cluster of two nodes of one core; each call is answered when it is asked for.

    ``script`` says by case and attempt what happens: ``crash``, or ``node`` for its node's end.
    """

    def __init__(self, script: Mapping[tuple[str, int], str], folder: Path) -> None:
        self.script, self.folder = script, folder
        self.alive = {"a": True, "b": True}
        self.exceptions = SimpleNamespace(RayError=RayError)
        self.started, self.killed = 0, 0
        self.opening: dict[str, str] = {"version": VERSION}

    def is_initialized(self) -> bool:
        return True

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": n, "Alive": alive, "Resources": {"CPU": 1.0}}
                for n, alive in self.alive.items()]  # fmt: skip

    def remote(self, kind: type) -> Any:
        def start(options: Mapping[str, Any]) -> Any:
            node = [n for n, alive in self.alive.items() if alive][
                self.started % sum(self.alive.values())
            ]
            self.started += 1
            return SimpleNamespace(
                open=SimpleNamespace(remote=lambda: lambda: {"node": node, **self.opening}),
                do=SimpleNamespace(remote=lambda job: lambda: self._do(node, job)),
            )

        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=start))

    def _do(self, node: str, job: Mapping[str, Any]) -> dict[str, Any]:
        case = job["source"]["case_id"]
        end = self.script.get((case, job["attempt"]))
        if end == "node":
            self.alive[node] = False
        if end in ("node", "crash"):
            raise RayError
        if end != "elsewhere":
            (self.folder / case).mkdir(exist_ok=True)
            (self.folder / case / "provenance.json").write_text("{}")
        return {"case": case, "status": "done", "folder": case, "attempt": job["attempt"]}

    def wait(self, answers: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return answers[:1], answers[1:]

    def get(self, answer: Any) -> Any:
        return answer()

    def kill(self, actor: Any) -> None:
        self.killed += 1


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(script: Mapping[tuple[str, int], str], **opening: str) -> list[dict[str, Any]]:
        cluster = StandIn(script, tmp_path)
        cluster.opening |= opening
        monkeypatch.setattr(ray_engine, "_ray", lambda: cluster)
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
    monkeypatch.setattr(ray_engine.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'renalis\[ray\]'"):
        next(iter(RayEngine({}).run([], EngineListener())))
