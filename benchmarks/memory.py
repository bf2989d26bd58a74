"""The memory that ``renalis segment`` says it will need, against what it takes.

    python benchmarks/memory.py --scans PATH ... --output FOLDER [--runtimes NAME ...]

Each scan is segmented in a process of its own, with the report; then the last one three times by
one process that reads the next while it works on one. Results go to
``benchmarks/results/memory.json``; `renalis.prediction.memory` and `renalis.cohort.ahead` were
fitted to them.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from arms import HERE
from machine import machine
from results import commit

RESULTS = HERE / "results" / "memory.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scans", type=Path, nargs="+", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--runtimes", nargs="+", default=["auto"])
    arguments = parser.parse_args()
    about = {
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
    }
    if about["commit"] == "unknown":
        parser.error("figures need a commit: run this in a checkout, not in a copy of its files")
    rows = []
    for runtime in arguments.runtimes:
        for scan in arguments.scans:
            rows.append(row(scan, runtime, arguments.output / runtime / scan.parent.name))
            text = json.dumps({**about, "rows": rows}, indent=1)
            RESULTS.write_text(text + "\n", encoding="utf-8")
    last = arguments.scans[-1]
    ahead = read_ahead(last, arguments.runtimes[-1], arguments.output / "read-ahead")
    text = json.dumps({**about, "rows": rows, "read_ahead": ahead}, indent=1)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    return 0


def read_ahead(scan: Path, runtime: str, output: Path) -> dict[str, Any]:
    """A scan three times, the next one read ahead: what was announced and what was taken, in MB."""
    shutil.rmtree(output, ignore_errors=True)
    (output / "scans").mkdir(parents=True)
    for number in range(3):
        shutil.copy(scan, output / "scans" / f"case_{number}.nii.gz")
    words = [sys.executable, "-m", "renalis", "segment", str(output / "scans")]
    words += ["-o", str(output / "out"), "--runtime", runtime, "--threads", "1"]
    said = subprocess.run(words, check=True, stderr=subprocess.PIPE, text=True).stderr
    lines = (output / "out" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    found = {
        "scan": scan.parent.name,
        "runtime": runtime,
        "expected_peak_mb": max(map(int, re.findall(r"expected peak memory: (\d+) MB", said))),
        "peak_mb": max(json.loads(line)["peak_mb"] for line in lines),
    }
    found["ratio"] = round(found["expected_peak_mb"] / found["peak_mb"], 2)
    print(json.dumps(found), flush=True)
    return found


def row(scan: Path, runtime: str, output: Path) -> dict[str, Any]:
    """One scan: what was expected and what was taken, in MB."""
    words = [sys.executable, "-m", "renalis", "segment", str(scan), "-o", str(output)]
    words += ["--runtime", runtime, "--overwrite", "--threads", "1"]
    subprocess.run(words, check=True, stdout=sys.stderr)
    (path,) = output.glob("*/provenance.json")
    told = json.loads(path.read_text(encoding="utf-8"))
    # The folder's name: files are called ct.nii.gz
    found = {"scan": scan.parent.name, "runtime": told["runtime"]}
    found |= {name: told[name] for name in ("windows", "expected_peak_mb", "peak_mb")}
    found["ratio"] = round(told["expected_peak_mb"] / told["peak_mb"], 2)
    print(json.dumps(found), flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
