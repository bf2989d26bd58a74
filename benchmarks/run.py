"""Run the benchmarks beside the rivals and write ``docs/benchmarks.md``: what `make bench` does.

    python benchmarks/run.py [--only ROOM…] [--rounds 3] [--model NAME|FILE] [--data DATA]

Each room is a program of its own and can be run alone. Figures are kept in
``benchmarks/results/<room>.json``; `python benchmarks/compare.py OLD NEW` compares two of them, or
two folders of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from arms import HERE, PEERS
from page import write_page

ROOMS: dict[str, tuple[str, ...]] = {
    "startup": ("startup.py",),
    "reading": ("reading.py",),
    "preparation": ("preparation.py",),
    "sampling": ("sampling.py",),
    "prediction": ("prediction.py", "--scan", "synthetic"),
    "prediction-real": ("prediction.py", "--scan", "real"),
    "scaling": ("scaling.py",),
    "evaluation": ("evaluation.py",),
}
_WITH_DATA = ("prediction.py", "scaling.py")
_WITHOUT_WORK = ("startup.py", "evaluation.py")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=tuple(ROOMS), default=list(ROOMS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="renalis-kidney")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "bench")
    arguments = parser.parse_args()
    if not PEERS.exists():
        print("the rivals are not installed; run: make bench-peers", file=sys.stderr)
        return 2
    failed = []
    for room in arguments.only:
        if room == "prediction-real" and not (arguments.data / "real-ct" / "tcga-ov").is_dir():
            print(f"{room}: left out, there is no real CT in {arguments.data}", file=sys.stderr)
            continue
        script, *words = ROOMS[room]
        words += ["--rounds", str(arguments.rounds)]
        if script not in _WITHOUT_WORK:
            words += ["--work", str(arguments.work)]
        if script in _WITH_DATA:
            words += ["--model", arguments.model, "--data", str(arguments.data)]
        print(f"{room}:", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, HERE / script, *words],
            env={**os.environ, "RENALIS_DATA": str(arguments.data)},
            check=False,
        )
        if done.returncode:
            failed.append(room)
    print(write_page())
    if failed:
        print(f"a promise is not kept, or something failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
