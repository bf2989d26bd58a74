"""CPU seconds and extra peak memory of one call."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def metered(work: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """Call ``work`` once; CPU seconds (user and system, all threads), peak MB beyond the start."""
    before = _reset_peak()
    start = time.process_time()
    result = work(*arguments)
    seconds = time.process_time() - start
    return {"cpu_s": seconds, "extra_mb": _peak() - before, "result": result}


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
