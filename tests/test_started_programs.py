"""Programs that tests start by forking behave as those that Python starts from nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.programs import TESTS, run_program, start_program

SELF = """
import json, os, sys, threading
print(json.dumps({
    "argv": sys.argv, "folder": os.getcwd(), "first": sys.path[0], "name": __name__,
    "variable": os.environ.get("VARIABLE"), "pythonpath": "/there" in sys.path,
    "main": sys.modules["__main__"].__dict__ is globals(), "spec": getattr(__spec__, "name", None),
    "open": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],
    "interrupts": __import__("signal").getsignal(2).__name__, "said": sys.stdin.read(),
}))
"""


LATE = """
import sys, threading, time
def late():
    time.sleep(0.1)
    sys.stderr.write("late")
threading.Thread(target=late).start()
"""


@pytest.mark.parametrize("words", [["-c", SELF], ["-m", "own_program"]], ids=["code", "module"])
def test_a_program_sees_what_it_would_see_from_nothing(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "own_program.py").write_text(SELF)
    environment = {
        **os.environ,
        "VARIABLE": "ä",
        "PYTHONPATH": f"/there:{os.pathsep.join(sys.path)}",
    }
    words = [*words, "--one", "two three"]
    done = run_program(*words, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    real = subprocess.run([sys.executable, *words], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)  # fmt: skip
    assert json.loads(done.stdout) == json.loads(real.stdout)
    assert os.environ.get("VARIABLE") is None


@pytest.mark.parametrize(
    ("code", "ends", "says"),
    [
        ("", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('why')", 1, "why\n"),
        ("import sys; sys.stdout = open('/dev/full', 'w'); print()", 120, ""),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("import os; os._exit(7)", 7, ""),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
        ("import atexit, sys; atexit.register(print, 'last', file=sys.stderr)", 0, "last\n"),
        (LATE, 0, "late"),
    ],
    ids=["end", "code", "sentence", "full", "error", "at once", "killed", "atexit", "thread"],
)
def test_it_ends_as_programs_end(code: str, ends: int, says: str) -> None:
    done = run_program("-c", code)
    assert done.returncode == ends
    assert done.stdout == ""
    assert done.stderr.endswith(says)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_signals_reach_it(number: signal.Signals) -> None:
    code = "import time; print('here', flush=True); time.sleep(60)"
    with start_program("-c", code, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        assert program.stdout.readline() == "here\n"
        assert program.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(0.01)
        program.send_signal(number)
        assert program.wait(30) == program.returncode == -number
        assert ("KeyboardInterrupt" in program.stderr.read()) == (number == signal.SIGINT)


def test_two_at_once_and_one_that_is_left_is_killed() -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with start_program("-c", code, stdout=subprocess.PIPE) as left:
        assert left.stdout is not None
        assert int(left.stdout.readline()) == left.pid
        with start_program("-c", "pass") as other:
            assert other.wait(30) == 0
        assert left.poll() is None
    assert left.returncode == -signal.SIGKILL


def test_it_dies_with_the_test_that_started_it(tmp_path: Path) -> None:
    """The process that started it is killed, and so can let go of nothing."""
    code = (
        "import functools, time; from helpers import programs\n"
        "programs._starter = functools.partial(programs._starter, False)  # quick\n"
        "one = programs.start_program('-c', 'import time; time.sleep(60)')\n"
        "print(one.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=TESTS, stdout=subprocess.PIPE,
                          text=True) as starter:  # fmt: skip
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        starter.kill()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_has_computed_nothing_and_can_start_processes_of_its_own() -> None:
    code = (
        "import multiprocessing, os, threading\n"
        "print(len(os.listdir('/proc/self/task')), threading.active_count())\n"
        "with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "    print(pool.apply(len, ['four']))\n"
        "import subprocess, sys, torch\n"
        "print(subprocess.run([sys.executable, '-c', 'pass']).returncode)\n"
        "torch.set_num_threads(2); print(int(torch.ones(10**6).sum()))"
    )
    done = run_program("-c", code)
    assert done.stdout.splitlines() == ["1 1", "4", "0", "1000000"], done.stderr


def test_what_is_read_while_python_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="OMP_NUM_THREADS is read while Python starts"):
        start_program("-c", "", env={**os.environ, "OMP_NUM_THREADS": "7"})
