"""Programs that tests start, each a process of its own that can be killed.

``start_program("-m", "renalis", "segment", ...)`` is `subprocess.Popen` and ``run_program`` is
`subprocess.run` for ``python WORDS``, without the seconds that imports take: a process that has
done them forks the program (`helpers.program_starter`).
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from helpers.program_starter import SAME_FOR_ALL

__all__ = ["FORKED_FOLDS", "TESTS", "Program", "run_program", "start_program"]

FORKED_FOLDS = """
import multiprocessing
forking = multiprocessing.get_context("fork")
multiprocessing.get_context = lambda _: forking
"""
"""Code that a program begins with whose folds are to be forked from it. A fold's process otherwise
imports everything anew, which a test of `run_folds` itself lets it do."""
TESTS = Path(__file__).resolve().parents[1]
File = IO[bytes] | IO[str] | int | None


class Program:
    """What of `subprocess.Popen` tests use. At the end of a ``with`` it is killed if it still runs,
    and it dies with the process that started it.

    Attributes
    ----------
    pid : int
        Its process.
    returncode : int or None
        How it ended, once that has been waited for; a signal's number is negative.
    stdout, stderr : file of str or None
        What it says, where that was to be a pipe.
    """

    def __init__(self, order: Mapping[str, object], stdout: File, stderr: File) -> None:
        self.returncode: int | None = None
        self.stdout, out = _stream(stdout, 1)
        self.stderr, err = _stream(stderr, 2)
        if stderr == subprocess.STDOUT:
            err = os.dup(out)
        self._reins, theirs = socket.socketpair()
        with theirs, open(os.devnull) as nothing:
            self._reins.sendall(json.dumps(order).encode() + b"\n")
            given = [theirs.fileno(), nothing.fileno(), out, err]
            socket.send_fds(_starter(), [b"+"], given)
        for descriptor in (out, err):
            os.close(descriptor)
        self._said = b""
        self.pid = self._number(None)

    def _number(self, timeout: float | None) -> int:
        """The next number that the starter says."""
        self._reins.settimeout(timeout)
        while b"\n" not in self._said:
            part = self._reins.recv(100)
            if not part:
                raise RuntimeError("the process that starts programs has ended")
            self._said += part
        first, _, self._said = self._said.partition(b"\n")
        return int(first)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; `subprocess.TimeoutExpired` if it does not come in so many seconds."""
        if self.returncode is None:
            try:
                self.returncode = self._number(timeout)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("python", timeout or 0.0) from None
            self._reins.close()
        return self.returncode

    def poll(self) -> int | None:
        """How it ended, or None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self.wait()
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()


def start_program(
    *words: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdout: File = None,
    stderr: File = None,
) -> Program:
    """Start ``python WORDS``, where the words begin with ``-m MODULE`` or ``-c CODE``.

    Parameters
    ----------
    *words : str or path
        The command line.
    cwd, env, stdout, stderr
        As of `subprocess.Popen`; streams are text. Nothing comes from the standard input.
    """
    kind, what, *rest = map(str, words)
    environment = dict(os.environ if env is None else env)
    for name in SAME_FOR_ALL:
        if environment.get(name) != os.environ.get(name):
            raise ValueError(f"{name} is read while Python starts: start this one from nothing")
    order = {
        "kind": kind,
        "what": what,
        "words": rest,
        "folder": str(cwd or Path.cwd()),
        "environment": environment,
    }
    return Program(order, stdout, stderr)


def run_program(
    *words: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``python WORDS`` to its end, with what it said."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with start_program(*words, cwd=cwd, env=env, stdout=out, stderr=err) as program:
            code = program.wait(timeout)
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess([*map(str, words)], code, out.read(), err.read())


def _stream(wanted: File, number: int) -> tuple[IO[str] | None, int]:
    """This side of a stream, where it is a pipe, and a descriptor of the program's side."""
    if wanted == subprocess.PIPE:
        ours, theirs = os.pipe()
        return open(ours, encoding="utf-8"), theirs
    if wanted is None or wanted == subprocess.STDOUT:
        return None, os.dup(number)
    if wanted == subprocess.DEVNULL:
        return None, os.open(os.devnull, os.O_WRONLY)
    return None, os.dup(wanted if isinstance(wanted, int) else wanted.fileno())


@functools.cache
def _starter(imports: bool = True) -> socket.socket:
    """The way to this process's starter, which ends when that closes."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "helpers.program_starter", str(theirs.fileno())]
    command += [] if imports else ["bare"]
    # OpenBLAS starts its threads when it is loaded, and threads do not survive a fork.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with theirs:
        starter = subprocess.Popen(
            command, cwd=TESTS, env=environment, pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    atexit.register(starter.wait)
    atexit.register(ours.close)
    return ours
