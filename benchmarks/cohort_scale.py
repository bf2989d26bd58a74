"""Memory of a cohort as it grows, and scans in an hour with one process and with two.

    python benchmarks/cohort_scale.py [--sizes 10 50 200] [--jobs 2] [--throughput 20] [--of OUT]

Memory: the largest of the process that hands out the cases, and of its workers, when so many of
the cases are done; with ``--of``, of the workers of a cohort that is there already. Throughput: the
same scans with ``--jobs 1`` and ``--jobs 2``, one thread each, in wall and in CPU seconds; wall
seconds of a machine that does other things as well say nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cohort_scans import many_scans
from machine import machine

HERE = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 50, 200])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--throughput", type=int, default=20, help="scans for it; 0: leave it out")
    parser.add_argument("--of", type=Path, metavar="OUT", help="read its manifest instead")
    parser.add_argument("--model", default="renalis-kidney")
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "cohort")
    arguments = parser.parse_args()
    scans = many_scans(arguments.work, max(*arguments.sizes, arguments.throughput))
    words = ("--model", arguments.model, "--no-report", "--mirror", "none", "--threads", "1")
    found: dict[str, Any] = {"jobs": arguments.jobs}
    if arguments.of is None:
        found["memory"] = _memory(arguments, scans, words)
    else:
        found["memory"] = _noted(arguments.of, arguments.sizes)
    if arguments.throughput:
        chosen = scans[: arguments.throughput]
        found["throughput"] = [_timed(arguments.work, chosen, words, jobs) for jobs in (1, 2)]
    found["machine"] = machine()
    path = HERE / "results" / "cohort-scale.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0


def _memory(
    arguments: argparse.Namespace, scans: list[Path], words: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Peaks so far, in MB, when each of the sizes is reached."""
    output = arguments.work / "scale"
    process = _start(arguments.work, output, scans, words, arguments.jobs)
    sizes, rows = sorted(arguments.sizes), []
    parent, workers = 0.0, 0.0
    while True:
        over = process.poll() is not None
        parent = max(parent, _peak_mb(process.pid))
        workers = max([workers, *map(_peak_mb, _children(process.pid))])
        done = len(list(output.glob("[!.]*/provenance.json")))
        while sizes and (done > sizes[0] or over):
            size = sizes.pop(0)
            rows.append({"cases": size, "parent_mb": round(parent), "worker_mb": round(workers)})
        if over:
            break
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit("the cohort failed")
    return rows


def _noted(output: Path, sizes: list[int]) -> list[dict[str, Any]]:
    """The workers' peaks as a manifest has them, after so many lines."""
    lines = [json.loads(line) for line in (output / "manifest.jsonl").read_text().splitlines()]
    return [
        {"cases": size, "worker_mb": max(line["peak_mb"] or 0 for line in lines[:size])}
        for size in sorted(sizes)
        if size <= len(lines)
    ]


def _timed(work: Path, scans: list[Path], words: tuple[str, ...], jobs: int) -> dict[str, Any]:
    before, began = _cpu(), time.monotonic()
    if _start(work, work / f"timed-{jobs}", scans, words, jobs).wait():
        raise SystemExit("the cohort failed")
    wall = time.monotonic() - began
    return {
        "jobs": jobs,
        "scans": len(scans),
        "wall_s": round(wall, 1),
        "cpu_s": round(_cpu() - before, 1),
        "scans_per_hour": round(len(scans) / wall * 3600),
    }


def _start(
    work: Path, output: Path, scans: list[Path], words: tuple[str, ...], jobs: int
) -> subprocess.Popen[bytes]:
    shutil.rmtree(output, ignore_errors=True)
    listed = work / f"{output.name}.csv"
    listed.write_text("scan\n" + "".join(f"{path}\n" for path in scans))
    command = [sys.executable, "-m", "renalis", "segment", listed, "-o", output, "--jobs", jobs]
    with (work / f"{output.name}.log").open("wb") as log:
        return subprocess.Popen([*map(str, command), *words], stdout=log, stderr=log)


def _cpu() -> float:
    """CPU seconds of children that have ended, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak_mb(process: int) -> float:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def _children(process: int) -> list[int]:
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split() if int(word) != os.getpid()]


if __name__ == "__main__":
    sys.exit(main())
