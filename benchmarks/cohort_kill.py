"""A cohort that is killed again and again, beside the same cohort left alone.

    python benchmarks/cohort_kill.py [--scans 200] [--kills 10] [--jobs 2] [--report] [--name NAME]

The command is ended by SIGKILL at random moments, by turns with all its processes and alone, and
between that one of its workers is, and started anew each time. At the end every file has to be that
of the undisturbed run, and no case that was finished may have been touched again.

Compared are SHA-256 of all files of all cases and of ``measurements.csv``; of ``provenance.json``
all but ``seconds`` and ``peak_mb``, and of ``report.html`` all but the seconds that the prediction
took: what differs between any two runs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from cohort_scans import many_scans
from machine import machine

HERE = Path(__file__).resolve().parent
EXEMPT = ("seconds", "peak_mb")
"""Fields of ``provenance.json`` that differ between runs."""

REPORTED = re.compile(rb">[^<>]* s \([a-z0-9-]+\)</td>")
"""The cell of ``report.html`` with the seconds of the prediction."""

NOT_COMPARED = {
    "provenance.json": list(EXEMPT),
    "report.html": ["the cell with the seconds of the prediction"],
    "whole files": ["manifest.jsonl", "cohort.html"],
}
"""Times and memory, which differ between any two runs."""

PATIENCE_S = 3600.0


class Process(Protocol):
    """A command that runs, as `subprocess.Popen` has it."""

    pid: int

    def poll(self) -> int | None:
        """How it ended, or None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""


Start = Callable[[Sequence[str], IO[bytes]], Process]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", action="store_true", help="with preview and page")
    parser.add_argument("--model", default="renalis-kidney")
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "cohort")
    parser.add_argument("--name", default="cohort-kill", help="of the file in benchmarks/results")
    arguments = parser.parse_args()
    scans = many_scans(arguments.work, arguments.scans)
    chosen = arguments.work / f"{arguments.name}-scans"
    shutil.rmtree(chosen, ignore_errors=True)
    chosen.mkdir()
    for path in scans:
        (chosen / path.name).hardlink_to(path)
    words = ["--model", arguments.model, "--jobs", str(arguments.jobs), "--mirror", "none"]
    words += [] if arguments.report else ["--no-report"]
    found = killed_cohort(
        chosen, arguments.work / arguments.name, words, arguments.kills, arguments.seed
    )
    found["arguments"] = {"jobs": arguments.jobs, "report": arguments.report}
    found["machine"] = machine()
    path = HERE / "results" / f"{arguments.name}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0 if found["whole_and_alike"] else 1


