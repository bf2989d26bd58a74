"""Read and write .nii.gz: renalis, nibabel, SimpleITK.

python benchmarks/reading.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from arms import HERE, PEERS, Arm, alternate
from inputs import scans
from results import Claim, Room, ratio

TITLES = {"read": "Read a CT", "write-ct": "Write a CT", "write-labels": "Write a label map"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "bench")
    arguments = parser.parse_args()
    folder = scans(arguments.work, "synthetic")
    scan, labels = folder / "synthetic.nii.gz", folder / "synthetic-truth.nii.gz"
    python = Path(sys.executable)
    room = Room(
        "reading",
        "Reading and writing files",
        "512 × 512 × 300 voxels of int16 (synthetic CT) and its label map, .nii.gz",
        notes=[
            "*Of the work* and *extra*: one call alone, the median of three in the same process, "
            "file in the system's cache. The whole program starts, imports, makes what it writes, "
            "and calls four times.",
            "Every library compresses as it does unless it is told otherwise: *file MB* says how "
            "far it comes. renalis also checks voxels for numbers that are no HU, and writes to a "
            "temporary name, flushes to disk and renames.",
        ],
    )
    for action, title in TITLES.items():
        files = [scan, labels, arguments.work / f"written-{action}.nii.gz"]
        arms = [Arm("renalis", (python, HERE / "reading_ours.py", action, *files), ours=True)]
        arms += [
            Arm(name, (PEERS, HERE / "peers" / "reading.py", name.lower(), action, *files))
            for name in ("nibabel", "SimpleITK")
        ]
        room.tables[title] = found = alternate(arms, arguments.rounds)
        room.claims += [
            Claim(f"{title}: CPU seconds of {name} / ours",
                  ratio(found, name, "renalis", "work_cpu_s"), 1.0)
            for name in ("nibabel", "SimpleITK")
        ]  # fmt: skip
    print(room.save())
    return 0 if all(claim.holds for claim in room.claims) else 1


if __name__ == "__main__":
    sys.exit(main())
