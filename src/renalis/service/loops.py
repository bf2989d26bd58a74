"""Threads that do the same again and again until the service ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from renalis.pipeline.failures import traceback_of
from renalis.service.progress import Stopped

__all__ = ["Loop"]

_LOG = logging.getLogger(__name__)


class Loop:
    """A thread that calls a function, waits, and calls it again.

    What the function raises is logged without anything that names a patient, and it is called
    again after the same wait.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], object],
        every_s: float,
        stopping: threading.Event,
    ) -> None:
        self._work, self._every, self._stopping = work, every_s, stopping
        self._name = name
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._work() is True:
                    continue  # there may be more to do at once
            except Stopped:
                return
            except Exception as error:
                _LOG.error("%s met an error\n%s", self._name, traceback_of(error))
            self._stopping.wait(self._every)
