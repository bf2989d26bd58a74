"""Hostile input: files, headers, archives and requests that were changed to do harm.

    python benchmarks/fuzz.py --kind all --count 12000 --output build/fuzz

Each input follows from kind, seed and number alone, so that a finding can be made again:

    python benchmarks/fuzz.py --kind nifti --only 4711 --output build/fuzz

It is given to the program in a process of its own with a limit of memory, of file size and of
time. Allowed are success and a sentence (a `RenalisError`, or for the service an answer below
500). Everything else is a finding and is kept below the output: another exception, a crash, a
hang, memory beyond the limit, a file that was written or read outside of the input's folder.
Ends with 1 if there are findings. The counts go to ``fuzz.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from fuzzing import KINDS  # noqa: E402
from fuzzing.isolated import Limits, tried  # noqa: E402
from fuzzing.summary import joined, summary, table  # noqa: E402


def parser() -> argparse.ArgumentParser:
    """What can be chosen."""
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    found.add_argument("--kind", choices=["all", *KINDS], default="all", help="of input")
    found.add_argument("--count", type=int, default=1000, help="inputs, of all kinds together")
    found.add_argument("--seed", type=int, default=1)
    found.add_argument("--only", type=int, help="one input alone, by its number")
    found.add_argument("--first", type=int, default=0, help="number of the first input")
    found.add_argument("--seconds", type=float, default=20, help="after which an input hangs")
    found.add_argument("--memory-mb", type=int, default=2048, help="beyond what is loaded")
    found.add_argument("--output", type=Path, default=Path("build/fuzz"), help="folder")
    found.add_argument("--results", type=Path, help="where to keep the counts as well")
    found.add_argument(
        "--add", type=Path, action="append", default=[], help="a fuzz.json of other kinds to join"
    )
    return found


def main() -> int:
    """Try them all; 1 if there are findings."""
    chosen = parser().parse_args()
    kinds = list(KINDS) if chosen.kind == "all" else [chosen.kind]
    if chosen.only is None:
        counts = _shares(kinds, chosen.count)
        numbers = {k: range(chosen.first, chosen.first + n) for k, n in counts.items()}
    else:
        numbers = {kind: range(chosen.only, chosen.only + 1) for kind in kinds}
    limits = Limits(chosen.seconds, chosen.memory_mb)
    chosen.output.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for kind in kinds:
        began = time.monotonic()
        found = tried(kind, chosen.seed, numbers[kind], limits, chosen.output.resolve())
        outcomes += found
        bad = sum(one.finding != "" for one in found)
        seconds = time.monotonic() - began
        print(f"{kind:>9}: {len(found)} inputs, {bad} findings, {seconds:.0f} s", flush=True)
    facts = joined(summary(outcomes, chosen.seed, limits), chosen.add)
    for path in filter(None, (chosen.output / "fuzz.json", chosen.results)):
        path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(table(facts))
    return 1 if facts["findings"] else 0


def _shares(kinds: list[str], count: int) -> dict[str, int]:
    """How many of each kind: those that hold more kinds of fields get more."""
    weights = {kind: KINDS[kind].share for kind in kinds}
    whole = sum(weights.values())
    return {kind: max(1, round(count * share / whole)) for kind, share in weights.items()}


if __name__ == "__main__":
    sys.exit(main())
