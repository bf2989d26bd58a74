"""How soon a command predicted: ours and the rivals', whole programs.

python benchmarks/startup.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from arms import PEERS, RENALIS, Arm, alternate
from results import Claim, Room

LIMIT_S = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    beside = PEERS.parent
    arms = [
        Arm("renalis --help", (RENALIS, "--help"), ours=True),
        Arm("renalis model info", (RENALIS, "model", "info"), ours=True),
        Arm("renalis segment --help", (RENALIS, "segment", "--help"), ours=True),
        Arm("Python alone", (Path(sys.executable), "-c", "pass")),
        Arm("nnUNetv2_predict -h", (PEERS, beside / "nnUNetv2_predict", "-h")),
        Arm("nnUNetv2_train -h", (PEERS, beside / "nnUNetv2_train", "-h")),
        Arm("TotalSegmentator -h", (PEERS, beside / "TotalSegmentator", "-h")),
        Arm("import monai", (PEERS, "-c", "import monai")),
    ]
    measured = alternate(arms, arguments.rounds)
    room = Room(
        "startup",
        "StartingModel-up",
        "Programs that only say how they are used; files in the system's cache",
        {"StagePrediction a question": measured},
        [
            Claim(f"wall seconds of `{arm.name}`", arm.median("wall_s"), LIMIT_S, least=False)
            for arm in measured
            if arm.name in ("renalis --help", "renalis model info")
        ],
    )
    print(room.save())
    return 0 if all(claim.holds for claim in room.claims) else 1


if __name__ == "__main__":
    sys.exit(main())
