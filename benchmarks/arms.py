"""Run programs in turn and measure each from outside: CPU seconds, wall seconds, peak memory.

An arm is a program with its arguments. What it wants to say beside, it prints as one JSON object
on its last line. This module stays small: a program's peak memory, as the kernel counts it, is
never less than that of the process that started it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RENALIS = Path(sys.executable).with_name("renalis")
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
            "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "BLOSC_NTHREADS")  # fmt: skip


class ArmError(Exception):
    """An arm ended with an error; the message holds the end of what it printed."""


@dataclass(frozen=True)
class Arm:
    """One program to measure.

    Attributes
    ----------
    name : str
        As it appears in tables.
    command : tuple
        Program and arguments.
    ours : bool
        Whether it is renalis.
    """

    name: str
    command: tuple[str | Path, ...]
    ours: bool = False


@dataclass
class Measured:
    """What the runs of one arm took.

    Attributes
    ----------
    name, ours
        As in `Arm`.
    runs : list of dict
        ``cpu_s``, ``wall_s``, ``peak_mb`` of each run, and what it said about itself.
    """

    name: str
    ours: bool
    runs: list[dict[str, Any]] = field(default_factory=list)

    def median(self, what: str) -> float | None:
        """Median of a number over the runs that have it."""
        values = [run[what] for run in self.runs if isinstance(run.get(what), int | float)]
        return statistics.median(values) if values else None

    def as_json(self) -> dict[str, Any]:
        """With medians of every number."""
        names = {n for run in self.runs for n, v in run.items() if isinstance(v, int | float)}
        return {**asdict(self), "median": {name: self.median(name) for name in sorted(names)}}


def alternate(arms: Sequence[Arm], rounds: int, threads: int = 1) -> list[Measured]:
    """Run every arm ``rounds`` times, in alternating order: forwards, then backwards."""
    found = [Measured(arm.name, arm.ours) for arm in arms]
    for number in range(rounds):
        order = list(zip(arms, found, strict=True))
        for arm, measured in order if number % 2 == 0 else reversed(order):
            print(f"  round {number + 1} of {rounds}: {arm.name}", file=sys.stderr, flush=True)
            measured.runs.append(run(arm, threads))
    return found


def run(arm: Arm, threads: int = 1) -> dict[str, Any]:
    """Run an arm once, on as many cores as threads.

    Raises
    ------
    ArmError
        If it ends with an error.
    """
    environment = {**os.environ, **dict.fromkeys(_THREADS, str(threads))}
    environment |= {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(HERE)}
    # As installed: modules are compiled once, the rivals' while they are installed.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    words = [str(word) for word in arm.command]
    if arm.command[0] == PEERS and not PEERS.exists():
        raise ArmError("the rivals are not installed; run: make bench-peers")
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complaints:
        began = time.perf_counter()
        with on_cores(threads):
            process = subprocess.Popen(words, stdout=said, stderr=complaints, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        complaints.seek(0)
        text = said.read()
        if process.returncode:
            raise ArmError(f"{arm.name} ended with {process.returncode}:\n"
                           f"{text[-800:]}\n{complaints.read()[-3000:]}")  # fmt: skip
    megabytes = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1024)
    return {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": wall,
        "peak_mb": megabytes,
        **last_object(text),
    }


def last_object(text: str) -> dict[str, Any]:
    """The JSON object on the last line, if there is one."""
    lines = text.strip().splitlines()
    if lines and lines[-1].startswith("{"):
        try:
            found = json.loads(lines[-1])
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}
    return {}


class on_cores:
    """Children started in this block may use the first cores only, where the system allows it."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __enter__(self) -> None:
        self.all: set[int] | None = None
        if hasattr(os, "sched_setaffinity"):
            self.all = os.sched_getaffinity(0)
            os.sched_setaffinity(0, set(sorted(self.all)[: self.count]))

    def __exit__(self, *_: object) -> None:
        if self.all is not None:
            os.sched_setaffinity(0, self.all)
