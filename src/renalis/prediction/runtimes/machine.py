"""What this machine is: processor, cores, memory, and where programs may keep files."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

__all__ = ["available_mb", "cache_folder", "cores", "peak_mb", "processor", "total_mb"]


def cache_folder() -> Path:
    """The folder for things that can be made again (XDG base directory specification)."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "renalis"


def processor() -> str:
    """Name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def total_mb() -> float | None:
    """Memory of the machine, or of the container where that is less, in MB."""
    sizes = [_meminfo("MemTotal")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            sizes.append(int(Path(path).read_text(encoding="utf-8")) / 1e6)
        except (OSError, ValueError):
            continue
    known = [size for size in sizes if size is not None]
    return min(known) if known else None


def available_mb() -> float | None:
    """Memory that is free or can be freed, in MB; None where the system does not say."""
    return _meminfo("MemAvailable")


def peak_mb() -> float | None:
    """Largest memory of this process so far, in MB; None where the system does not say."""
    # Linux's getrusage knows what the process was that started this one, a notebook's for example.
    own = _kilobytes("/proc/self/status", "VmHWM")
    if own is not None:
        return own / 1e3
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def _meminfo(name: str) -> float | None:
    """One line of Linux's /proc/meminfo in MB."""
    found = _kilobytes("/proc/meminfo", name)
    return None if found is None else found * 1024 / 1e6


def _kilobytes(file: str, name: str) -> int | None:
    """One line of a file of Linux's that counts in kB."""
    try:
        for line in Path(file).read_text(encoding="utf-8").splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return None
