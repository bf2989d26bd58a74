"""Show how long work goes: one living line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from renalis.cli.closed_pipes import until_pipe_closes
from renalis.pipeline import CaseResult, Listener, Status
from renalis.pipeline.steps import STEP_WORDS, share_done

__all__ = ["clock", "progress"]


@contextmanager
def progress(stream: TextIO, quiet: bool = False) -> Iterator[Listener]:
    """A listener for this stream; leaves the terminal clean whatever happens."""
    if quiet:
        yield Listener()
    elif stream.isatty():
        line = LiveLine(stream)
        try:
            yield line
        finally:
            line.clear()
    else:
        yield PlainLines(stream)


class PlainLines(Listener):
    """A line for each case's beginning and end, and for what is worth knowing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._total = 1
        self._began = time.monotonic()

    def remark(self, text: str) -> None:
        """Something worth knowing about the input."""
        self._print(text)

    def cases(self, total: int) -> None:
        """So many scans were found."""
        self._total = total

    def case(self, case_id: str, number: int) -> None:
        """Work on a case begins."""
        self._began = time.monotonic()
        self._print(f"[{number + 1}/{self._total}] {case_id}")

    def note(self, text: str) -> None:
        """Something worth knowing."""
        self._print(f"  {text}")

    def ended(self, result: CaseResult) -> None:
        """A case has ended."""
        self._print(f"  {_ending(result, time.monotonic() - self._began)}")

    def _print(self, text: str) -> None:
        with until_pipe_closes(self._stream):
            print(text, file=self._stream)


class LiveLine(PlainLines):
    """The same, and below it what is being done and how long the rest will take."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._start = time.monotonic()
        self._number = 0
        self._case = ""
        self._done = 0.0

    def case(self, case_id: str, number: int) -> None:
        """Work on a case begins."""
        self._number, self._case, self._done = number, case_id, 0.0
        super().case(case_id, number)

    def step(self, name: str, done: int, total: int) -> None:
        """Show the step, the share of all work that is done, and the time left."""
        self._done = max(self._done, share_done(name, done, total))
        whole = (self._number + self._done) / max(1, self._total)
        passed = time.monotonic() - self._start
        left = f", about {clock(passed * (1 - whole) / whole)} left" if whole > 0.05 else ""
        bar = ("━" * round(20 * whole)).ljust(20, "╌")
        with until_pipe_closes(self._stream):
            self._stream.write(f"\r\033[K{bar} {whole:4.0%} {STEP_WORDS.get(name, name)}{left}")

    def clear(self) -> None:
        """Remove the living line."""
        with until_pipe_closes(self._stream):
            self._stream.write("\r\033[K")

    def _print(self, text: str) -> None:
        self.clear()
        super()._print(text)


def _ending(result: CaseResult, seconds: float) -> str:
    """How a case ended, in a few words."""
    if result.status == Status.SKIPPED:
        return "already there, skipped"
    if result.status == Status.FAILED:
        return "failed"
    if result.status == Status.INCOMPLETE:
        return "incomplete; what is finished is kept"
    row = result.row
    kidneys = row.get("kidneys", "")
    return (
        f"done in {clock(seconds)}: kidneys {kidneys}, {row.get('kidney_ml', '')} ml; "
        f"tumors {row.get('tumors', '')}, cysts {row.get('cysts', '')}"
    )


def clock(seconds: float) -> str:
    """Seconds as people say them.

    >>> clock(8.4), clock(150), clock(7300)
    ('8 s', '2:30 min', '2:01 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