def killed_cohort(
    scans: Path,
    work: Path,
    words: Sequence[str],
    kills: int,
    seed: int,
    start: Start | None = None,
    pause_s: float = 3.0,
) -> dict[str, Any]:
    """Segment a folder twice, undisturbed and killed, both at the same time; what differs.

    Parameters
    ----------
    scans : Path
        Folder of the cohort.
    work : Path
        Gets ``calm`` and ``killed``; made anew.
    words : sequence of str
        Further options of ``renalis segment``.
    kills : int
        Of the whole command; as many workers are killed between.
    seed : int
        Of the moments.
    start : callable, optional
        Starts ``renalis WORDS``, leader of a process group of its own.
    pause_s : float
        Longest wait before each kill.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    calm, killed = work / "calm", work / "killed"

    def begin(output: Path) -> Process:
        with (work / f"{output.name}.log").open("ab") as log:
            command = ["segment", str(scans), "-o", str(output), *words]
            return (start or _start)(command, log)

    undisturbed = begin(calm)
    total = len(list(scans.iterdir()))
    chance = random.Random(seed)
    moments = sorted(chance.uniform(0, 0.95 * total) for _ in range(kills))
    met: Counter[str] = Counter()
    seen: dict[str, dict[str, tuple[int, int]]] = {}
    touched: set[str] = set()
    for number, moment in enumerate(moments):
        process = begin(killed)
        _until(killed, process, moment)
        time.sleep(chance.uniform(0, pause_s))
        if process.poll() is None and (workers := _children(process.pid)):
            os.kill(chance.choice(workers), signal.SIGKILL)
            met["workers killed"] += 1
            time.sleep(chance.uniform(0, pause_s))
        if process.poll() is None:
            kill = os.killpg if number % 2 else os.kill
            kill(process.pid, signal.SIGKILL)
            met["commands killed with all processes" if number % 2 else "commands killed"] += 1
        process.wait()
        _until_alone(process.pid)
        met["left half-written by kills, and hidden"] += len(list(killed.glob(".*partial*")))
        touched |= _touched(killed, seen)
    if begin(killed).wait(PATIENCE_S):
        raise SystemExit(f"the last run failed; see {work}/*.log")
    touched |= _touched(killed, seen)
    if undisturbed.wait(PATIENCE_S):
        raise SystemExit(f"the undisturbed run failed; see {work}/*.log")
    different = _different(calm, killed)
    statuses = _statuses(killed)
    twice = sorted(case for case, found in statuses.items() if found.count("done") > 1)
    left = [path.name for path in killed.iterdir() if path.name.startswith(".")]
    return {
        "scans": total,
        **met,
        "files": sum(len(list(folder.iterdir())) for folder in killed.iterdir() if folder.is_dir()),
        "different_or_missing": different,
        "done_twice": twice,
        "touched_after_they_were_finished": sorted(touched),
        "finished_but_killed_before_the_manifest_said_so": sum(
            "done" not in found and found[-1] == "skipped" for found in statuses.values()
        ),
        "attempts_lost_with_a_worker": sum(found.count("failed") for found in statuses.values()),
        "left_over": left,
        "not_compared": NOT_COMPARED,
        "whole_and_alike": not (different or twice or touched or left)
        and len(statuses) == total
        and all(found[-1] in ("done", "skipped") for found in statuses.values()),
    }


def _start(words: Sequence[str], log: IO[bytes]) -> Process:
    command = [sys.executable, "-m", "renalis", *words]
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _until(output: Path, process: Process, cases: float) -> None:
    """Wait until so many cases are there."""
    while process.poll() is None and len(list(output.glob("[!.]*/provenance.json"))) < cases:
        time.sleep(0.1)


def _children(process: int) -> list[int]:
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _until_alone(group: int) -> None:
    """Wait until no process of the command is left: all end with the one that started them."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise SystemExit("workers outlive the command that started them")


def _touched(output: Path, seen: dict[str, dict[str, tuple[int, int]]]) -> set[str]:
    """Cases that were finished earlier and are other files now; notes those that are finished."""
    touched = set()
    for folder in output.glob("[!.]*/"):
        known = json.loads((folder / "provenance.json").read_text())
        files = [folder / name for name in ("provenance.json", *known["files"])]
        now = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}
        if folder.name in seen and now != seen[folder.name]:
            touched.add(folder.name)
        if "missing" not in known:
            seen[folder.name] = now
    return touched


def _different(one: Path, other: Path) -> list[str]:
    """Files that only one of two folders has, or that differ."""
    found, wanted = _contents(other), _contents(one)
    return sorted(n for n in {*found, *wanted} if found.get(n) != wanted.get(n))


def _contents(output: Path) -> dict[str, str]:
    """A hash of each file of a result folder."""
    found = {}
    for path in sorted([*output.glob("[!.]*/*"), output / "measurements.csv"]):
        content = path.read_bytes()
        if path.name == "provenance.json":
            known = {k: v for k, v in json.loads(content).items() if k not in EXEMPT}
            content = json.dumps(known).encode()
        if path.name == "report.html":
            content = REPORTED.sub(b"", content)
        found[str(path.relative_to(output))] = hashlib.sha256(content).hexdigest()
    return found


def _statuses(output: Path) -> dict[str, list[str]]:
    """What the manifest says of each case, line by line."""
    found: dict[str, list[str]] = {}
    for line in (output / "manifest.jsonl").read_text().splitlines():
        content = json.loads(line)
        found.setdefault(content["case"], []).append(content["status"])
    return found


if __name__ == "__main__":
    sys.exit(main())
