"""Compare the figures of two commits.

    python benchmarks/compare.py OLD NEW [--above 1.1]

OLD and NEW are result files of one room, or folders of them. Every median is listed that changed
by more than the factor; the exit code is 1 when one of renalis' own got worse by more than it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from results import FOLDER

_MORE_IS_BETTER = ("per_cpu_s",)
_COMPARED = ("cpu_s", "wall_s", "peak_mb", "work_cpu_s", "work_extra_mb", "work_mb", "per_cpu_s",
             "stored_mb", "file_mb")  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--above", type=float, default=1.1, help="smallest factor worth a line")
    arguments = parser.parse_args()
    old, new = figures(arguments.old), figures(arguments.new)
    worse = 0
    print("| room, arm | figure | old | new | new / old |\n|---|---|---|---|---|")
    for key in sorted(set(old) & set(new)):
        room, arm, what, ours = key
        change = new[key] / old[key] if old[key] else float("inf")
        if max(change, 1 / change if change else float("inf")) <= arguments.above:
            continue
        slower = change < 1 if what in _MORE_IS_BETTER else change > 1
        worse += ours and slower
        mark = " worse" if slower else " better"
        print(f"| {room}: {arm} | {what} | {old[key]:.3g} | {new[key]:.3g} | {change:.2f}{mark} |")
    return 1 if worse else 0


def figures(path: Path) -> dict[tuple[str, str, str, bool], float]:
    """Medians by room, arm and name."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    return dict(pair for file in files for pair in medians(file))


def medians(file: Path) -> Iterator[tuple[tuple[str, str, str, bool], float]]:
    """The medians of one result file."""
    room = json.loads(file.read_text(encoding="utf-8"))
    for title, arms in room["tables"].items():
        for arm in arms:
            for what in _COMPARED:
                if what in arm["median"]:
                    name = f"{title}, {arm['name']}"
                    yield (room["room"], name, what, arm["ours"]), arm["median"][what]


if __name__ == "__main__":
    sys.exit(main())
