"""How soon a command answers: ours and the rivals', whole programs.

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
        "Start-up",
        "Programs that only say how they are used; files in the system's cache",
        {"Say how it is used": measured},
        [
            Claim(f"wall seconds of `{arm.name}`", arm.median("wall_s"), LIMIT_S, least=False)
            for arm in measured
            if arm.name in ("renalis --help", "renalis model info")
        ],
        notes=[
            "*Times*: of `renalis --help`. The rivals import what they work with before they read "
            "their arguments; renalis imports it afterwards, and the seconds of a whole "
            "`renalis segment` above hold that. `import monai` is what a program that uses MONAI "
            "takes before it does anything."
        ],
    )
    print(room.save())
    return 0 if all(claim.holds for claim in room.claims) else 1


if __name__ == "__main__":
    sys.exit(main())
