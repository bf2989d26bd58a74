"""Ray's part, played in this process: what is called is done when it is called.

With Ray itself, and a node that is lost: benchmarks/cohort_ray.py and benchmarks/training_ray.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

__all__ = ["NodeGone", "RayError", "StandIn", "stand_in"]


class RayError(Exception):
    """As Ray's own."""


class NodeGone(BaseException):
    """Raised in what runs on a node: the node is gone, and nobody there hears of it."""


class StandIn:
    """A cluster of two nodes of one core each.

    Attributes
    ----------
    alive : dict of str to bool
        The nodes.
    started, killed : int
        Processes.
    opening : dict of str to str
        What is changed in that with which a process says that it is ready.
    """

    __spec__ = SimpleNamespace()  # it is found as an installed package is

    def __init__(self) -> None:
        self.alive = {"a": True, "b": True}
        self.exceptions = SimpleNamespace(RayError=RayError)
        self.started, self.killed = 0, 0
        self.opening: dict[str, str] = {}
        self.here = "a"

    def is_initialized(self) -> bool:
        return True

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": n, "Alive": alive, "Resources": {"CPU": 1.0}}
                for n, alive in self.alive.items()]  # fmt: skip

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: self.here)

    def remote(self, kind: type) -> Any:
        def start(*given: Any) -> Any:
            node = [n for n, alive in self.alive.items() if alive][
                self.started % sum(self.alive.values())
            ]
            self.started += 1
            return _Actor(self, node, kind(*given))

        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=start))

    def wait(self, answers: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return answers[:1], answers[1:]

    def get(self, answer: Callable[[], Any], timeout: float = 0) -> Any:
        return answer()

    def kill(self, actor: Any) -> None:
        self.killed += 1

    def call(self, node: str, what: Callable[..., Any], given: tuple[Any, ...]) -> Any:
        before, self.here = self.here, node
        try:
            found = what(*given)
        except NodeGone:
            self.alive[node] = False
            found = RayError("gone")
        except Exception as error:
            found = RayError(str(error))
        finally:
            self.here = before
        if what.__name__ == "open":
            found = {**found, **self.opening}

        def answer() -> Any:
            if isinstance(found, RayError):
                raise found
            return found

        return answer


class _Actor:
    """A process: its methods answer to ``actor.method.remote(...)``."""

    def __init__(self, cluster: StandIn, node: str, what: Any) -> None:
        self._cluster, self._node, self._what = cluster, node, what

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._what, name)
        return SimpleNamespace(remote=lambda *given: self._cluster.call(self._node, method, given))


def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Put a stand-in where Ray would be imported from."""
    cluster = StandIn()
    strategies = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda *_, **__: None)
    for name, module in {
        "ray": cluster,
        "ray.util": SimpleNamespace(scheduling_strategies=strategies),
        "ray.util.scheduling_strategies": strategies,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    return cluster
