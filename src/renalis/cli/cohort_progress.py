"""Show how long a cohort goes: a line for each case, and how many are left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TextIO

from renalis.cli.closed_pipes import until_pipe_closes
from renalis.cli.progress import clock
from renalis.cohort.run import CohortListener, Tally

__all__ = ["CohortLines"]


class CohortLines(CohortListener):
    """A line for each case that ends; on a terminal one below that lives.

    Parameters
    ----------
    stream : TextIO
        Where to.
    quiet : bool
        Only what went wrong.
    """

    def __init__(self, stream: TextIO, quiet: bool = False) -> None:
        self._stream, self._quiet = stream, quiet
        self._lives = stream.isatty() and not quiet
        self._start = time.monotonic()
        self._skipped = 0
        self._shown = 0.0
        self._tally: Tally | None = None
        self._notes: dict[str, list[str]] = {}

    def remark(self, text: str) -> None:
        """Something worth knowing about the input."""
        self._print(text)

    def problem(self, text: str) -> None:
        """Something went wrong that is no case's own."""
        with until_pipe_closes(self._stream):
            print(f"{self._clear()}renalis: {text}", file=self._stream)

    def cases(self, total: int) -> None:
        """So many scans are listed."""
        self._print(f"{total} scans")

    def begun(self, case: str) -> None:
        """Work on a case begins; what is noted of it is said when it ends."""
        self._notes[case] = []

    def note(self, case: str, text: str) -> None:
        """Something worth knowing about a case."""
        self._notes.setdefault(case, []).append(text)

    def step(self, case: str, name: str, done: int, total: int) -> None:
        """A step goes on: the time left is reckoned anew, at most once a second."""
        if self._tally is not None and time.monotonic() - self._shown > 1.0:
            self._live(self._tally)

    def ended(self, result: Mapping[str, Any], tally: Tally) -> None:
        """A case has ended."""
        notes = self._notes.pop(str(result["case"]), [])
        again = bool(result.get("again"))
        self._skipped += result["status"] == "skipped"
        words = "to be tried once more alone" if again else _ending(result)
        self._print(f"[{tally.ended}/{tally.total}] {result['case']}: {words}")
        for note in notes:
            self._print(f"  {note}")
        if result["problem"]:
            self.problem(str(result["problem"]))
        self._live(tally)

    def clear(self) -> None:
        """Leave the terminal clean."""
        with until_pipe_closes(self._stream):
            self._stream.write(self._clear())
            self._stream.flush()

    def _live(self, tally: Tally) -> None:
        self._tally, self._shown = tally, time.monotonic()
        left = tally.total - tally.ended
        if not self._lives or not left:
            return
        worked = tally.ended - self._skipped
        seconds = (time.monotonic() - self._start) / worked * left if worked else None
        time_left = "" if seconds is None else f", about {clock(seconds)} left"
        bar = ("━" * round(20 * tally.ended / tally.total)).ljust(20, "╌")
        counts = f"{tally.good} done, {tally.ended - tally.good} failed, {left} to do{time_left}"
        with until_pipe_closes(self._stream):
            self._stream.write(f"\r\033[K{bar} {counts}")
            self._stream.flush()

    def _print(self, text: str) -> None:
        if self._quiet:
            return
        with until_pipe_closes(self._stream):
            print(f"{self._clear()}{text}", file=self._stream)

    def _clear(self) -> str:
        return "\r\033[K" if self._lives else ""


def _ending(result: Mapping[str, Any]) -> str:
    """How a case ended, in a few words."""
    status, row = result["status"], result["row"]
    if status == "skipped":
        return "already there, skipped"
    if status == "failed":
        return f"failed ({result['cause']})"
    if status == "incomplete":
        return f"incomplete ({result['cause']}); what is finished is kept"
    return (
        f"done in {clock(result['elapsed'])}: kidneys {row.get('kidneys', '')}, "
        f"{row.get('kidney_ml', '')} ml; tumors {row.get('tumors', '')}, "
        f"cysts {row.get('cysts', '')}"
    )
