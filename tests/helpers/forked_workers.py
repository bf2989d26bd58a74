"""Workers of a cohort that are forked from the command, without importing all anew.

A worker is otherwise started from nothing, which the tests of a cohort itself let it do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from renalis.cohort import worker, worker_process
from renalis.signals import ENDING

__all__ = ["fork_workers"]


class Forked(subprocess.Popen[bytes]):
    """A worker: the fork takes up the work where a program would."""

    def _execute_child(
        self, args: Any, executable: Any, preexec: Any, close: Any, kept: Any, cwd: Any, env: Any,
        info: Any, flags: Any, shell: Any, *pipes_and_more: Any,
    ) -> None:  # fmt: skip
        pipes = pipes_and_more[:6]
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _work(args[-1], env, pipes[::3] + pipes[5:], kept)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def _work(parent: str, env: dict[str, str], streams: tuple[int, ...], kept: tuple[int, ...]) -> Any:
    """What the fork does, to its end; of open files it has its own and ``kept`` alone."""
    code = 1
    try:
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        for descriptor in map(int, os.listdir("/proc/self/fd")):
            if descriptor > 2 and descriptor not in kept:
                with suppress(OSError):  # that of the list itself
                    os.close(descriptor)
        for number in ENDING:
            signal.signal(number, signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(env)
        sys.argv = ["worker", parent]
        code = worker.main()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def fork_workers() -> None:
    """From now on this program forks its workers."""
    own = SimpleNamespace(**{**vars(subprocess), "Popen": Forked})
    worker_process.subprocess = own  # type: ignore[assignment]
