"""CPU seconds, wall seconds and extra peak memory of one call; standard library alone.

Renalis and its rivals are measured by the same code, each in an environment of its own.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def metered(work: Callable[..., Any], *arguments: Any, **named: Any) -> dict[str, Any]:
    """Call ``work`` once.

    Returns
    -------
    dict
        ``cpu_s`` (user and system, all threads), ``wall_s``, ``extra_mb`` (peak beyond what was
        there before) and ``result``.
    """
    before = _reset_peak()
    start, clock = time.process_time(), time.perf_counter()
    result = work(*arguments, **named)
    cpu, wall = time.process_time() - start, time.perf_counter() - clock
    return {"cpu_s": cpu, "wall_s": wall, "extra_mb": _peak() - before, "result": result}


def repeated(work: Callable[[], Any], runs: int) -> dict[str, float]:
    """Medians of ``runs`` calls after one that is not counted; the last result is dropped."""
    work()
    found = [metered(work) for _ in range(runs)]
    return {
        name: sorted(one[name] for one in found)[runs // 2]
        for name in ("cpu_s", "wall_s", "extra_mb")
    }


def per_cpu_second(work: Callable[[int], Any], numbers: Sequence[int]) -> float:
    """Calls of ``work`` with each number, per CPU second; a first one with 0 is not counted."""
    work(0)
    clock = time.process_time()
    for number in numbers:
        work(int(number))
    return len(numbers) / (time.process_time() - clock)


def _reset_peak() -> float:
    """Forget the peak so far where Linux allows it; resident MB now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _peak()
    return _status("VmRSS")


def _peak() -> float:
    """Peak resident MB."""
    try:
        return _status("VmHWM")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _status(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return float(line.split()[1]) / 1024
    raise OSError(name)
