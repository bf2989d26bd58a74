"""A worker that does no work: for each case, and each attempt on it, it is told what to do.

It speaks as `renalis.cohort.worker` does, and starts at once, since it imports nothing of renalis.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-I", str(Path(__file__)))


def tell(kind: str, **content: object) -> None:
    sys.stdout.write(json.dumps({"kind": kind, **content}) + "\n")
    sys.stdout.flush()


def end(way: str) -> None:
    if way == "abort":
        os.abort()
    if way == "kill":
        os.kill(os.getpid(), 9)
    if way == "hang":
        time.sleep(60)


def main() -> None:
    faulthandler.enable()
    options = json.loads(sys.stdin.readline())
    end(options.get("at_start", ""))
    if "refused" in options:
        tell("refused", error="UsageError", sentence=options["refused"])
        return
    tell("ready")
    for line in sys.stdin:
        job = json.loads(line)
        if job is None:
            return
        work(options, job)


def work(options: dict[str, Any], job: dict[str, Any]) -> None:
    case, attempt = job["source"]["case_id"], job["attempt"]
    with Path(options["log"]).open("a") as log:
        log.write(f"{case} {attempt} {os.getpid()}\n")
    tell("begin", case=case)
    tell("step", case=case, name="networks", done=1, total=1)
    ways = options.get("ways", {}).get(case, [])
    way = ways[attempt - 1] if attempt <= len(ways) else "done"
    if way.startswith("ahead:"):
        json.loads(sys.stdin.readline())
        tell("ahead", case="the next")
        end(way.removeprefix("ahead:"))
    end(way)
    time.sleep(options.get("seconds", 0.0))
    status = way if way in ("done", "skipped", "failed") else "done"
    result = {"case": case, "status": status, "attempt": attempt, "cause": "", "problem": "",
              "key": "k", "outputs": {}, "row": {}, "notes": [], "internal": False,
              "traceback": "", "folder": case, "seconds": {}, "elapsed": 0.0}  # fmt: skip
    tell("result", result=result)


if __name__ == "__main__":
    main()
