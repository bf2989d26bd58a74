"""Signals that say to end: Ctrl-C, and what schedulers, containers and closed terminals send."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

__all__ = ["ENDING", "Ended", "end", "ended_by_signals"]

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that say to end, as far as this system has them."""

_SAME_S = 1.0
"""Within this, further signals repeat the first: ``timeout`` and schedulers send one to the process
and again to its group."""


class Ended(KeyboardInterrupt):
    """A signal ended the work.

    Parameters
    ----------
    number : int
        Of the signal.
    kept : str
        What is kept, and how to go on.
    """

    def __init__(
        self, number: int, kept: str = "what is finished is kept; the same command goes on from it"
    ) -> None:
        self.number, self.kept = number, kept
        super().__init__(f"{self.what}; {kept}")

    @property
    def what(self) -> str:
        """How it came."""
        return "interrupted" if self.number == signal.SIGINT else f"ended by {self.name}"

    @property
    def name(self) -> str:
        """Of the signal."""
        return signal.Signals(self.number).name

    @property
    def exit_code(self) -> int:
        """As shells and schedulers know it: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.number


def end(number: int) -> NoReturn:
    """Raise `Ended`."""
    raise Ended(number)


@contextmanager
def ended_by_signals(*acts: Callable[[int], object]) -> Iterator[None]:
    """While the block runs, signals that say to end call the acts, one after another.

    The first signal calls the first act, a later one the next; one more ends the process at once.
    Files appear whole or not at all, so nothing is lost by that but the work since the last one.
    A signal that this process was started to ignore (``nohup``, jobs in the background) is still
    ignored. Outside the main thread the block runs as if this were not here.

    Parameters
    ----------
    acts : callable
        Take the signal's number; such as `end`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ahead, heard = list(acts), float("-inf")

    def handle(number: int, _: object) -> None:
        nonlocal heard
        before, heard = heard, time.monotonic()
        if heard - before < _SAME_S:
            return
        if ahead:
            ahead.pop(0)(number)
            return
        with suppress(OSError):
            os.write(2, b"renalis: ended at once\n")
        os._exit(128 + number)

    earlier = {number: signal.getsignal(number) for number in ENDING}
    # None: installed by something else than Python, and not to be put back.
    ours = [n for n, one in earlier.items() if one is not signal.SIG_IGN and one is not None]
    for number in ours:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, earlier[number])
