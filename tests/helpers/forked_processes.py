"""A program whose further processes of a training are forked from it, without importing all anew.

``python -m helpers.forked_processes MODULE WORDS`` is ``python -m MODULE WORDS``. Fabric otherwise
starts such a process from nothing, which a test of the engine itself lets it do.
"""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from collections.abc import Mapping
from types import SimpleNamespace

from lightning_fabric.strategies.launchers import subprocess_script

MODULE = sys.argv[1]


class Forked:
    """What Fabric uses of `subprocess.Popen`; the fork begins where the program does."""

    def __init__(self, command: object, env: Mapping[str, str], cwd: object) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.environ.clear()
            os.environ.update(env)
            self._begin_again()

    @staticmethod
    def _begin_again() -> None:
        code: object = 0
        try:
            begin()
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 1)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def begin() -> None:
    """Run the module as the program that it is."""
    runpy.run_module(MODULE, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    subprocess_script.subprocess = SimpleNamespace(Popen=Forked)  # type: ignore[attr-defined]
    del sys.argv[1]
    begin()
