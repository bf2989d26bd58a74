"""Show how far a run is: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from renalis.evaluation.cases import Outcome

__all__ = ["Progress"]

_WIDTH = 24
_LINES = 10


class Progress:
    """Call it after each case with the outcome and the number of cases."""

    def __init__(self, quiet: bool = False) -> None:
        self._stream = sys.stderr
        self._quiet = quiet
        self._terminal = self._stream.isatty()
        self._done = self._reused = self._total = 0
        self._start = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._terminal and self._done and not self._quiet:
            self._stream.write("\n")

    def __call__(self, outcome: Outcome, total: int) -> None:
        """One case more."""
        if total != self._total or self._done >= total:
            self._done, self._reused, self._total = 0, 0, total
            self._start = time.monotonic()
        self._done += 1
        self._reused += outcome.reused
        if self._quiet:
            return
        text = f"{self._done}/{total} cases"
        if self._reused:
            text += f", {self._reused} from an earlier run"
        worked = self._done - self._reused
        left = (time.monotonic() - self._start) / max(worked, 1) * (total - self._done)
        if self._terminal:
            bar = "#" * (_WIDTH * self._done // total)
            self._stream.write(f"\r[{bar:<{_WIDTH}}] {text}, {left:.0f} s left   ")
        elif self._done == total or self._done % max(1, total // _LINES) == 0:
            self._stream.write(f"{text}, {left:.0f} s left\n")
        self._stream.flush()
