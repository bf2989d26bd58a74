"""A process that works on cases: JSON lines come in, JSON lines go out.

Started as ``python -m renalis.cohort.worker PARENT`` by `renalis.cohort.worker_process`. It opens
the model once, and ends with whoever started it, however that ends.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import queue
import signal
import sys
import threading
import warnings
from collections.abc import Mapping
from typing import IO, Any

from renalis.child_processes import killed_with_parent
from renalis.errors import PluginWarning, RenalisError
from renalis.signals import end, ended_by_signals

__all__ = ["main"]


class Telling:
    """Writes messages, from any thread, each whole."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def __call__(self, kind: str, **content: object) -> None:
        """Send one message."""
        line = json.dumps({"kind": kind, **content})
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


def main() -> int:
    """Work until the other end has no more, or is gone."""
    killed_with_parent(int(sys.argv[1]))
    # Ctrl-C reaches all processes of a terminal; the parent decides what becomes of this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    tell = Telling(_own_output())
    _say_warnings(tell)
    jobs: queue.Queue[dict[str, Any] | None] = queue.Queue()
    options = json.loads(sys.stdin.readline() or "null")
    if options is None:
        return 1
    with contextlib.suppress(KeyboardInterrupt), ended_by_signals(end):
        return _work(options, jobs, tell)
    return 1


def _own_output() -> IO[str]:
    """Standard output for messages alone: what libraries print goes to standard error."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "w", encoding="utf-8")


def _say_warnings(tell: Telling) -> None:
    """What is said of other packages is for whoever started the command."""
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, PluginWarning):
            tell("remark", text=str(message))
        else:
            others(message, category, *place, **more)

    warnings.showwarning = show


def _work(
    options: Mapping[str, Any], jobs: queue.Queue[dict[str, Any] | None], tell: Telling
) -> int:
    # Late, so that a process whose parent is gone ends before it has loaded anything.
    from renalis.cohort.ahead import Ahead
    from renalis.cohort.case_job import open_work
    from renalis.cohort.worker_case import work_on

    workers = int(options.get("workers", 1))
    try:
        work = open_work({name: value for name, value in options.items() if name != "workers"})
    except RenalisError as error:
        tell("refused", error=type(error).__name__, sentence=str(error))
        return 2
    ahead = Ahead(work, lambda case: tell("ahead", case=case), workers)
    threading.Thread(target=_take_in, args=(jobs, ahead), daemon=True).start()
    tell("ready")
    while (job := jobs.get()) is not None:
        tell("result", result=work_on(work, job, ahead, tell))
    return 0


def _take_in(jobs: queue.Queue[dict[str, Any] | None], ahead: Any) -> None:
    """Read jobs; the end of the pipe means that nobody wants their results any more."""
    for line in sys.stdin:
        message = json.loads(line)
        if message is None:
            jobs.put(None)
            continue
        ahead.offer(message)
        jobs.put(message)
    os._exit(1)


if __name__ == "__main__":
    # What is left, such as a thread that still reads ahead, does not keep the process.
    code = main()
    sys.stderr.flush()
    os._exit(code)
