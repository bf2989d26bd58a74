"""Describe the machine that figures were measured on; nothing that names it or its owner."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16")


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system, and how busy it was."""
    info = _cpuinfo()
    flags = set(info.get("flags", info.get("Features", "")).split())
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": info.get("model name", platform.processor() or platform.machine()),
        "cores": os.cpu_count(),
        "instructions": [name for name in _INSTRUCTIONS if name in flags],
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_at_end": None if load is None else round(load, 1),
    }


def in_words(found: dict[str, Any]) -> str:
    """One line for a page."""
    instructions = ", ".join(found["instructions"]) or "no vector extensions known"
    return (
        f"{found['processor']}, {found['cores']} cores ({instructions}), "
        f"{found['memory_gb']} GB, {found['system']}, Python {found['python']}"
    )


def _cpuinfo() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None
