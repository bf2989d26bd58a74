"""When nobody reads what is printed: the work goes on, and its exit code tells how it ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

__all__ = ["discard_output", "ensure_streams", "until_pipe_closes"]


def discard_output(stream: TextIO) -> None:
    """Send all that is still printed to a stream nowhere, what it has buffered included."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@contextmanager
def until_pipe_closes(stream: TextIO) -> Iterator[None]:
    """Print; if the reader has gone (``| head``), print nothing more."""
    try:
        yield
        stream.flush()
    except BrokenPipeError:
        discard_output(stream)


def ensure_streams() -> None:
    """Give a process that was started without stdout or stderr streams that lead nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
