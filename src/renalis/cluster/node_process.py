"""What runs on the nodes of a cluster: a process that opens something once and then does jobs."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

from renalis.errors import RenalisError

__all__ = ["Do", "Lines", "NodeProcess", "Say"]

Say = Callable[[str], None]
Do = Callable[[Mapping[str, Any]], dict[str, Any]]


class Lines:
    """What the processes of all nodes say, kept on the node of the command until it is read."""

    def __init__(self) -> None:
        self._said: list[str] = []

    def say(self, line: str) -> None:
        """Keep a line."""
        self._said.append(line)

    def take(self) -> list[str]:
        """All lines since the last call."""
        said, self._said = self._said, []
        return said


class NodeProcess:
    """A process on a node.

    Parameters
    ----------
    opener : str
        ``module:function``; called with the settings and with what takes lines of progress, it
        returns what does a job, mapping to mapping.
    settings : mapping
        JSON's types.
    lines : object, optional
        Ray's handle of a `Lines`.
    """

    def __init__(self, opener: str, settings: Mapping[str, Any], lines: Any = None) -> None:
        self._opener, self._settings, self._lines = opener, settings, lines
        self._do: Do | None = None

    def open(self) -> dict[str, str]:
        """Get ready for jobs; says where it runs, or why it cannot."""
        module, _, name = self._opener.partition(":")
        try:
            self._do = getattr(importlib.import_module(module), name)(self._settings, self._say)
        except RenalisError as error:
            return {"error": type(error).__name__, "sentence": str(error)}
        context = importlib.import_module("ray").get_runtime_context()
        return {"version": metadata.version("renalis"), "node": context.get_node_id()}

    def do(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Do a job."""
        assert self._do is not None
        return {**self._do(job), "worker": os.getpid()}

    def _say(self, line: str) -> None:
        if self._lines is not None:
            self._lines.say.remote(line)
