"""A worker as its parent sees it: messages in a queue, and why it ended."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from renalis.pipeline.failures import Cause, within

__all__ = ["Messages", "WorkerProcess", "ending"]

Messages = queue.Queue[tuple["WorkerProcess", dict[str, Any] | None]]
"""What workers say; None when one has ended."""

COMMAND = (sys.executable, "-P", "-m", "renalis.cohort.worker")
"""-P: nothing is imported from the folder in which the command runs, unless the process that starts
the worker would import it as well."""

_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)')
_LAST_LINES = 60
_PATIENCE_S = 10.0


class WorkerProcess:
    """A started worker.

    Parameters
    ----------
    options : mapping
        From `renalis.cohort.options_json.options_to_json`.
    messages : Messages
        Gets what it says.
    kept : sequence of int
        Open files that it keeps as long as it lives, such as the lock of the output folder.
    command : sequence of str
        What to start, before the number of this process.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        messages: Messages,
        kept: Sequence[int] = (),
        command: Sequence[str] = COMMAND,
    ) -> None:
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._process = subprocess.Popen(
            [*command, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, **_threads(options)},
            pass_fds=kept if os.name == "posix" else (),
        )
        self.number = self._process.pid
        self._errors: deque[bytes] = deque(maxlen=_LAST_LINES)
        self._said = threading.Thread(target=self._listen_to_errors, daemon=True)
        self._said.start()
        threading.Thread(target=self._listen, args=(messages,), daemon=True).start()
        self.send(options)

    def send(self, message: object) -> None:
        """Hand over a job, or None: there are no more. That it is gone will be told by itself."""
        with contextlib.suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def interrupt(self) -> None:
        """Ask it to clear up and end."""
        with contextlib.suppress(OSError):
            self._process.terminate()

    def wait(self, patience_s: float = _PATIENCE_S) -> int:
        """Its exit code; killed when patience ends."""
        end = time.monotonic() + patience_s
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, end - time.monotonic()))
        self.kill()
        code = self._process.wait()
        self._said.join(1.0)
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        return code

    def last_words(self) -> str:
        """Where it was in the program when it crashed; nothing of what it worked on."""
        text = b"".join(self._errors).decode("utf-8", "replace")
        found = []
        for line in text.splitlines():
            frame = _FRAME.fullmatch(line)
            if frame is not None:
                file = within(frame["file"])
                found.append(f'  File "{file}", line {frame["line"]}, in {frame["name"]}')
            elif line.startswith(("Fatal Python error", "Current thread", "Thread ")):
                found.append(line)
        return "\n".join(found)

    def _listen(self, messages: Messages) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stdout:
                with contextlib.suppress(ValueError):  # cut short by its end
                    messages.put((self, json.loads(line)))
        messages.put((self, None))

    def _listen_to_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as errors:
            for line in errors:
                self._errors.append(line[:500])


def _threads(options: Mapping[str, Any]) -> dict[str, str]:
    """Libraries other than the networks' would start as many threads as there are cores."""
    threads = options.get("threads")
    return {} if threads is None else {"OMP_NUM_THREADS": str(threads)}


def ending(code: int) -> tuple[Cause, str]:
    """Why a worker ended, as a class and in the middle of a sentence.

    >>> ending(-9)[0], ending(-11)[1]
    (<Cause.KILLED: 'killed'>, 'the process that worked on it crashed (SIGSEGV)')
    """
    if code >= 0:
        return Cause.CRASH, f"the process that worked on it ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":
        return (
            Cause.KILLED,
            "the process that worked on it was killed (SIGKILL), as the system does when memory "
            "runs out",
        )
    if name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGXCPU"):
        return Cause.KILLED, f"the process that worked on it was ended from outside ({name})"
    return Cause.CRASH, f"the process that worked on it crashed ({name})"
