"""Signals that say to end a command, and processes that end with the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from renalis.child_processes import done_by_processes
from renalis.errors import InputError
from renalis.signals import Ended, end, ended_by_signals


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_each_signal_has_its_exit_code(name: str, code: int) -> None:
    number = getattr(signal, name)
    # A shell's background jobs are started to ignore some of them.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(Ended) as ended, ended_by_signals(end):
            signal.raise_signal(number)
        assert ended.value.exit_code == code
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_what_was_started_to_ignore_a_signal_ignores_it() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals(end):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


PROGRAM = """
import signal, sys, time
from renalis import signals
def slowly(number):
    print("told", flush=True)
    {after}
with signals.ended_by_signals(slowly):
    print("ready", flush=True)
    for _ in range(200):
        time.sleep(0.05)
"""


def started(after: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(after=after)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_the_same_signal_sent_twice_at_once_counts_once_and_later_ends_the_process() -> None:
    process = started("signals._SAME_S = 0.3")
    assert process.stdout is not None
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "told\n"
    process.send_signal(signal.SIGTERM)  # as `timeout` does
    time.sleep(0.4)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=10)
    assert (process.returncode, out, error) == (143, "", "renalis: ended at once\n")


def waits(file: Path) -> None:
    file.write_text(str(os.getpid()))
    time.sleep(60)


def dies(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_processes_end_with_the_one_that_started_them_however_it_ends(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from test_signals import *;"
        "list(done_by_processes(waits, [Path(sys.argv[1]) / n for n in 'ab'], 2))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parent
    )
    files = [tmp_path / name for name in "ab"]
    _until(lambda: all(file.exists() and file.read_text() for file in files))
    process.kill()
    process.wait()
    for file in files:
        _until(lambda file=file: not _lives(int(file.read_text())))


def _until(true: object) -> None:
    deadline = time.monotonic() + 20
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_process_killed_for_memory_is_a_sentence() -> None:
    with pytest.raises(InputError, match="was killed, probably because memory ran out"):
        list(done_by_processes(dies, [0, 1, 2], 2))
